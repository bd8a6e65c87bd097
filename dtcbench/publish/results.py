"""The folder of published results: everything in it that is derived from its bundles, rebuilt.

results/FINDINGS.md                what was found, written by hand: the opening of README.md and of the site
results/LICENCE                    the bundles' licence in one word, such as cc-by-4.0, written by hand
results/SUITE/HARDWARE/…           a bundle: a run's layout (records/store.py), with a data card
results/README.md                  derived, as is each bundle's card, leaderboard and tables
site/                              derived, beside results: a page per suite, method and cell
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dtcbench.errors import UserError
from dtcbench.publish.bundle import slug
from dtcbench.publish.card import LICENCE, UNKNOWN, bundle_files
from dtcbench.publish.check import Examined, examine
from dtcbench.records.location import Place, make_folder, quotable, write
from dtcbench.records.store import Store
from dtcbench.report import build
from dtcbench.report.claims_view import verdict_rows
from dtcbench.report.markdown import escaped, leaderboard_markdown, markdown_table
from dtcbench.report.site.claims import Judged
from dtcbench.report.site.pages import judge, site
from dtcbench.report.site.volumes import Volume
from dtcbench.text import one_line

OPENING, LICENCE_FILE, SITE = "FINDINGS.md", "LICENCE", "site"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]*")
_OPENING = f"# Results\n\nWhat was found belongs into {OPENING} beside this file, which then opens it."
_CLAIMS = """\
## The paper's claims

By the cells below and the rules of [docs/statistics.md](../docs/statistics.md). `dtcbench claims --full` gives each
with its comparisons, and so does the site that `dtcbench publish` makes in `site/`. The first needs the paper's curves,
which are not part of this repository: `--reference`."""


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
    _replaceable(results.parent / SITE)
    licence, opening, shelf = _licence(results), _opening(results), list(map(_volume, bundles(results)))
    judged = judge(shelf, None)
    made = [
        (volume.store.root / name, content)
        for volume in shelf
        for name, content in bundle_files(volume.derived, build.files(volume.derived, volume.store), licence).items()
    ]
    made += [(results / "README.md", readme(opening, shelf, judged).encode())]
    for path, content in made:
        make_folder(path.parent)
        write(path, content)
    return [path for path, _ in made] + write_site(results.parent / SITE, shelf, opening, judged)


def write_site(folder: Place, volumes: Sequence[Volume], opening: str, judged: Sequence[Judged]) -> list[Place]:
    """Write the site anew; the paths of its files. What else was put into its folder stays. UserError where the folder
    holds something else than a site.
    """
    _replaceable(folder)
    for path in _pages(folder):
        path.unlink()
    written = []
    for name, content in site(volumes, opening, judged):
        make_folder((folder / name).parent)
        write(folder / name, content.encode())
        written.append(folder / name)
    return written


def readme(opening: str, shelf: Sequence[Volume], judged: Sequence[Judged]) -> str:
    """The opening as it is, the verdicts, then every bundle's tables, with where they come from and how to check
    them."""
    contents = "\n".join(f"- [{escaped(volume.title)}]({volume.path}): {volume.counts}" for volume in shelf)
    blocks = [opening.rstrip("\n"), contents or "Nothing is published yet.", *_verdicts(judged)]
    for volume in shelf:
        how = f"`dtcbench check results/{volume.path}`, `dtcbench reproduce results/{volume.path} --sample 3`"
        blocks += [
            leaderboard_markdown(replace(volume.derived.board, suite=volume.title)).rstrip("\n"),
            f"Records and tables: [{volume.path}]({volume.path}). {how}",
        ]
    return "\n\n".join(blocks) + "\n"


def _verdicts(judged: Sequence[Judged]) -> Iterator[str]:
    if judged:
        yield _CLAIMS
    for one in judged:
        by = ", ".join(one.suites) or "no suite"
        yield escaped(" ".join([f"On {one.hardware}, by {by}.", *one.left_out]))
        yield markdown_table(("", "Claim", "Verdict", "Why"), verdict_rows(one.findings))
        yield from (f"> **{escaped(note)}**" for note in one.conflicts)


def volumes(runs: Iterable[Examined]) -> Iterator[Volume]:
    """Runs as a site shows them, each in a folder of its own. UserError where one gives no tables."""
    seen: Counter[str] = Counter()
    for run in runs:
        if run.plan is None or run.derived is None:
            raise UserError("\n".join([f"{run.store.root} gives no tables:", *run.errors]))
        path = f"{run.plan.suite.name}/{slug(run.derived.board.hardware_classes)}"
        seen[path] += 1
        unique = path if seen[path] == 1 else f"{path}--{seen[path]}"
        yield Volume(unique, quotable(run.store.root), run.plan, run.store, run.derived)


def _volume(store: Store) -> Volume:
    """A bundle as the site shows it; UserError where it breaks a rule."""
    examined = examine(store)
    if examined.errors or examined.plan is None or examined.derived is None:
        raise UserError(
            "\n".join([f"{store.root} breaks the rules of publishing; mend or remove it:", *examined.errors])
        )
    path = f"{store.root.parent.name}/{store.root.name}"
    return Volume(path, f"results/{path}", examined.plan, store, examined.derived)


def _replaceable(folder: Place) -> None:
    """UserError where a site would overwrite something that is none."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "assets" / "page.css").is_file():
        raise UserError(f"{folder} is not empty and holds no site; move it away, or make the site with --out elsewhere")


def _pages(folder: Place) -> list[Place]:
    """Those of an earlier site; what is hidden is none of them."""
    found: list[Place] = list(folder.rglob("*.html")) if folder.exists() else []
    return [path for path in found if "/." not in str(path).removeprefix(str(folder))]


def _opening(results: Place) -> str:
    path = results / OPENING
    return path.read_text(encoding="utf-8") if path.is_file() else _OPENING


def _licence(results: Place) -> str:
    path = results / LICENCE_FILE
    licence = path.read_text(encoding="utf-8").strip() if path.is_file() else UNKNOWN
    if not LICENCE.fullmatch(licence):
        raise UserError(f"{path}: {one_line(licence)[:80]!r} is no licence's name; write one word such as cc-by-4.0")
    return licence
