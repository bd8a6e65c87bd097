"""Publishing one run: a bundle in results/SUITE/HARDWARE, with its records, its samples and what is made of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from dtcbench.errors import UserError
from dtcbench.records.compressed import compressed, content_of, forms
from dtcbench.records.location import AnyPath, make_folder, write
from dtcbench.records.lookup import plan_of
from dtcbench.records.run import Run
from dtcbench.records.store import FileKind, file_kind
from dtcbench.records.untrusted import listing

PUBLISHED: tuple[FileKind, ...] = ("weights", "trace", "record", "looks", "calibration", "rules", "names", "suite")
"""The kinds of files that are copied, in this order: a record never speaks of a file that is missing."""
_NO_HARDWARE = "unknown-hardware"


def slug(hardware_classes: Iterable[str]) -> str:
    """A folder's name for hardware classes: `nvidia-h200-139-gib-700-w`; several are joined."""
    names = [re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in sorted(hardware_classes)]
    return "--".join(filter(None, names))[:150] or _NO_HARDWARE


def place_of(run: Run, results: AnyPath) -> AnyPath:
    """Where a run is published."""
    return results / run.suite / slug(run.leaderboard().hardware_classes)


def copy(run: Run, bundle: AnyPath, omitted: Collection[str]) -> int:
    """Copy what is published of a run into its bundle, except the `omitted` files; how many are new or changed.

    A bundle grows by what a run has gained. Of a look in progress it gets nothing: neither the records nor the look
    that asked for them, which a run that goes on from the bundle takes again. UserError if it holds a record or samples
    of the same name with another content: what was published is never overwritten.
    """
    store = run.store
    files, _ = listing(store.root)
    left_out = {*omitted, *_of_look_in_progress(run, files)}
    names = [name for copied in PUBLISHED for name, kind in files.items() if kind == copied and name not in left_out]
    new = [name for name in names if not _is_there(_content(run, name), bundle, name)]
    grows = (store.suite.name, store.names.name, store.looks.name)
    clash = [name for name in new if name not in grows and _in(bundle, name) is not None]
    if clash:
        raise UserError(
            f"{bundle} holds another {clash[0]}" + (f" and {len(clash) - 1} more" if clash[1:] else "") + ": what was "
            "published stays; `dtcbench compare` says what differs, and another --results or removing the bundle by "
            "hand makes room"
        )
    for name in new:
        target, content = bundle / name, _content(run, name)
        if files[name] == "record":  # a long run's records are ten times smaller
            compressed_name, content = compressed(store.root / name)
            target = target.with_name(compressed_name)
        make_folder(target.parent)
        write(target, content)
    return len(new)


def _of_look_in_progress(run: Run, files: Mapping[str, FileKind | None]) -> Iterator[str]:
    """The records of cells that a look in progress has asked for, and what belongs to them."""
    open_plan = plan_of(run.store)
    further = {cell.key for cell in open_plan.cells} - {cell.key for cell in run.plan.cells}
    yield from (
        name for name, kind in files.items() if kind in ("record", "trace", "weights") and _key_of(name) in further
    )


def _key_of(name: str) -> str:
    """The cell of a file such as `records/KEY.1.json`."""
    return name.partition("/")[2].partition(".")[0]


def _content(run: Run, name: str) -> bytes:
    """What a file holds in a bundle: what it holds in the run, unpacked; of looks, those whose cells have all ended."""
    taken = run.store.looks_taken() if name == run.store.looks.name else None
    if taken is not None and len(taken.rows) > run.plan.looks - 1:
        return taken.only(run.plan.looks - 1).content
    return content_of(run.store.root / name)


def _in(bundle: AnyPath, name: str) -> AnyPath | None:
    """The file of a bundle that holds what the file of this name in a run holds; None if there is none."""
    names = forms(name) if file_kind(name) == "record" else (name,)
    return next((bundle / one for one in names if (bundle / one).exists()), None)


def _is_there(content: bytes, bundle: AnyPath, name: str) -> bool:
    there = _in(bundle, name)
    return there is not None and there.is_file() and content_of(there) == content
