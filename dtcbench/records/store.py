"""The layout of a run on disk. Nothing else in dtcbench knows it.

    RUN/suite.yaml                     the suite as it was last run
    RUN/names.json                     what its names meant then: options, defaults, plug-ins
    RUN/rules.json                     the rules of its verdicts, if they were sealed
    RUN/calibrations/GPU-….json        what calibrating a board found, sealed (`energy/calibration.py`)
    RUN/looks.json                     of a run until decided: each look's decisions, and the rows that go on
    RUN/snapshot.json                  how the run stood when its driver last wrote it (`snapshot.py`)
    RUN/serve.token                    the token of the page that `run --serve` serves, as long as it does
    RUN/records/KEY.ATTEMPT.json       one attempt at one cell, sealed; in a bundle compressed, ….json.gz
    RUN/records/….json.damaged         a damaged record, set aside when its cell was redone
    RUN/records.index                  of a large run: the outlines of its records (`index.py`)
    RUN/tables.index                   of a large run: what its records give to its tables (`contributions.py`)
    RUN/power/KEY.ATTEMPT.parquet      the samples behind its energy; the record holds their SHA-256
    RUN/weights/KEY.ATTEMPT.safetensors  its final network, if the suite keeps it; the record holds its SHA-256
    RUN/checkpoints/KEY.ATTEMPT.safetensors  a training that runs, as it was last saved (`training/saved_state.py`)
    RUN/tables/*.parquet               views of the records
    RUN/leaderboard.{md,csv,tex,html}  the report
    RUN/figures/*.{pdf,svg}            its figures for a paper
    RUN/README.md                      the data card, once it is published: it makes a bundle of the run

`sealing.py` says how a record is sealed. A `Store` reads; only a `Writer`, which holds the folder, writes
(`writer.py`). Checkpoints alone are written by the workers themselves (`Checkpoints` there), each attempt's to a file
of its own, so that no driver carries them.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from pydantic import BaseModel

from dtcbench.record import CellRecord, Outline, R, decisive
from dtcbench.records import index
from dtcbench.records.compressed import content_of
from dtcbench.records.location import (
    AnyPath,
    StoreError,
    held,
    make_folder,
    names_in,
    warn,
)
from dtcbench.records.sealing import SchemaError, opened, unsealed
from dtcbench.unavailable import Unavailable

if TYPE_CHECKING:
    import pandas as pd

    from dtcbench.energy.calibration import Calibration
    from dtcbench.plan.looks import LooksTaken
    from dtcbench.records.fixed_rules import FixedRules
    from dtcbench.records.snapshot import Snapshot
    from dtcbench.records.writer import Writer

_RECORD_NAME = re.compile(r"([0-9a-f]{64})\.([1-9][0-9]{0,8})\.json(?:\.gz)?(\.damaged)?")
_CHECKPOINT_NAME = re.compile(r"([0-9a-f]{64})\.([1-9][0-9]{0,8})\.safetensors")
FileKind = Literal[
    "suite", "names", "rules", "looks", "calibration", "record", "trace", "weights", "card", "lock", "own"
]
"""Kinds of files in a run's folder. `own` files serve the run alone: logs, files set aside or half written."""
_KINDS: tuple[tuple[FileKind, re.Pattern[str]], ...] = (
    ("suite", re.compile(r"suite\.yaml")),
    ("names", re.compile(r"names\.json")),
    ("rules", re.compile(r"rules\.json")),
    ("looks", re.compile(r"looks\.json")),
    ("calibration", re.compile(r"calibrations/GPU-[0-9a-zA-Z-]{1,60}\.json")),
    ("record", re.compile(r"records/[0-9a-f]{64}\.[1-9][0-9]{0,8}\.json(\.gz)?")),
    ("trace", re.compile(r"power/[0-9a-f]{64}\.[1-9][0-9]{0,8}\.parquet")),
    ("weights", re.compile(r"weights/[0-9a-f]{64}\.[1-9][0-9]{0,8}\.safetensors")),
    ("card", re.compile(r"README\.md")),
    ("lock", re.compile(r"\.lock|\.owner|\.lease")),
    (
        "own",
        re.compile(
            r"ray\.log|serve\.token|snapshot\.json(\.tmp)?|checkpoints/.*|\w+\.index|records/.*\.damaged|(records|power|weights)/.*\.tmp"
        ),
    ),
)
CARD = "README.md"
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Contents(Generic[R]):
    """All attempts that a run has records of, or their outlines."""

    attempts: dict[str, tuple[R, ...]]
    """By cell key, the oldest attempt first; only sealed, undamaged ones."""
    damaged: dict[AnyPath, str] = field(default_factory=dict)
    """By file, why it does not count."""
    last: dict[str, int] = field(default_factory=dict)
    """By cell key, the highest attempt number of any file, damaged and set aside ones included."""

    def record(self, key: str) -> R | None:
        """The record that counts for a cell; None if it has none."""
        return self._decisive.get(key)

    @functools.cached_property
    def _decisive(self) -> dict[str, R]:
        return {key: decisive(records) for key, records in self.attempts.items()}

    def next_attempt(self, key: str) -> int:
        """The number of the next attempt, which no file, damaged or not, bears yet."""
        return 1 + max(self.last.get(key, 0), *(record.attempt for record in self.attempts.get(key, ())), 0)


