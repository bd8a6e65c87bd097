"""Everything that is derived from a run's records, rebuilt: tables, leaderboard, Markdown, CSV, LaTeX, page,
figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from dtcbench.analysis.controls import false_verdicts
from dtcbench.analysis.verdicts import Conclusion
from dtcbench.records import contributions, location
from dtcbench.records.location import AnyPath
from dtcbench.records.run import Run
from dtcbench.records.store import uncollected
from dtcbench.records.tables import parquet, power_table, untyped
from dtcbench.records.use import compared
from dtcbench.records.writer import Writer
from dtcbench.report import drawings, paper
from dtcbench.report.drawings import Drawing
from dtcbench.report.latex import latex
from dtcbench.report.leaderboard_view import leaderboard_view
from dtcbench.report.markdown import markdown
from dtcbench.report.paper import FORMS, Form
from dtcbench.report.use_view import use_view

PAGE = "leaderboard.html"


def claims_notes(run: Run) -> list[str]:
    """What a reader of the claims must know: cells that several runs of a pool hold, and the A/A control."""
    keys = ", ".join(key[:12] for key in sorted(run.conflicts))
    conflicts = f"Other accuracies in a later run, which do not count: {keys}" if keys else None
    return [note for note in (conflicts, false_verdicts(run.cells)) if note]


def compared_use(run: Run) -> pd.DataFrame | None:
    """The ways of use compared with dense; None if no use was measured."""
    return compared(use) if len(use := run.use) else None


def csv_of(rows: pd.DataFrame) -> str:
    """A line per row under the names of the columns; an empty field is a missing value."""
    # Twelve digits: exponentials, and with them the last of seventeen, differ between processors.
    return rows.to_csv(index=False, lineterminator="\n", float_format=_twelve_digits)


def _twelve_digits(value: Any) -> str:
    number = float(value)
    return repr(number if number.is_integer() else float(f"{number:.12g}"))


def files(run: Run) -> dict[str, bytes | str]:
    """Everything made from the tables but the page and the figures on paper, by its name in the run's folder.

    The same records give the same bytes.
    """
    leaderboard = run.leaderboard()
    with uncollected():
        return {
            "tables/cells.parquet": parquet(untyped(run.cells)),
            "tables/cycles.parquet": parquet(run.cycles),
            **({"tables/power.parquet": parquet(power_table(run.traces.items()))} if run.traces else {}),
            **_of_use(run),
            "leaderboard.csv": csv_of(leaderboard.rows),
            **({"summary.csv": csv_of(leaderboard.summary)} if len(leaderboard.summary) else {}),
            "leaderboard.md": markdown(leaderboard_view(leaderboard)),
            "leaderboard.tex": latex(leaderboard_view(leaderboard)),
        }


def _of_use(run: Run) -> dict[str, bytes | str]:
    if (rows := compared_use(run)) is None:
        return {}
    return {
        "tables/use.parquet": parquet(run.use),
        "use.csv": csv_of(rows),
        "use.md": markdown(use_view(rows, run.suite)),
    }


def page(run: Run) -> str:
    """The page of the run. The same records give the same text."""
    from dtcbench.report import html  # brings jinja2, which the leaderboard alone does not need
    from dtcbench.report.site.suite_page import suite_page

    with uncollected():
        shown = suite_page(run.leaderboard(), run.cells, run.cycles, run.traces, use=compared_use(run))
        return html.page(run.suite, shown)


def figures(run: Run) -> dict[str, Callable[[], bytes]]:
    """The page's figures on paper, by their names in the run's folder; each is drawn when it is called.

    The same records give the same bytes with the same version of vl-convert.
    """
    leaderboard = run.leaderboard()
    drawn = drawings.of_leaderboard(leaderboard, run.cells, run.cycles, run.traces, compared_use(run))
    named = drawings.by_file_name(leaderboard, drawn)
    return {
        f"figures/{name}.{form}": partial(on_paper, drawing, form) for name, drawing in named.items() for form in FORMS
    }


def write_claims(findings: Sequence[Conclusion], folder: Path) -> list[Path]:
    """Write the claims' figures on paper into a folder; their paths."""
    location.make_folder(folder)
    written = []
    for drawing in chain.from_iterable(drawings.of_claims(findings).values()):
        for form in FORMS:
            location.write(folder / f"{drawing.name}.{form}", on_paper(drawing, form))
            written.append(folder / f"{drawing.name}.{form}")
    return written


def on_paper(drawing: Drawing, form: Form) -> bytes:
    """A drawing as a file of this form."""
    return paper.drawn(drawing.figure(), form)


def write(run: Run, writer: Writer) -> list[AnyPath]:
    """Write all files made from the tables into the run's folder; their paths, and that of the figures' folder."""
    contributions.keep(writer)
    written = [writer.derived(name, content) for name, content in files(run).items()]
    written.append(writer.derived(PAGE, page(run)))
    drawn = [writer.derived(name, draw()) for name, draw in figures(run).items()]
    return written + list(dict.fromkeys(path.parent for path in drawn))
