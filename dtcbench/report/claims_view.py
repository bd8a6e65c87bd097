"""The claims as documents: one screen with the verdicts, or everything, with rules and evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from dtcbench.analysis.verdicts import Comparison, Conclusion, Effect, Verdict, would_decide
from dtcbench.report.blocks import Block, Card, Cards, Column, Figure, Fold, Heading, Link, Mark, Paragraph, Table
from dtcbench.text import ABSENT, number_text, one_line, p_value, with_interval

MARKS = {
    Verdict.SUPPORTED: "for",
    Verdict.REFUTED: "against",
    Verdict.EQUIVALENT: "equal",
    Verdict.UNDECIDED: "open",
    Verdict.NOT_MEASURED: ABSENT,
}
_READ_ON = (
    "dtcbench claims RUN… --full shows each statement, rule and comparison; dtcbench site RUN… draws them; "
    "docs/statistics.md has the rules."
)
_KEYS_SHOWN = 4
_MEAN = "mean over "
NOTE = (
    "Intervals are Student's t intervals of 95 % over seeds. p is adjusted for the number of comparisons where one of "
    "them can decide alone (Holm). docs/statistics.md has the rules and their sources."
)


def brief_view(
    conclusions: Sequence[Conclusion], notes: Sequence[str] = (), rules: Sequence[str] = ()
) -> Iterator[Block]:
    """On a screen: per claim its verdict and the size of the effect, or else the reason."""
    yield cards(conclusions, lambda found: found.id)
    yield from _last_lines(notes, rules, _READ_ON)


def cards(
    conclusions: Sequence[Conclusion],
    name: Callable[[Conclusion], str],
    href: Callable[[Conclusion], str] = lambda found: "",
) -> Cards:
    """The claims at a glance."""
    return Cards(
        [
            Card(name(found), found.verdict, effect_shown(found) or one_line(found.reason), href(found))
            for found in measured_first(conclusions)
        ]
    )


def measured_first(conclusions: Sequence[Conclusion]) -> list[Conclusion]:
    """The claims in their order, those on which nothing was measured last."""
    return sorted(conclusions, key=lambda found: found.verdict is Verdict.NOT_MEASURED)


def claims_view(
    conclusions: Sequence[Conclusion], notes: Sequence[str] = (), rules: Sequence[str] = ()
) -> Iterator[Block]:
    """Per claim its verdict, reason, sources, rule, comparisons and the keys of its cells."""
    for conclusion in measured_first(conclusions):
        yield from claim_view(conclusion)
    yield from _last_lines(notes, rules, NOTE)


def claim_view(
    conclusion: Conclusion,
    figures: Sequence[Figure] = (),
    pages: Mapping[str, str] | None = None,
    hardware: str = "",
) -> Iterator[Block]:
    """One claim; `pages` has the addresses of cells by key, and `hardware` tells its table from another's."""
    effect = effect_shown(conclusion)
    said = (Mark(effect, "strong"), "; ") if effect else ()
    over = effect.rpartition(", ")[2]  # the mean is over it, which the reason says too
    reason = one_line(conclusion.reason).removeprefix(f"{over}: ")
    yield Heading(f"{conclusion.id}: {conclusion.statement}", 3)
    yield Paragraph((Mark(conclusion.verdict, conclusion.verdict), ": ", *said, reason))
    yield from (Paragraph(f"Source: {source}") for source in conclusion.sources)
    yield Paragraph(f"Rule: {conclusion.rule}")
    yield from figures
    if found := conclusion.comparisons:
        label = f"Comparisons behind claim {conclusion.id}{' on ' if hardware else ''}{hardware}"
        yield Fold(f"{len(found)} comparisons", [Table(_COMPARISONS, found, label)])
    cells = conclusion.cells
    links = [Link(key[:12], pages[key]) for key in cells if key in pages] if pages else []
    if links:
        spaced: tuple[Link | str, ...] = tuple(piece for link in links for piece in (link, " "))
        yield Fold(f"{len(links)} cells it rests on", [Paragraph(spaced)])
    elif cells and pages is None:
        more = f" and {len(cells) - _KEYS_SHOWN} more" if len(cells) > _KEYS_SHOWN else ""
        yield Paragraph(f"Cells: {', '.join(key[:12] for key in cells[:_KEYS_SHOWN])}{more}", "quiet")


