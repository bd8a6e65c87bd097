"""The layout of a run on disk, and sealed files in it. Nothing else in dtcbench knows either.

    RUN/suite.yaml                     the suite as it was last run
    RUN/records/KEY.ATTEMPT.json       one attempt at one cell, sealed
    RUN/records/….json.damaged         a damaged record, set aside when its cell was redone
    RUN/power/KEY.ATTEMPT.parquet      the samples behind its energy; the record holds their SHA-256
    RUN/tables/*.parquet               views of the records
    RUN/leaderboard.{md,csv,html}      the report

A sealed file holds `{"record": …, "sha256": …}`: the digest of the record's canonical JSON.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
from pydantic import ValidationError

from dtcbench.errors import UserError
from dtcbench.records.record import CellRecord, Status

if TYPE_CHECKING:
    import pandas as pd

_RECORD_NAME = re.compile(r"([0-9a-f]{64})\.(\d+)\.json(\.damaged)?")


class StoreError(UserError):
    """A run folder cannot be used as asked; the message names it and the remedy."""


class UnknownSchemaError(ValueError):
    """A record whose seal holds, but whose content this version of dtcbench does not know."""


@dataclass(frozen=True)
class Damaged:
    """A record file that does not count, and why."""

    path: Path
    key: str
    attempt: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; it does not count, and its cell is redone by the next run"


@dataclass(frozen=True)
class Contents:
    """All records of a run."""

    attempts: dict[str, tuple[CellRecord, ...]]
    """By cell key, the oldest attempt first; only sealed, undamaged ones."""
    damaged: tuple[Damaged, ...]
    set_aside: tuple[tuple[str, int], ...] = ()
    """Key and attempt of the damaged records that earlier runs set aside."""

    def record(self, key: str) -> CellRecord | None:
        """The record that counts for a cell: its ok one, else its latest; None where it has none."""
        attempts = self.attempts.get(key, ())
        done = [record for record in attempts if record.status is Status.OK] or attempts
        return done[-1] if done else None

    def next_attempt(self, key: str) -> int:
        """The number of the next attempt, which no file, damaged or not, bears yet."""
        used = [record.attempt for record in self.attempts.get(key, ())]
        used += [damaged.attempt for damaged in self.damaged if damaged.key == key]
        used += [attempt for aside, attempt in self.set_aside if aside == key]
        return 1 + max(used, default=0)


class Store:
    """A run folder. Reading needs nothing; writing needs the lock (`with store.locked():`)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._records = root / "records"
        self._power = root / "power"

    @property
    def suite(self) -> Path:
        """The suite this run was last started with."""
        return self.root / "suite.yaml"

    def existing(self) -> Store:
        """Itself; StoreError where the folder holds no run."""
        if not self.suite.is_file():
            raise StoreError(f"{self.root} holds no run (no suite.yaml); start one with `dtcbench run SUITE`")
        return self

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one writer; StoreError at once where another process holds it.

        The lock belongs to the process: the system frees it when that dies, however it dies.
        """
        try:
            self._records.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.root}: {error.strerror}; choose another folder with --out") from error
        lock, owner = filelock.FileLock(self.root / ".lock"), self.root / ".owner"
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise StoreError(
                f"{self.root} is in use by {_holder(owner)}; wait for it to end, or choose another folder with --out"
            ) from None
        except OSError as error:
            raise StoreError(f"{self.root}: {error.strerror}; choose another folder with --out") from error
        try:
            _write(owner, f"process {os.getpid()}".encode())
            self._discard_half_written()
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    def save_suite(self, name: str, text: str) -> None:
        """Keep the suite's text beside its records. StoreError where the records are another suite's."""
        others = {r.suite for records in self.read().attempts.values() for r in records} - {name}
        if others:
            raise StoreError(
                f"{self.root} holds records of suite {', '.join(sorted(others))}, not {name}; "
                "choose another folder with --out"
            )
        _write(self.suite, text.encode())

    def append(self, record: CellRecord, trace: bytes | None = None) -> Path:
        """Seal one attempt's record. A file that stands is never overwritten: StoreError.

        The trace is written first: no record ever speaks of samples that are not there.
        """
        path = self._records / f"{record.key}.{record.attempt}.json"
        if path.exists():
            raise StoreError(f"{path} stands already; two runs wrote to one folder")
        if trace is not None:
            self._power.mkdir(exist_ok=True)
            _write(self._trace_path(record), trace)
        _write(path, seal(record.model_dump(mode="json")))
        return path

    def trace(self, record: CellRecord) -> pd.DataFrame | None:
        """The samples behind a record's energy; None where there are none.

        StoreError where the file is missing, or is not the one that the record was made from.
        """
        import pandas as pd

        digest = record.energy.trace_sha256 if record.energy else None
        if digest is None:
            return None
        path = self._trace_path(record)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; the record speaks of it") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise StoreError(f"{path}: altered: its content does not match its record; redo the cell in a new folder")
        return pd.read_parquet(io.BytesIO(content))

    def _trace_path(self, record: CellRecord) -> Path:
        return self._power / f"{record.key}.{record.attempt}.parquet"

    def read(self) -> Contents:
        """Every record; damaged files are listed, never raised.

        StoreError for a file that may be sound but cannot be read, or not by this version of dtcbench:
        redoing its cell would throw away what is there.
        """
        attempts: dict[str, list[CellRecord]] = {}
        damaged, aside = [], []
        names = sorted(path.name for path in self._records.glob("*.json*"))
        for match in filter(None, map(_RECORD_NAME.fullmatch, names)):
            path, key, number = self._records / match[0], match[1], int(match[2])
            if match[3]:
                aside.append((key, number))
                continue
            try:
                record = unseal(path.read_bytes())
                if (record.key, record.attempt) != (key, number):
                    raise ValueError("holds another cell or attempt than its name says")
            except OSError as error:
                raise StoreError(f"{path}: {error.strerror}; mend that first, the record may be sound") from error
            except UnknownSchemaError as error:
                raise StoreError(f"{path}: {error}; use the dtcbench that wrote it, or another --out") from error
            except ValueError as error:
                damaged.append(Damaged(path, key, number, str(error).partition("\n")[0]))
            else:
                attempts.setdefault(key, []).append(record)
        ordered = {key: tuple(sorted(records, key=lambda r: r.attempt)) for key, records in attempts.items()}
        return Contents(ordered, tuple(damaged), tuple(aside))

    def set_aside(self, damaged: Damaged) -> None:
        """Rename a damaged record, so that it is kept for a look but read no more."""
        damaged.path.rename(damaged.path.with_suffix(".json.damaged"))

    def derived(self, name: str, content: bytes | str) -> Path:
        """Write something rebuilt from the records, such as `leaderboard.md`; its path."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content.encode() if isinstance(content, str) else content)
        return path

    def _discard_half_written(self) -> None:
        for path in self._records.glob("*.tmp"):
            path.unlink()


def seal(record: dict[str, Any]) -> bytes:
    """A record's JSON values with the SHA-256 of their canonical form."""
    text = _canonical(record)
    return f'{{"record":{text},"sha256":"{_digest(text)}"}}\n'.encode("ascii")


def unseal(content: bytes) -> CellRecord:
    """The record in a sealed file's content. ValueError says what is wrong with it."""
    try:
        sealed = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("truncated or not JSON") from None
    if not isinstance(sealed, dict) or set(sealed) != {"record", "sha256"}:
        raise ValueError("not a sealed record")
    if _digest(_canonical(sealed["record"])) != sealed["sha256"]:
        raise ValueError("altered: its content does not match its seal")
    try:
        return CellRecord.model_validate(sealed["record"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UnknownSchemaError(f"not a record of this version of dtcbench: {place}: {first['msg']}") from None


def _holder(owner: Path) -> str:
    try:
        return owner.read_text(encoding="utf-8")
    except OSError:  # it has just ended, or has not yet said who it is
        return "another process"


def _canonical(record: Any) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write under another name, flush to disk, rename: the name never stands for half a file."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; free space or choose another folder with --out") from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must survive a power cut
    finally:
        os.close(folder)
