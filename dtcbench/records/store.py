"""The layout of a run on disk. Nothing else in dtcbench knows it.

    RUN/suite.yaml                     the suite as it was last run
    RUN/names.json                     what its names meant then: options, defaults, plug-ins
    RUN/records/KEY.ATTEMPT.json       one attempt at one cell, sealed
    RUN/records/….json.damaged         a damaged record, set aside when its cell was redone
    RUN/power/KEY.ATTEMPT.parquet      the samples behind its energy; the record holds their SHA-256
    RUN/tables/*.parquet               views of the records
    RUN/leaderboard.{md,csv,tex,html}  the report
    RUN/figures/*.{pdf,svg}            its figures for a paper
    RUN/README.md                      the data card, once it is published: it makes a bundle of the run

`sealing.py` says how a record is sealed.
"""

from __future__ import annotations

import gc
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias

from dtcbench.record import CellRecord, Outline, Status, Tabled
from dtcbench.records.location import Place, StoreError, create, held, make_folder, rename, write
from dtcbench.records.sealing import OlderSchemaError, R, UnknownSchemaError, seal, unsealed

if TYPE_CHECKING:
    import pandas as pd

    from dtcbench.plan.names import Declared

_RECORD_NAME = re.compile(r"([0-9a-f]{64})\.([1-9][0-9]{0,8})\.json(\.damaged)?")
Part = Literal["suite", "names", "record", "trace", "card", "lock", "own"]
"""What a file of a run is. `own` is of use to the run alone: logs, what was set aside or half written."""
_PARTS: tuple[tuple[Part, re.Pattern[str]], ...] = (
    ("suite", re.compile(r"suite\.yaml")),
    ("names", re.compile(r"names\.json")),
    ("record", re.compile(r"records/[0-9a-f]{64}\.[1-9][0-9]{0,8}\.json")),
    ("trace", re.compile(r"power/[0-9a-f]{64}\.[1-9][0-9]{0,8}\.parquet")),
    ("card", re.compile(r"README\.md")),
    ("lock", re.compile(r"\.lock|\.owner|\.lease")),
    ("own", re.compile(r"ray\.log|records/.*\.damaged|(records|power)/.*\.tmp")),
)
CARD = "README.md"


Files: TypeAlias = dict[str, dict[tuple[int, bool], str]]
"""Names of record files by cell key, and by attempt and whether the file was set aside as damaged."""


@dataclass(frozen=True)
class Damaged:
    """A record file that does not count, and why."""

    path: Place
    key: str
    attempt: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; it does not count, and its cell is redone by the next run"


@dataclass(frozen=True)
class Contents(Generic[R]):
    """All records of a run, or their outlines."""

    attempts: dict[str, tuple[R, ...]]
    """By cell key, the oldest attempt first; only sealed, undamaged ones."""
    damaged: tuple[Damaged, ...]
    set_aside: tuple[tuple[str, int], ...] = ()
    """Key and attempt of the damaged records that earlier runs set aside."""

    def record(self, key: str) -> R | None:
        """The record that counts for a cell: its ok one, else its latest; None where it has none."""
        return counting(self.attempts.get(key, ()))

    def next_attempt(self, key: str) -> int:
        """The number of the next attempt, which no file, damaged or not, bears yet."""
        used = [record.attempt for record in self.attempts.get(key, ())]
        used += [damaged.attempt for damaged in self.damaged if damaged.key == key]
        used += [attempt for aside, attempt in self.set_aside if aside == key]
        return 1 + max(used, default=0)


@dataclass(frozen=True)
class _History(Generic[R]):
    """Every file of one cell."""

    records: tuple[R, ...]
    """The oldest attempt first."""
    damaged: tuple[Damaged, ...]
    set_aside: tuple[tuple[str, int], ...]


