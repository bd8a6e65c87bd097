"""Publishing one run: a bundle in results/SUITE/HARDWARE, with its records, its samples and what is made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dtcbench.errors import UserError
from dtcbench.publish.check import Examined
from dtcbench.records.location import Place, make_folder, write
from dtcbench.records.store import Part, Store

PUBLISHED: tuple[Part, ...] = ("trace", "record", "names", "suite")
"""What is copied, in the order of copying: no record ever speaks of samples that are not there."""
_NO_HARDWARE = "unknown-hardware"


def slug(hardware_classes: Iterable[str]) -> str:
    """A folder's name for hardware classes: `nvidia-h200-139-gib-700-w`; several are joined."""
    names = [re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in sorted(hardware_classes)]
    return "--".join(filter(None, names))[:150] or _NO_HARDWARE


def place_of(examined: Examined, results: Place) -> Place:
    """Where a run that keeps every rule is published."""
    if examined.plan is None or examined.derived is None:
        raise UserError(f"{examined.store.root}: nothing can be published of it; `dtcbench check` says why")
    return results / examined.plan.suite.name / slug(examined.derived.board.hardware_classes)


def copy(examined: Examined, bundle: Place) -> int:
    """Copy what is published of a run into its bundle; how many files are new or other than before.

    A bundle grows by what a run has gained. UserError where it holds a record or samples of the same name with
    another content: what was published is never overwritten.
    """
    kinds = examined.listing.files.items()
    names = [name for part in PUBLISHED for name, kind in kinds if kind == part and name not in examined.unclaimed]
    new = [name for name in names if not _is_there(examined.store, bundle, name)]
    grows = (examined.store.suite.name, examined.store.names.name)
    clash = [name for name in new if name not in grows and (bundle / name).exists()]
    if clash:
        raise UserError(
            f"{bundle} holds another {clash[0]}" + (f" and {len(clash) - 1} more" if clash[1:] else "") + ": what was "
            "published stays; `dtcbench compare` says what differs, and another --results or removing the bundle by "
            "hand makes room"
        )
    for name in new:
        make_folder((bundle / name).parent)
        write(bundle / name, (examined.store.root / name).read_bytes())
    return len(new)


def _is_there(store: Store, bundle: Place, name: str) -> bool:
    path = bundle / name
    return path.is_file() and path.read_bytes() == (store.root / name).read_bytes()
