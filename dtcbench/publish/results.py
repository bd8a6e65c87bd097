"""The folder of published results: everything in it that is derived from its bundles, rebuilt.

results/FINDINGS.md.jinja          what was found: sentences by hand, numbers computed (publish/opening.py)
results/FINDINGS.md                made of it, or by hand without it: the opening of README.md and of the site
results/*.svg                      the figures that it asks for; the site has them too
results/LICENCE                    the bundles' licence in one word, such as cc-by-4.0, written by hand
results/SUITE/HARDWARE/…           a bundle: a run's layout (records/store.py), with a data card
results/README.md                  derived, as is each bundle's card, leaderboard and tables
site/                              derived, next to results: a page per suite, method and cell
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from dtcbench.errors import UserError
from dtcbench.publish.bundle import slug
from dtcbench.publish.card import LICENCE, UNKNOWN, bundle_files
from dtcbench.publish.examine import examine
from dtcbench.publish.findings import bars, lines
from dtcbench.publish.opening import Answers, rendered
from dtcbench.records.location import AnyPath, make_folder, quotable, write
from dtcbench.records.run import Run
from dtcbench.records.store import Store
from dtcbench.report import build
from dtcbench.report.blocks import Block, Bullets, Link, Paragraph, Prose, Table, texts
from dtcbench.report.claims_view import verdict_rows
from dtcbench.report.leaderboard_view import leaderboard_view
from dtcbench.report.markdown import markdown
from dtcbench.report.site.claims_page import ClaimsOnHardware
from dtcbench.report.site.pages import judge, site
from dtcbench.report.site.site_run import SiteRun
from dtcbench.text import one_line

OPENING, TEMPLATE, LICENCE_FILE, SITE = "FINDINGS.md", "FINDINGS.md.jinja", "LICENCE", "site"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]*")
_OPENING = f"# Results\n\nWrite the findings into {OPENING} in this folder: this page then opens with them."
_CLAIMS = """\
## The claims

