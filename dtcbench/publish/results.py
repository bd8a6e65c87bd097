"""The folder of published results: everything in it that is derived from its bundles, rebuilt.

results/FINDINGS.md                what was found, written by hand: the opening of README.md
results/LICENCE                    the bundles' licence in one word, such as cc-by-4.0, written by hand
results/SUITE/HARDWARE/…           a bundle: a run's layout (records/store.py), with a data card
results/README.md, index.html      derived, as is each bundle's card, leaderboard and tables
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from dtcbench.analysis.leaderboard import Leaderboard
from dtcbench.analysis.pairing import one_line
from dtcbench.errors import UserError
from dtcbench.publish.card import LICENCE, UNKNOWN, bundle_files
from dtcbench.publish.check import examine
from dtcbench.records.location import Place, write
from dtcbench.records.store import Store
from dtcbench.report import build
from dtcbench.report.columns import Column, shown
from dtcbench.report.elements import template
from dtcbench.report.markdown import escaped, leaderboard_markdown

OPENING, LICENCE_FILE = "FINDINGS.md", "LICENCE"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]*")
_OPENING = f"# Results\n\nWhat was found belongs into {OPENING} beside this file, which then opens it."


@dataclass(frozen=True)
class Bundle:
    """One bundle as the folder's own pages show it."""

    name: str
    """Its path in the folder: SUITE/HARDWARE."""
    board: Leaderboard
    """With the hardware in its heading."""


def bundles(results: Place) -> list[Store]:
    """Every bundle under a folder of results, by name. UserError for a name that leads elsewhere or is no plain one."""
    stores = [Store(folder) for suite in _folders(results) for folder in _folders(suite)]
    return [store for store in stores if store.suite.is_file()]


def _folders(parent: Place) -> list[Place]:
    inside = sorted((path for path in parent.iterdir() if path.is_dir()), key=lambda path: path.name)
    for path in inside:
        if not _PLAIN.fullmatch(path.name) or (isinstance(path, Path) and path.is_symlink()):
            raise UserError(f"{path}: neither a suite's nor a bundle's folder; remove or rename it")
    return inside


def rebuild(results: Place) -> list[Place]:
    """Rebuild all that is derived; the paths written. The same bundles give the same bytes.

    UserError where a bundle breaks a rule: no table is made of it, and nothing is written.
    """
    if not results.is_dir():
        raise UserError(f"{results}: no such folder; `dtcbench publish RUN` makes it")
    licence, made, shelf = _licence(results), [], []
    for store in bundles(results):
        files, board = _bundle(store, licence)
        made += [(store.root / name, content) for name, content in files.items()]
        name = f"{store.root.parent.name}/{store.root.name}"
        shelf.append(Bundle(name, replace(board, suite=f"{board.suite} on {', '.join(board.hardware_classes)}")))
    made += [(results / "README.md", readme(_opening(results), shelf).encode())]
    made += [(results / "index.html", index(shelf).encode())]
    for path, content in made:
        path.parent.mkdir(exist_ok=True)
        write(path, content)
    return [path for path, _ in made]


def readme(opening: str, shelf: Sequence[Bundle]) -> str:
    """The opening as it is, then every bundle's tables, with where they come from and how to check them."""
    contents = "\n".join(f"- [{escaped(bundle.board.suite)}]({bundle.name}): {_counts(bundle)}" for bundle in shelf)
    blocks = [opening.rstrip("\n"), contents or "Nothing is published yet."]
    for bundle in shelf:
        how = f"`dtcbench check results/{bundle.name}`, `dtcbench reproduce results/{bundle.name} --sample 3`"
        blocks += [
            leaderboard_markdown(bundle.board).rstrip("\n"),
            f"Records and tables: [{bundle.name}]({bundle.name}). {how}",
        ]
    return "\n\n".join(blocks) + "\n"


def index(shelf: Sequence[Bundle]) -> str:
    """The same tables as one page that loads nothing and runs nothing."""
    pools = {bundle.name: [_pool(pool, rows) for pool, rows in bundle.board.pools] for bundle in shelf}
    return template("index.html").render(
        shelf=shelf, pools=pools, counts={bundle.name: _counts(bundle) for bundle in shelf}
    )


def _pool(pool: Sequence[str], rows: pd.DataFrame) -> tuple[str, Sequence[Column], list[list[str]]]:
    """Title, columns and texts of one table."""
    records = rows.to_dict("records")
    columns = shown(records)
    return " · ".join(pool), columns, [[column.text(row) for column in columns] for row in records]


def _bundle(store: Store, licence: str) -> tuple[dict[str, bytes], Leaderboard]:
    examined = examine(store)
    if examined.errors or examined.derived is None:
        raise UserError(
            "\n".join([f"{store.root} breaks the rules of publishing; mend or remove it:", *examined.errors])
        )
    made = build.files(examined.derived, store)
    return bundle_files(examined.derived, made, licence), examined.derived.board


def _counts(bundle: Bundle) -> str:
    rows = bundle.board.rows
    return f"{int(rows['ok'].sum())} of {int(rows['planned'].sum())} cells ok"


def _opening(results: Place) -> str:
    path = results / OPENING
    return path.read_text(encoding="utf-8") if path.is_file() else _OPENING


def _licence(results: Place) -> str:
    path = results / LICENCE_FILE
    licence = path.read_text(encoding="utf-8").strip() if path.is_file() else UNKNOWN
    if not LICENCE.fullmatch(licence):
        raise UserError(f"{path}: {one_line(licence)[:80]!r} is no licence's name; write one word such as cc-by-4.0")
    return licence
