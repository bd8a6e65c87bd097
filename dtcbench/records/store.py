"""The layout of a run on disk, and sealed files in it. Nothing else in dtcbench knows either.

    RUN/suite.yaml                     the suite as it was last run
    RUN/records/KEY.ATTEMPT.json       one attempt at one cell, sealed
    RUN/records/….json.damaged         a damaged record, set aside when its cell was redone
    RUN/tables/*.parquet               views of the records
    RUN/leaderboard.{md,csv,html}      the report

A sealed file holds `{"record": …, "sha256": …}`: the digest of the record's canonical JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
from pydantic import ValidationError

from dtcbench.errors import UserError
from dtcbench.records.record import CellRecord, Status

_RECORD_NAME = re.compile(r"([0-9a-f]{64})\.(\d+)\.json")


class StoreError(UserError):
    """A run folder cannot be used as asked; the message names it and the remedy."""


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

    def record(self, key: str) -> CellRecord | None:
        """The record that counts for a cell: its ok one, else its latest; None where it has none."""
        attempts = self.attempts.get(key, ())
        done = [record for record in attempts if record.status is Status.OK] or attempts
        return done[-1] if done else None

    def next_attempt(self, key: str) -> int:
        """The number of the next attempt, which no file, damaged or not, bears yet."""
        numbers = [record.attempt for record in self.attempts.get(key, ())]
        return 1 + max([*numbers, *(d.attempt for d in self.damaged if d.key == key)], default=0)


class Store:
    """A run folder. Reading needs nothing; writing needs the lock (`with store.locked():`)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._records = root / "records"

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
            holder = owner.read_text() if owner.is_file() else "another process"
            raise StoreError(
                f"{self.root} is in use by {holder}; wait for it to end, or choose another folder with --out"
            ) from None
        try:
            owner.write_text(f"process {os.getpid()}")
            self._discard_half_written()
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    def save_suite(self, text: str) -> None:
        """Keep the suite's text beside its records."""
        _write(self.suite, text.encode())

    def append(self, record: CellRecord) -> Path:
        """Seal one attempt's record. A file that stands is never overwritten: StoreError."""
        path = self._records / f"{record.key}.{record.attempt}.json"
        if path.exists():
            raise StoreError(f"{path} stands already; two runs wrote to one folder")
        _write(path, seal(record.model_dump(mode="json")))
        return path

    def read(self) -> Contents:
        """Every record; damaged files are listed, never raised."""
        attempts: dict[str, list[CellRecord]] = {}
        damaged = []
        names = sorted(path.name for path in self._records.glob("*.json"))
        for match in filter(None, map(_RECORD_NAME.fullmatch, names)):
            path, key, number = self._records / match[0], match[1], int(match[2])
            try:
                record = unseal(path.read_bytes())
                if (record.key, record.attempt) != (key, number):
                    raise ValueError("holds another cell or attempt than its name says")
            except (ValueError, OSError) as error:
                damaged.append(Damaged(path, key, number, str(error).partition("\n")[0]))
            else:
                attempts.setdefault(key, []).append(record)
        ordered = {key: tuple(sorted(records, key=lambda r: r.attempt)) for key, records in attempts.items()}
        return Contents(ordered, tuple(damaged))

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
        raise ValueError(f"not a record of this version of dtcbench: {place}: {first['msg']}") from None


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