By the cells below and the rules of [docs/statistics.md](../docs/statistics.md). `dtcbench claims --full` gives each
with its comparisons, and so does the site that `dtcbench publish` makes in `site/`."""


def bundles(results: AnyPath) -> list[Store]:
    """Every bundle under a folder of results, by name. UserError for a link or an unusual name."""
    stores = [Store(folder) for suite in _folders(results) for folder in _folders(suite)]
    return [store for store in stores if store.suite.is_file()]


def _folders(parent: AnyPath) -> list[AnyPath]:
    inside = sorted((path for path in parent.iterdir() if path.is_dir()), key=lambda path: path.name)
    for path in inside:
        if not _PLAIN.fullmatch(path.name) or (isinstance(path, Path) and path.is_symlink()):
            raise UserError(f"{path}: neither a suite's nor a bundle's folder; remove or rename it")
    return inside


def rebuild(results: AnyPath) -> list[AnyPath]:
    """Rebuild all that is derived; the paths written. The same bundles give the same bytes.

    UserError where a bundle breaks a rule: no table is made of it, and nothing is written.
    """
    if not results.is_dir():
        raise UserError(f"{results}: no such folder; `dtcbench publish RUN` makes it")
    _replaceable(results.parent / SITE)
    licence, published = _licence(results), list(map(_published, bundles(results)))
    judged = judge(published, None)
    opening, figures = _opening(results, published, judged)
    made = [
        (shown.run.folder / name, content)
        for shown in published
        for name, content in bundle_files(shown.run.leaderboard(), build.files(shown.run), licence).items()
    ]
    made += [(results / OPENING, opening.encode())] if (results / TEMPLATE).is_file() else []
    made += [(results / name, content) for name, content in figures.items()]
    made += [(results / "README.md", markdown(readme(opening, published, judged)).encode())]
    for path, content in made:
        make_folder(path.parent)
        write(path, content)
    for path in results.glob("*.svg"):
        if path.name not in figures:
            path.unlink()
    return [path for path, _ in made] + write_site(results.parent / SITE, published, opening, judged, figures)


def write_site(
    folder: AnyPath,
    runs: Sequence[SiteRun],
    opening: str,
    judged: Sequence[ClaimsOnHardware],
    figures: Mapping[str, bytes] | None = None,
) -> list[AnyPath]:
    """Write the site anew, with the figures of its opening; the paths of its files. What else was put into its folder
    stays. UserError where the folder holds something else than a site.
    """
    _replaceable(folder)
    for path in _pages(folder):
        path.unlink()
    written = []
    pages = ((name, content.encode()) for name, content in site(runs, opening, judged))
    for name, content in chain(pages, (figures or {}).items()):
        make_folder((folder / name).parent)
        write(folder / name, content)
        written.append(folder / name)
    return written


def readme(opening: str, published: Sequence[SiteRun], judged: Sequence[ClaimsOnHardware]) -> Iterator[Block]:
    """The opening as it is, the verdicts, then every bundle's tables, with where they come from and how to check
    them."""
    yield Prose(opening)
    contents = [(Link(shown.title, shown.path), f": {shown.counts}") for shown in published]
    yield Bullets(contents) if contents else Paragraph("Nothing is published yet.")
    if judged:
        yield Prose(_CLAIMS)
    for one in judged:
        by = ", ".join(one.suites) or "no suite"
        yield Paragraph(f"On {one.hardware}, by {by}. {'; '.join(one.rules)}.")
        yield Table(texts(("", "Claim", "Verdict", "Why")), verdict_rows(one.findings))
        yield from (Paragraph(note, "warning") for note in one.notes)
    for shown in published:
        yield from leaderboard_view(replace(shown.run.leaderboard(), suite=shown.title))
        how = f"`dtcbench check results/{shown.path}`, `dtcbench reproduce results/{shown.path} --sample 3`"
        yield Prose(f"Records and tables: [{shown.path}]({shown.path}). {how}")


def on_site(runs: Iterable[Run]) -> Iterator[SiteRun]:
    """Runs as a site shows them, each in a folder of its own."""
    seen: Counter[str] = Counter()
    for run in runs:
        path = f"{run.suite}/{slug(run.leaderboard().hardware_classes)}"
        seen[path] += 1
        unique = path if seen[path] == 1 else f"{path}--{seen[path]}"
        yield SiteRun(unique, quotable(run.folder), run)


def _published(store: Store) -> SiteRun:
    """A bundle as the site shows it; UserError if it breaks a rule."""
    found, run = examine(store)
    if run is None or bars(found):
        broken = lines(one for one in found if one.weight == "error")
        raise UserError("\n".join([f"{store.root} breaks the rules of publishing; mend or remove it:", *broken]))
    path = f"{store.root.parent.name}/{store.root.name}"
    return SiteRun(path, f"results/{path}", run)


def _replaceable(folder: AnyPath) -> None:
    """UserError if a site would overwrite something else."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "assets" / "page.css").is_file():
        raise UserError(f"{folder} is not empty and holds no site; move it away, or make the site with --out elsewhere")


def _pages(folder: AnyPath) -> list[AnyPath]:
    """The pages of an earlier site and what they shared, without hidden files."""
    if not folder.exists():
        return []
    found: list[AnyPath] = [*folder.rglob("*.html"), *(folder / "assets").glob("*.*")]
    return [path for path in found if "/." not in str(path).removeprefix(str(folder))]


def _opening(
    results: AnyPath, published: Sequence[SiteRun], judged: Sequence[ClaimsOnHardware]
) -> tuple[str, dict[str, bytes]]:
    """What the template gives, and its figures by file; without one the findings as they were written, or how to
    begin."""
    template, path = results / TEMPLATE, results / OPENING
    if not template.is_file():
        return (path.read_text(encoding="utf-8") if path.is_file() else _OPENING), {}
    answers = Answers(published, judged, results.parent)
    text = rendered(template.read_text(encoding="utf-8"), TEMPLATE, answers)
    return text, {name: build.on_paper(drawing, "svg") for name, drawing in answers.figures.items()}


def _licence(results: AnyPath) -> str:
    path = results / LICENCE_FILE
    licence = path.read_text(encoding="utf-8").strip() if path.is_file() else UNKNOWN
    if not LICENCE.fullmatch(licence):
        raise UserError(f"{path}: {one_line(licence)[:80]!r} is not a licence's name; write one word such as cc-by-4.0")
    return licence
