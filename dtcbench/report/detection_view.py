"""What a suite's seeds can show, on the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from dtcbench.analysis.detection import Detection, uncertainty
from dtcbench.analysis.power import MOST_SEEDS
from dtcbench.analysis.stats import MIN_SEEDS
from dtcbench.report.blocks import Block, Paragraph, Table, texts
from dtcbench.text import ABSENT


def detection_view(found: Sequence[Detection], points: float, suite: str) -> Iterator[Block]:
    """Per comparison its spread, the smallest difference that the planned seeds find, and the seeds that find one of so
    many `points`; then the seeds for all of them, and what is lacking."""
    if not found:
        yield Paragraph(f"{suite} compares nothing: no method at the place of a dense cell")
        return
    known = [one for one in found if not math.isnan(one.spread)]
    if known:
        yield _table(found, points)
    if shown := [one.needed for one in known if one.needed is not None]:
        each = "the one comparison" if len(shown) == 1 else f"each of {len(shown)} comparisons"
        found_by = f"{max(shown)} seeds find a true difference of {_difference(points)} in 80 % of cases in {each}"
        yield Paragraph(f"{found_by}, by a two-sided paired t-test at 5 %; Holm's correction for many takes more.")
    if hidden := len(known) - len(shown):
        what = f"{hidden} of {len(found)} comparisons find it with no number of seeds up to {MOST_SEEDS:,}"
        yield Paragraph(f"{what}: other test images could differ by as much, or the seeds differ too much")
    if known:
        low, high = uncertainty(min(one.pairs for one in known))
        yield Paragraph(
            f"With the fewest pairs here a true spread is {low:.1f} to {high:.1f} times the one seen (95 %)."
        )
    if lacking := len(found) - len(known):
        what = f"{lacking} of {len(found)} comparisons have fewer than {MIN_SEEDS} finished pairs, or equal ones"
        yield Paragraph(f"{what}: `dtcbench run {suite}` makes more, or name a run that has some with --from")


def _table(found: Sequence[Detection], points: float) -> Table:
    titles = ("comparison", "pairs", "spread", "planned", "these find", f"for {_difference(points)}")
    lines = [
        (
            *(one.where, str(one.pairs), _points(one.spread), str(one.planned)),
            *(_points(one.smallest), str(one.needed or ABSENT)),
        )
        for one in found
    ]
    return Table(texts(titles, numbers=titles[1:], dropped=titles[1:4]), lines)


def _points(value: float) -> str:
    return ABSENT if math.isnan(value) else f"{100 * value:.2f}"


def _difference(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"