class Store:
    """A run folder, here or in an object store. Reading needs nothing; writing needs the lock
    (`with store.locked():`)."""

    def __init__(self, root: Place) -> None:
        self.root = root
        self._records = root / "records"
        self._power = root / "power"
        self._check: Callable[[], None] = lambda: None
        """Made before each write: StoreError where the folder is no longer held."""

    def __reduce__(self) -> tuple[type[Store], tuple[Place]]:
        return Store, (self.root,)  # another process may read the run; the lock stays with the one that holds it

    @property
    def suite(self) -> Place:
        """The suite this run was last started with."""
        return self.root / "suite.yaml"

    @property
    def names(self) -> Place:
        """What the suite's names meant when this run was last started; older runs have none."""
        return self.root / "names.json"

    def existing(self) -> Store:
        """Itself; StoreError where the folder holds no run."""
        if not self.suite.is_file():
            raise StoreError(f"{self.root} holds no run (no suite.yaml); start one with `dtcbench run SUITE`")
        return self

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one writer; StoreError where another process holds it."""
        make_folder(self.root)
        make_folder(self._records)
        with held(self.root) as self._check:
            self._discard_half_written()
            yield

    def save_suite(self, name: str, text: str, names: Declared, contents: Contents[Any]) -> None:
        """Keep the suite's text, and what its names mean, beside its records. StoreError where the records are another
        suite's."""
        others = {r.suite for records in contents.attempts.values() for r in records} - {name}
        if others:
            raise StoreError(
                f"{self.root} holds records of suite {', '.join(sorted(others))}, not {name}; "
                "choose another folder with --out"
            )
        self._check()
        write(self.suite, text.encode())
        self.save_names(names)

    def append(self, record: CellRecord, trace: bytes | None = None) -> Place:
        """Seal one attempt's record. A file that stands is never overwritten: StoreError.

        The trace is written first: no record ever speaks of samples that are not there.
        """
        self._check()
        if trace is not None:
            make_folder(self._power)
            write(self._trace_path(record), trace)
        path = self._records / f"{record.key}.{record.attempt}.json"
        create(path, seal(record.model_dump(mode="json")))
        return path

    def trace(self, record: CellRecord | Tabled) -> pd.DataFrame | None:
        """The samples behind a record's energy; None where there are none.

        StoreError where the file is missing, or is not the one that the record was made from.
        """
        from dtcbench.records import samples

        digest = record.energy.trace_sha256 if record.energy else None
        if digest is None:
            return None
        path = self._trace_path(record)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}; the record speaks of it") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise StoreError(f"{path}: altered: its content does not match its record; redo the cell in a new folder")
        try:
            return samples.frame(content)
        except ValueError as error:
            raise StoreError(f"{path}: {error}; redo the cell in a new folder") from error

    def _trace_path(self, record: CellRecord | Tabled) -> Place:
        return self._power / f"{record.key}.{record.attempt}.parquet"

    def read(self) -> Contents[CellRecord]:
        """Every record; damaged files are listed, never raised.

        StoreError for a file that may be sound but cannot be read, or not by this version of dtcbench:
        redoing its cell would throw away what is there.
        """
        return self._contents(CellRecord)

    def outlines(self) -> Contents[Outline]:
        """The same of every record's outline, many times faster. Seals are held against contents all the same."""
        return self._contents(Outline)

    def _contents(self, kind: type[R]) -> Contents[R]:
        with uncollected():
            histories = {key: self._history(key, names, kind) for key, names in self.files().items()}
        return Contents(
            {key: history.records for key, history in histories.items() if history.records},
            tuple(damaged for history in histories.values() for damaged in history.damaged),
            tuple(aside for history in histories.values() for aside in history.set_aside),
        )

    def files(self) -> Files:
        """The record files of each cell, by key."""
        files: Files = {}
        for match in filter(None, map(_RECORD_NAME.fullmatch, self._record_names())):
            files.setdefault(match[1], {})[int(match[2]), bool(match[3])] = match[0]
        return files

    def records(self, files: Files) -> Iterator[CellRecord]:
        """The record that counts of each cell among the `files`, one at a time: a large run does not fit into
        memory. StoreError as for `read`.
        """
        return self._counting(files, CellRecord)

    def tabled(self, files: Files) -> Iterator[Tabled]:
        """The same of what the tables show, faster."""
        return self._counting(files, Tabled)

    def _counting(self, files: Files, kind: type[R]) -> Iterator[R]:
        for key, names in files.items():
            if (record := counting(self._history(key, names, kind).records)) is not None:
                yield record

    def examined(self, key: str = "") -> Iterator[tuple[str, CellRecord | ValueError]]:
        """Every record file that was not set aside, of the cells whose keys begin so: its name in the run, and its
        record or what is wrong with it.

        Nothing is raised for what a file holds: it may come from anywhere.
        """
        for name in self._record_names():
            if (match := _RECORD_NAME.fullmatch(name)) and not match[3] and name.startswith(key):
                try:
                    yield f"{self._records.name}/{name}", self._record(match[1], int(match[2]), name, CellRecord)
                except ValueError as error:
                    yield f"{self._records.name}/{name}", error

    def _record_names(self) -> list[str]:
        return sorted(path.name for path in self._records.iterdir()) if self._records.is_dir() else []

    def trace_name(self, record: CellRecord) -> str:
        """The name in the run of the file with the samples behind a record's energy."""
        return f"{self._power.name}/{self._trace_path(record).name}"

    def _history(self, key: str, files: dict[tuple[int, bool], str], kind: type[R]) -> _History[R]:
        read = [self._file(key, number, name, kind) for (number, aside), name in sorted(files.items()) if not aside]
        return _History(
            tuple(record for record in read if not isinstance(record, Damaged)),
            tuple(damaged for damaged in read if isinstance(damaged, Damaged)),
            tuple((key, number) for number, aside in sorted(files) if aside),
        )

    def _file(self, key: str, number: int, name: str, kind: type[R]) -> R | Damaged:
        path = self._records / name
        try:
            return self._record(key, number, name, kind)
        except OlderSchemaError as error:
            raise StoreError(f"{path}: {error}; bring its run up to date: dtcbench migrate {self.root}") from error
        except UnknownSchemaError as error:
            raise StoreError(f"{path}: {error}; use the dtcbench that wrote it, or another --out") from error
        except StoreError:
            raise
        except ValueError as error:
            return Damaged(path, key, number, str(error).partition("\n")[0])

    def _record(self, key: str, number: int, name: str, kind: type[R]) -> R:
        """The record in a file of this name; ValueError says what is wrong with it."""
        path = self._records / name
        try:
            record = unsealed(path.read_bytes(), kind)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}; mend that first, the record may be sound") from error
        if (record.key, record.attempt) != (key, number):
            raise ValueError("holds another cell or attempt than its name says")
        return record

    def sealed(self) -> Iterator[tuple[Place, bytes]]:
        """Every record file that was not set aside, and its content, whatever that is."""
        for name in self._record_names():
            if (match := _RECORD_NAME.fullmatch(name)) and not match[3]:
                yield self._records / name, (self._records / name).read_bytes()

    def replace(self, old: Place, record: CellRecord) -> None:
        """Put a record in the place of the one in the file `old`; the samples behind its energy move with it.

        Interrupted at any point, the same call completes it.
        """
        self._check()
        old_trace = self._power / f"{old.stem}.parquet"
        new, sealed = self._records / f"{record.key}.{record.attempt}.json", seal(record.model_dump(mode="json"))
        if old_trace.is_file():
            write(self._trace_path(record), old_trace.read_bytes())
        if not new.is_file() or new.read_bytes() != sealed:
            create(new, sealed)
        if old_trace.is_file():
            old_trace.unlink()  # first: only an old record leads back to it
        old.unlink()

    def save_names(self, names: Declared) -> None:
        """Keep what the suite's names mean."""
        self._check()
        write(self.names, f"{names.model_dump_json(indent=1)}\n".encode())

    def set_aside(self, damaged: Damaged) -> None:
        """Rename a damaged record, so that it is kept for a look but read no more."""
        self._check()
        rename(damaged.path, f"{damaged.path.name}.damaged")

    def derived(self, name: str, content: bytes | str) -> Place:
        """Write something rebuilt from the records, such as `leaderboard.md`; its path."""
        self._check()
        path = self.root / name
        make_folder(path.parent)
        write(path, content.encode() if isinstance(content, str) else content)
        return path

    def _discard_half_written(self) -> None:
        for folder in filter(lambda folder: folder.is_dir(), (self._records, self._power)):
            for path in [path for path in folder.iterdir() if path.suffix == ".tmp"]:
                path.unlink()


def part(name: str) -> Part | None:
    """What the file of this name in a run's folder is; None where a run names none so, as what is derived."""
    return next((kind for kind, pattern in _PARTS if pattern.fullmatch(name)), None)


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's collector of cycles, which would walk all records again and again: they form none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def counting(attempts: Sequence[R]) -> R | None:
    """The one of a cell's attempts, the oldest first, that counts: its ok one, else its latest; None of none."""
    done = [record for record in attempts if record.status is Status.OK] or attempts
    return done[-1] if done else None
