"""What is written to a run's folder: by whoever holds it, and the checkpoints by the workers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dtcbench.record import INCONCLUSIVE, CellRecord, Outline
from dtcbench.records import index
from dtcbench.records.location import AnyPath, StoreError, create, make_folder, post, rename, write
from dtcbench.records.sealing import seal
from dtcbench.records.store import Contents, Store

if TYPE_CHECKING:
    from dtcbench.energy.calibration import Calibration
    from dtcbench.plan.looks import LooksTaken
    from dtcbench.plan.names import Declared
    from dtcbench.records.fixed_rules import FixedRules
    from dtcbench.records.snapshot import Snapshot


class Writer:
    """Writes to a run folder that it holds. `Store.locked` gives one.

    Every method raises StoreError if the folder is no longer held.
    """

    def __init__(self, store: Store, check: Callable[[], None]) -> None:
        self.store = store
        self._check = check
        """Called before each write."""

    def save_suite(self, name: str, text: str, names: Declared, contents: Contents[Any]) -> None:
        """Keep the suite's text, and what its names mean, with its records. StoreError if the records are another
        suite's."""
        others = {r.suite for records in contents.attempts.values() for r in records} - {name}
        if others:
            raise StoreError(
                f"{self.store.root} holds records of suite {', '.join(sorted(others))}, not {name}; "
                "choose another folder with --out"
            )
        self._check()
        write(self.store.suite, text.encode())
        self.save_names(names)

    def save_names(self, names: Declared) -> None:
        """Keep what the suite's names mean."""
        self._check()
        write(self.store.names, f"{names.model_dump_json(indent=1)}\n".encode())

    def fix_rules(self, rules: FixedRules) -> FixedRules:
        """Seal the rules; those that hold: the same ones keep their date. StoreError if others are sealed already."""
        self._check()
        known = self.store.fixed_rules()
        if known is not None and known.sha256 != rules.sha256:
            raise StoreError(
                f"{self.store.root} has other rules, fixed as {known.seal}; "
                f"{known.differences(rules) or 'claims were left out'}. Bring those back, or seal the new ones for a "
                "run of their own with --out"
            )
        if known is None:
            write(self.store.rules, f"{rules.model_dump_json(indent=1)}\n".encode())
        return known or rules

    def save_calibration(self, calibration: Calibration) -> AnyPath:
        """Seal what calibrating a board found, so far or in the end; its file. StoreError if it had ended already."""
        self._check()
        self.store.begun_calibration(calibration.gpu_uuid)
        path = self.store.calibration_path(calibration.gpu_uuid)
        make_folder(path.parent)
        write(path, seal(calibration.model_dump(mode="json")))
        return path

    def save_looks(self, taken: LooksTaken) -> None:
        """Keep what the looks decided: before a cell of the next one starts."""
        self._check()
        write(self.store.looks, taken.content)

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Say how the run stands."""
        self._check()
        post(self.store.snapshot_file, f"{snapshot.model_dump_json(indent=1)}\n".encode())

    def append(self, record: CellRecord, trace: bytes | None = None, weights: bytes | None = None) -> AnyPath:
        """Seal one attempt's record. StoreError if its file exists: nothing is overwritten.

        Trace and weights are written first: a record never speaks of a file that is missing.
        """
        self._check()
        beside = ((self.store.trace_path(record), trace), (self.store.network_path(record), weights))
        for file, content in beside:
            if content is not None:
                make_folder(file.parent)
                write(file, content)
        path = self._path(record)
        create(path, seal(record.model_dump(mode="json")))
        return path

    def replace(self, old: AnyPath, record: CellRecord) -> None:
        """Put a record in the place of the one in the file `old`; the samples behind its energy move with it.

        Interrupted at any point, the same call completes it.
        """
        self._check()
        old_trace = self.store.power / f"{old.name.partition('.json')[0]}.parquet"
        new, sealed = self._path(record), seal(record.model_dump(mode="json"))
        if old_trace.is_file():
            write(self.store.trace_path(record), old_trace.read_bytes())
        if not new.is_file() or new.read_bytes() != sealed:
            create(new, sealed)
        if old_trace.is_file():
            old_trace.unlink()  # first: only an old record leads back to it
        old.unlink()

    def discard_checkpoints(self, key: str) -> None:
        """Remove the checkpoints of a cell that has ended."""
        self._check()
        for file in self.store.checkpoint_files(key):
            file.unlink(missing_ok=True)

    def prepare_checkpoints(self, contents: Contents[Any]) -> None:
        """Make their folder, and remove those that a late worker left of cells that have ended."""
        self._check()
        make_folder(self.store.checkpoints)
        for file in self.store.checkpoint_files():
            record = contents.record(file.name.partition(".")[0])
            if record is not None and record.status not in INCONCLUSIVE:
                file.unlink(missing_ok=True)

    def keep_index(self) -> None:
        """Leave an index of the records behind, if they are many."""
        states = index.states(self.store.records)  # before they are read: what changes meanwhile is read again
        if len(states) < index.MANY:
            return
        outlines = (one for attempts in self.store.outlines().attempts.values() for one in attempts)
        entries = {name: (states[name], one) for one in outlines if (name := self._path(one).name) in states}
        self.keep(index.NAME, index.Index(entries=entries).content)

    def keep(self, name: str, content: bytes) -> None:
        """Write an index, if that can be done: a run does not fail for want of what can be derived again."""
        with suppress(StoreError):
            self._check()
            write(self.store.root / name, content)

    def set_aside(self, damaged: AnyPath) -> None:
        """Rename a damaged record file: it is kept for a look but no longer read."""
        self._check()
        rename(damaged, f"{damaged.name}.damaged")

    def derived(self, name: str, content: bytes | str) -> AnyPath:
        """Write a file rebuilt from the records, such as `leaderboard.md`; its path."""
        self._check()
        path = self.store.root / name
        make_folder(path.parent)
        write(path, content.encode() if isinstance(content, str) else content)
        return path

    def _path(self, record: CellRecord | Outline) -> AnyPath:
        return self.store.records / f"{record.key}.{record.attempt}.json"


class Checkpoints:
    """The checkpoints of one cell, for the attempt at it that runs; no lock is needed.

    Every method raises StoreError or OSError where the folder cannot be used, or what its object store raises.
    """

    def __init__(self, store: Store, key: str, attempt: int) -> None:
        self._store, self._key = store, key
        self._own = store.checkpoints / f"{key}.{attempt}.safetensors"

    def files(self) -> list[AnyPath]:
        """All that there are, the latest attempt's first."""
        return self._store.checkpoint_files(self._key)

    def replace(self, content: bytes) -> None:
        """Write the attempt's checkpoint in the place of its last one, and remove those of earlier attempts."""
        folder = self._store.checkpoints
        if isinstance(folder, Path) and not folder.is_dir():
            raise StoreError(f"{folder}: this node does not see it; give the run a folder that all nodes share")
        write(self._own, content)
        files = self.files()
        for earlier in files[files.index(self._own) + 1 :]:  # no later ones, where this attempt was given up
            earlier.unlink(missing_ok=True)