class Store:
    """A run folder, here or in an object store, to read from: no lock is needed."""

    def __init__(self, root: AnyPath) -> None:
        self.root = root
        self.records = root / "records"
        self.power = root / "power"
        self.weights = root / "weights"
        self.checkpoints = root / "checkpoints"

    def fixed(self) -> Store:
        """The same store by its absolute path, which stays right if the process changes its folder."""
        return Store(self.root.absolute()) if isinstance(self.root, Path) else self

    @property
    def index(self) -> AnyPath:
        """The file with the outlines of its records; only a large run has it."""
        return self.root / index.NAME

    @property
    def suite(self) -> AnyPath:
        """The file of the suite that this run was last started with."""
        return self.root / "suite.yaml"

    @property
    def names(self) -> AnyPath:
        """The file that says what the suite's names meant when this run was last started; older runs lack it."""
        return self.root / "names.json"

    @property
    def rules(self) -> AnyPath:
        """The file with the rules of its verdicts as they were sealed; a run may lack it."""
        return self.root / "rules.json"

    def fixed_rules(self) -> FixedRules | None:
        """The sealed rules; None if there are none. StoreError if they cannot be read, or were altered."""
        from dtcbench.records.fixed_rules import FixedRules

        return _kept(self.rules, FixedRules, "bring back the file as it was sealed, or remove it")

    @property
    def looks(self) -> AnyPath:
        """The file that says what each look at growing seeds decided; other runs lack it."""
        return self.root / "looks.json"

    def looks_taken(self) -> LooksTaken | None:
        """The looks that a run until decided has taken; None before the first. StoreError if they cannot be read."""
        from dtcbench.plan.looks import LooksTaken

        return _kept(self.looks, LooksTaken, "bring back the file as it was")

    @property
    def snapshot_file(self) -> AnyPath:
        """The file that says how the run stands, or stood in the end; a run that has not begun lacks it."""
        return self.root / "snapshot.json"

    def snapshot(self) -> Snapshot | None:
        """How the run stands; None before it begins. StoreError if that cannot be read."""
        from dtcbench.records.snapshot import Snapshot

        return _kept(self.snapshot_file, Snapshot, "the next run writes it anew")

    @property
    def token_file(self) -> AnyPath:
        """The file with the token of the run's page, as long as it is served."""
        return self.root / "serve.token"

    def calibrations(self) -> dict[str, Calibration]:
        """By a board's UUID, what calibrating it found. StoreError if a file cannot be read, or was altered."""
        from dtcbench.energy.calibration import Calibration

        found = {}
        folder = self.root / "calibrations"
        for name in sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []:
            path = folder / name
            if file_kind(f"{folder.name}/{name}") != "calibration":
                continue
            try:
                calibration = Calibration.model_validate(opened(path.read_bytes())[0])
                if path != self.calibration_path(calibration.gpu_uuid):
                    raise ValueError(f"it is of {calibration.gpu_uuid}")
            except (OSError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                raise StoreError(f"{path}: {reason}; bring it back as it was, or remove it") from error
            found[calibration.gpu_uuid] = calibration
        return found

    def calibration_path(self, gpu_uuid: str) -> AnyPath:
        """The file with what calibrating the board found."""
        return self.root / "calibrations" / f"{gpu_uuid}.json"

    def begun_calibration(self, gpu_uuid: str) -> Calibration | None:
        """What calibrating the board has found so far; None before its first window.

        StoreError if it has ended: what a run was measured by stays.
        """
        begun = self.calibrations().get(gpu_uuid)
        if begun is not None and begun.has_ended:
            path = self.calibration_path(gpu_uuid)
            raise StoreError(f"{path}: the board is calibrated; remove the file, or choose another folder with --out")
        return begun

    def existing(self) -> Store:
        """Itself; StoreError if the folder holds no run."""
        if not self.suite.is_file():
            raise StoreError(f"{self.root} holds no run (no suite.yaml); start one with `dtcbench run SUITE`")
        return self

    @contextmanager
    def locked(self, waits: Callable[[str], None] = warn) -> Iterator[Writer]:
        """Hold the folder for one writer; StoreError if another process holds it. `waits` is told why, if this waits
        to see whether it does."""
        from dtcbench.records.writer import Writer

        make_folder(self.root, mode=0o700)  # logs and reasons may hold what other users should not read
        make_folder(self.records)
        with held(self.root, waits) as check:
            self._discard_half_written()
            writer = Writer(self, check)
            yield writer
            writer.keep_index()

    def read(self) -> Contents[CellRecord]:
        """Every record; damaged files are listed, never raised.

        StoreError for a file that may be sound but cannot be read, or not by this version of dtcbench:
        redoing its cell would throw away what is there.
        """
        with uncollected():
            return self._contents(CellRecord)

    def outlines(self) -> Contents[Outline]:
        """Every record's outline, many times faster; of a large run, from its index (`index.py`)."""
        with uncollected():
            known = index.read(self.index).unchanged(index.states(self.records)) if self.index.is_file() else {}
            return self._contents(Outline, known)

    def files(self) -> dict[str, list[str]]:
        """By cell key, the names of its record files that were not set aside, the oldest attempt first."""
        files: dict[str, list[str]] = {}
        for match in self._matches():
            of_cell = files.setdefault(match[1], [])
            if not match[3]:
                of_cell.append(match[0])
        return {key: sorted(names, key=lambda name: int(name.split(".")[1])) for key, names in files.items()}

    def decisive(self, files: Iterable[list[str]], kind: type[R]) -> Iterator[R]:
        """The record that counts for each cell, one at a time: a large run does not fit into memory.

        Parameters
        ----------
        files : for each cell the names of its record files, as in `files`
        kind : the record, or the part of it, to read

        StoreError as for `read`.
        """
        for names in files:
            read = (self._read(name, kind) for name in names)
            if sound := [one for one in read if not isinstance(one, Unavailable)]:
                yield decisive(sound)

    def examined(self, key: str = "") -> Iterator[tuple[str, CellRecord | Unavailable]]:
        """Every record file that was not set aside, of the cells whose keys begin so: its name in the run, and its
        record or the reason why it cannot be used.

        Nothing is raised for a file's content: it may come from anywhere.
        """
        for name in (match[0] for match in self._matches() if not match[3] and match[0].startswith(key)):
            try:
                yield f"{self.records.name}/{name}", self._record(name, CellRecord)
            except ValueError as error:
                yield f"{self.records.name}/{name}", Unavailable(str(error).partition("\n")[0])

    def sealed(self) -> Iterator[tuple[AnyPath, bytes]]:
        """Every record file that was not set aside, and its content unpacked, sound or not."""
        for name in [match[0] for match in self._matches() if not match[3]]:
            yield self.records / name, content_of(self.records / name)

    def trace(self, record: CellRecord) -> pd.DataFrame | None:
        """The samples behind a record's energy; None if nothing was sampled.

        StoreError as for `samples`.
        """
        digest = record.energy.trace_sha256 if record.energy else None
        return None if digest is None else self.samples(record.key, record.attempt, digest)

    def samples(self, key: str, attempt: int, sha256: str) -> pd.DataFrame:
        """The samples of an attempt whose record says that their file has this digest.

        StoreError if the file is missing, or is not the one that the record was made from.
        """
        from dtcbench.records.untrusted import read_parquet

        path = self.power / f"{key}.{attempt}.parquet"
        content = _of_digest(path, sha256)
        try:
            return read_parquet(content)
        except ValueError as error:
            raise StoreError(f"{path}: {error}; redo the cell in a new folder") from error

    def trace_path(self, record: CellRecord) -> AnyPath:
        """The file with the samples behind a record's energy."""
        return self.power / f"{record.key}.{record.attempt}.parquet"

    def trace_name(self, record: CellRecord) -> str:
        """The name of that file in the run."""
        return f"{self.power.name}/{self.trace_path(record).name}"

    def network(self, record: CellRecord) -> bytes | None:
        """The file with the record's final network (`training/network_file.py`); None if it keeps none.

        StoreError if the file is missing, or is not the one that was sealed with the record.
        """
        digest = record.weights_sha256
        return None if digest is None else _of_digest(self.network_path(record), digest)

    def network_path(self, record: CellRecord) -> AnyPath:
        """The file with the record's final network."""
        return self.weights / f"{record.key}.{record.attempt}.safetensors"

    def network_name(self, record: CellRecord) -> str:
        """The name of that file in the run."""
        return f"{self.weights.name}/{self.network_path(record).name}"

    def checkpoint_files(self, key: str = "") -> list[AnyPath]:
        """The checkpoints of the cells whose keys begin so; of one cell, the latest attempt's first."""
        if not isinstance(self.checkpoints, Path):
            self.checkpoints.fs.invalidate_cache()
        found: Iterable[AnyPath] = self.checkpoints.iterdir() if self.checkpoints.is_dir() else []
        matches = {path: _CHECKPOINT_NAME.fullmatch(path.name) for path in found if path.name.startswith(key)}
        numbers = {path: int(match[2]) for path, match in matches.items() if match}
        return sorted(numbers, key=lambda path: -numbers[path])

    def _contents(self, kind: type[R], known: Mapping[str, R] = MappingProxyType({})) -> Contents[R]:
        """What the records hold; those `known`, by file name, are not read."""
        found: dict[str, list[R]] = {}
        damaged: dict[AnyPath, str] = {}
        last: dict[str, int] = {}
        for name in sorted(names_in(self.records)):
            if one := known.get(name):
                last[one.key] = max(last.get(one.key, 0), one.attempt)
                found.setdefault(one.key, []).append(one)
                continue
            if not (match := _RECORD_NAME.fullmatch(name)):
                continue
            key, number = match[1], int(match[2])
            last[key] = max(last.get(key, 0), number)
            if match[3]:
                continue
            if isinstance(read := self._read(name, kind), Unavailable):
                damaged[self.records / name] = read.reason
            else:
                found.setdefault(key, []).append(read)
        attempts = {key: tuple(sorted(of, key=attrgetter("attempt"))) for key, of in found.items()}
        return Contents(attempts, damaged, last)

    def _matches(self) -> Iterator[re.Match[str]]:
        """Every file in the folder of records whose name is a record's, by name."""
        return filter(None, map(_RECORD_NAME.fullmatch, sorted(names_in(self.records))))

    def _read(self, name: str, kind: type[R]) -> R | Unavailable:
        """The record in a file, or why the file is damaged. StoreError as for `read`."""
        try:
            return self._record(name, kind)
        except SchemaError as error:
            older = f"bring its run up to date: dtcbench migrate {self.root}"
            remedy = older if error.is_older else "use the dtcbench that wrote it, or another --out"
            raise StoreError(f"{self.records / name}: {error}; {remedy}") from error
        except StoreError:
            raise
        except ValueError as error:
            return Unavailable(str(error).partition("\n")[0])

    def _record(self, name: str, kind: type[R]) -> R:
        """The record in a file of this name. ValueError says why it cannot be used."""
        path, (key, number, _) = self.records / name, name.split(".", 2)
        try:
            record = unsealed(content_of(path), kind)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}; mend that first, the record may be sound") from error
        if (record.key, record.attempt) != (key, int(number)):
            raise ValueError("holds another cell or attempt than its name says")
        return record

    def _discard_half_written(self) -> None:
        folders = (self.records, self.power, self.weights, self.checkpoints)
        for folder in filter(lambda folder: folder.is_dir(), folders):
            for path in [path for path in folder.iterdir() if path.suffix == ".tmp"]:
                path.unlink()


def _of_digest(path: AnyPath, digest: str) -> bytes:
    """What a file beside a record holds. StoreError if it is missing, or has another digest than the record says."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; the record speaks of it") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise StoreError(f"{path}: altered: its content does not match its record; redo the cell in a new folder")
    return content


def _kept(path: AnyPath, kind: type[Model], remedy: str) -> Model | None:
    """What a file beside the records holds; None without the file. StoreError if it cannot be read."""
    if not path.is_file():
        return None
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StoreError(f"{path}: it cannot be read: {reason}; {remedy}") from error


def file_kind(name: str) -> FileKind | None:
    """The kind of the file of this name in a run's folder; None if a run names no file so, or derives it."""
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(name)), None)


def damage(path: AnyPath, reason: str) -> str:
    """What to say of a damaged record file."""
    return f"{path}: {reason}; it does not count, and its cell is redone by the next run"


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