def _last_lines(notes: Sequence[str], rules: Sequence[str], words: str) -> Iterator[Block]:
    yield from (Paragraph(note, "warning") for note in notes)
    yield from map(Paragraph, rules)
    yield Paragraph(words, "quiet")


def verdict_rows(conclusions: Sequence[Conclusion]) -> list[tuple[str, str, str, str]]:
    """Id, statement, verdict and reason of each claim."""
    return [(found.id, found.statement, found.verdict.value, found.reason) for found in conclusions]


_UNITS = {
    "points": (100, "+.2f", "points"),
    "percent": (100, ".2f", "%"),
    "r": (1, "+.2f", ""),
    "times": (1, ".3g", "times"),
}
"""Factor, format and unit of an effect."""


def effect_text(effect: Effect) -> str:
    """`energy saved: 12.3 % [10.1, 14.5]`; points are percentage points, a correlation has no unit."""
    scale, form, unit = _UNITS[effect.unit]
    if math.isinf(effect.value):
        return f"{effect.name}: without end"
    return f"{effect.name}: {with_interval(effect.value, effect.low, effect.high, form, unit, scale)}"


def effect_shown(conclusion: Conclusion) -> str:
    """`difference in accuracy: −0.05 points [−0.16, +0.06], mean over 13 pairs`, if the comparisons have a mean.

    Else the ends of the comparisons' first effects, `difference in accuracy: −9.15 to +0.10 points`; empty without any
    value.
    """
    for comparison in conclusion.comparisons:
        if comparison.where.startswith(_MEAN) and comparison.effects:
            return one_line(f"{effect_text(comparison.effects[0])}, {comparison.where}")
    judged = [comparison.effects[0] for comparison in conclusion.comparisons if comparison.effects]
    known = sorted((effect for effect in judged if not math.isnan(effect.value)), key=lambda effect: effect.value)
    if not known:
        return ""
    if len(known) == 1:
        return one_line(effect_text(known[0]))
    scale, form, unit = _UNITS[known[0].unit]
    low, high = number_text(known[0].value, form, scale=scale), number_text(known[-1].value, form, unit, scale)
    names = dict.fromkeys(effect.name.partition(" at ")[0] for effect in judged)  # each has its own place after that
    return one_line(f"{', '.join(names)}: {low} to {high}")


def power_text(comparison: Comparison) -> str:
    """`margin ±0.40 points; could have shown 0.31 points (80 %); 12 seeds for 1 point`; empty without any of it."""
    parts = []
    if not math.isnan(comparison.margin):
        parts.append(f"margin ±{number_text(comparison.margin, '.2f', 'points', 100)}")
    if not math.isnan(comparison.detectable):
        parts.append(f"could have shown {number_text(comparison.detectable, '.2f', 'points', 100)} (80 %)")
    seeds = {
        "1 point": comparison.seeds_for_point,
        "the smallest effect of interest": comparison.seeds_for_smallest,
    }
    needed = [f"{number} for {what}" for what, number in seeds.items() if number is not None]
    if needed:
        parts.append(f"seeds it takes: {', '.join(needed)}")
    if comparison.seeds_needed and not math.isnan(comparison.p):
        parts.append(would_decide(comparison.seeds_needed))
    return "; ".join(parts)


def _effects(comparison: Comparison) -> str:
    return "; ".join(map(effect_text, comparison.effects)) or ABSENT


_COMPARISONS = (
    Column("Comparison", lambda one: one.where, is_number=False),
    Column("Says", lambda one: MARKS[one.verdict], lambda one: one.verdict.value, is_number=False),
    Column("Seeds", lambda one: str(one.seeds), lambda one: float(one.seeds)),
    Column("Adjusted p", lambda one: p_value(one.p_adjusted), lambda one: one.p_adjusted),
    Column("Why", lambda one: one.reason, is_number=False),
    Column("Effects", _effects, is_number=False),
    Column("Power", lambda one: power_text(one) or ABSENT, is_number=False),
)
