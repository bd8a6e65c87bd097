"""The claims for a terminal: one screen with the verdicts, or everything, with rules and evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dtcbench.analysis.verdicts import Comparison, Conclusion, Effect, Verdict, would_decide
from dtcbench.text import ABSENT, number_text, one_line, p_value, with_interval

_COLOURS = {
    Verdict.SUPPORTED: "green",
    Verdict.REFUTED: "red",
    Verdict.EQUIVALENT: "cyan",
    Verdict.UNDECIDED: "yellow",
    Verdict.NOT_MEASURED: "dim",
}
MARKS = {
    Verdict.SUPPORTED: "for",
    Verdict.REFUTED: "against",
    Verdict.EQUIVALENT: "equal",
    Verdict.UNDECIDED: "open",
    Verdict.NOT_MEASURED: ABSENT,
}
READ_ON = (
    "dtcbench claims RUN… --full shows each rule, comparison, interval and cell; dtcbench site RUN… draws them; "
    "docs/statistics.md has the rules and their sources."
)
_BLANK_LINE_ABOVE = (1, 0, 0, 0)
_INDENT = (0, 0, 0, 2)
_KEYS_SHOWN = 4
_MEAN = "mean over "
NOTE = (
    "Intervals are Student's t intervals of 95 % over seeds. p is adjusted for the number of comparisons where one of "
    "them can decide alone (Holm). docs/statistics.md has the rules and their sources."
)


def brief_view(
    conclusions: Sequence[Conclusion], notes: Sequence[str] = (), rules: Sequence[str] = ()
) -> RenderableType:
    """On a screen: per claim its verdict, the reason and the size of the effect; `rules` says when each was fixed."""
    parts: list[RenderableType] = []
    for conclusion in measured_first(conclusions):
        parts += [
            Text.assemble(f"{conclusion.id}: ", _verdict(conclusion), ": ", (conclusion.statement, "bold")),
            Padding(Text(_in_brief(conclusion)), _INDENT),
        ]
    parts += [Text(one_line(note), style="bold yellow") for note in notes]
    return Group(*parts, _last_lines(rules, READ_ON))


def measured_first(conclusions: Sequence[Conclusion]) -> list[Conclusion]:
    """The claims in their order, those on which nothing was measured last."""
    return sorted(conclusions, key=lambda found: found.verdict is Verdict.NOT_MEASURED)


def claims_view(
    conclusions: Sequence[Conclusion], notes: Sequence[str] = (), rules: Sequence[str] = ()
) -> RenderableType:
    """The verdicts, then per claim its rule, its reason, its comparisons and the keys of its cells."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for title in ("", "claim", "verdict"):
        table.add_column(title, no_wrap=title != "claim")
    for conclusion in conclusions:
        table.add_row(conclusion.id, Text(conclusion.statement), _verdict(conclusion))
    parts: list[RenderableType] = [table, *(Text(one_line(note), style="bold yellow") for note in notes)]
    for conclusion in conclusions:
        parts.append(Padding(_details(conclusion), _BLANK_LINE_ABOVE))
    return Group(*parts, _last_lines(rules, NOTE))


def _last_lines(rules: Sequence[str], words: str) -> RenderableType:
    return Padding(Group(*(Text(one_line(line)) for line in rules), Text(words, style="dim")), _BLANK_LINE_ABOVE)


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


def _in_brief(conclusion: Conclusion) -> str:
    """The size of the effect and the reason, which says over what the mean is only once."""
    effect = effect_shown(conclusion)
    where = effect.rpartition(", ")[2]
    reason = one_line(conclusion.reason).removeprefix(f"{where}: ")
    return f"{effect}; {reason}" if effect else reason


def _verdict(conclusion: Conclusion) -> Text:
    return Text(conclusion.verdict, style=_COLOURS[conclusion.verdict])


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


def _details(conclusion: Conclusion) -> RenderableType:
    heading = Text(f"{conclusion.id}: ", style="bold").append_text(_verdict(conclusion))
    parts: list[RenderableType] = [Text(f"Source: {one_line(source)}") for source in conclusion.sources]
    parts += [Text(f"Rule: {conclusion.rule}"), Text(f"Here: {one_line(conclusion.reason)}")]
    parts += [_comparison(comparison) for comparison in conclusion.comparisons]
    if cells := conclusion.cells:
        more = f" and {len(cells) - _KEYS_SHOWN} more" if len(cells) > _KEYS_SHOWN else ""
        parts.append(Text(f"Cells: {', '.join(key[:12] for key in cells[:_KEYS_SHOWN])}{more}", style="dim"))
    return Group(heading, Padding(Group(*parts), _INDENT))


def _comparison(comparison: Comparison) -> RenderableType:
    mark = Text(f"{MARKS[comparison.verdict]:>7}", style=_COLOURS[comparison.verdict])
    adjusted = "" if math.isnan(comparison.p_adjusted) else f" (adjusted p {p_value(comparison.p_adjusted)})"
    line = Text.assemble(mark, f"  {one_line(comparison.where)}: {one_line(comparison.reason)}{adjusted}")
    beside = [*map(effect_text, comparison.effects), *filter(None, (power_text(comparison),))]
    return Group(line, *(Text(f"         {one_line(words)}", style="dim") for words in beside))
