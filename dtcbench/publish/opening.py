"""The opening of the results: sentences written by hand, every number in them computed from the bundles.

results/FINDINGS.md.jinja is the source, results/FINDINGS.md what `dtcbench publish` makes of it. docs/findings.md shows
how it is written.
"""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import jinja2
import jinja2.sandbox
import pandas as pd

from dtcbench.analysis import stats
from dtcbench.analysis.controls import false_verdicts
from dtcbench.analysis.differences import Accuracies, Difference, difference
from dtcbench.analysis.leaderboard import series_label
from dtcbench.analysis.literature import read_published
from dtcbench.analysis.pairing import DENSE, POOL, registered_name
from dtcbench.analysis.stats import Estimate
from dtcbench.analysis.verdicts import Comparison, Conclusion, Effect
from dtcbench.errors import UserError
from dtcbench.records.location import AnyPath
from dtcbench.records.run import Run
from dtcbench.report.drawings import Drawing, of_claims
from dtcbench.report.literature import published_markdown
from dtcbench.report.site.claims_page import ClaimsOnHardware
from dtcbench.report.site.site_run import SiteRun
from dtcbench.text import number_text, p_value, with_interval

T = TypeVar("T")
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SPELT = "|".join([*_WORDS[3:], "(?:thir|four|fif|six|seven|eigh|nine)teen", "twenty", "thirty", "forty", "fifty"])
_NUMBER = re.compile(rf"(?<![\w.])(?<!\w-)\d(?:[\d.,]*\d)?(?![\w-])|\b(?:{_SPELT})\b", re.IGNORECASE)
"""A number in prose: not the digits of a name, as in LeNet-300-100 or log2."""
_ASKED = (
    *("suite", "trainings", "row", "accuracy", "difference", "published"),
    *("claim", "comparisons", "comparison", "effect", "figure", "controls"),
)
"""The functions that a template may call, besides `given`."""
_LISTED = 12
_NO_PROSE = re.compile(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->", re.DOTALL)
"""Code, the targets of links, comments."""


@dataclass(frozen=True)
class Paired:
    """The difference in test accuracy of two methods, as a fraction of 1: its interval is that of a leaderboard's."""

    mean: float
    low: float
    high: float
    seeds: int
    p: float
    """Two-sided paired t-test; NaN without one."""
    p_adjusted: float
    """By Holm, for all networks, data and sparsities of the suite at which both methods were run."""


class Answers:
    """What a template may ask for. UserError where it asks for something that is not there, or not unique."""

    def __init__(self, runs: Sequence[SiteRun], judged: Sequence[ClaimsOnHardware], folder: AnyPath) -> None:
        """`folder` is where the files lie that a template names, such as a checkout."""
        self._shown = runs
        self._runs = [shown.run for shown in runs]
        self._judged = judged
        self._folder = folder
        self.figures: dict[str, Drawing] = {}
        """By file beside the findings, what the template has asked for so far."""

    def suite(self, name: str, hardware: str = "") -> Run:
        """The bundles of a suite, on hardware whose name holds `hardware`, as one run."""
        found = [shown.run for shown in self._shown if shown.run.suite == name and hardware in shown.hardware]
        if not found:
            _refuse(f"suite {name!r}", sorted(f"{shown.run.suite} on {shown.hardware}" for shown in self._shown))
        return found[0] if len(found) == 1 else Run.pool(found)

    def trainings(self) -> int:
        """How many cells of all bundles are ok."""
        return sum(run.status().get("ok", 0) for run in self._runs)

    def row(self, suite: str, method: str, sparsity: float | None = None, **where: str) -> dict[str, Any]:
        """The one row of a suite's leaderboard: `docs/columns.md` has its columns.

        `method` and what `where` asks of `model`, `dataset` and `protocol` are labels as the leaderboard has them, or
        the names in them. Without `sparsity`, the row of dense or of a protocol's own schedule.
        """
        rows = self.suite(suite).leaderboard().rows
        place = rows[_at(rows, sparsity) & _like(rows, where)]
        found = _methods(place, method)
        what = f"{suite}: {method} at {sparsity}, {where}"
        records = [{str(name): value for name, value in found.items()} for found in found.to_dict("records")]
        return _one(what, records, [f"{row.model}: {row.method}" for row in place.itertuples()])

    def accuracy(self, suite: str, method: str, sparsity: float | None = None, **where: str) -> Estimate:
        """Mean test accuracy over seeds with its interval."""
        row = self.row(suite, method, sparsity, **where)
        return Estimate(row["accuracy_mean"], _interval(row["accuracy_low"], row["accuracy_high"]), None)

    def difference(self, suite: str, one: str, other: str, sparsity: float | None = None, **where: str) -> Paired:
        """Accuracy of one method minus that of the other."""
        family = list(self._pairs(suite, one, other))
        p = stats.p_of([found.estimate for _, found in family])
        rows = pd.DataFrame([place for place, _ in family])
        rows["number"] = range(len(rows))
        there = rows[_at(rows, sparsity) & _like(rows, where)] if len(rows) else rows
        what = f"{suite}: {one} − {other} at {sparsity}, {where}"
        number = _one(what, list(there["number"]), [f"{row.model} at {row.sparsity}" for row in rows.itertuples()])
        mean, seeds = family[number][1].estimate, len(family[number][1].values)
        return Paired(mean.mean, mean.low, mean.high, seeds, float(p[number]), float(stats.holm(p)[number]))

    def _pairs(self, suite: str, one: str, other: str) -> Iterator[tuple[dict[str, Any], Difference]]:
        """Per pool and sparsity with both methods: the place, and the difference seed by seed."""
        cells = self.suite(suite).cells.query("status == 'ok'")
        for pool, same in cells.groupby(POOL, sort=False):
            for sparsity in same.loc[same["method"] != DENSE, "sparsity"].unique():
                here = same[_at(same, sparsity) | (same["method"] == DENSE)]
                left, right = (_by_seed(here, name) for name in (one, other))
                if len(seeds := left.index.intersection(right.index).sort_values()):
                    found = difference(*(Accuracies.of(cells.loc[seeds]) for cells in (left, right)))
                    yield dict(zip(POOL, pool, strict=True)) | {"sparsity": sparsity}, found

    def published(self, file: str, suite: str | None = None, methods: Sequence[str] = ()) -> str:
        """A CSV of others' published results as a table, recomputed; under it a suite's rows of these methods, or of
        all, at the nearest sparsity or speed-up."""
        board = self.suite(suite).leaderboard().rows if suite else None
        if board is not None and methods:
            board = pd.concat([_methods(board, name) for name in methods])
        return published_markdown(read_published(self._folder / file), board)

    def claim(self, name: str, hardware: str = "") -> Conclusion:
        """The conclusion on a claim; of several kinds of hardware whose name holds `hardware`, that of the one on which
        cells count and whose rules were fixed last."""
        judged = [one for one in self._judged if hardware in one.hardware]
        found = [(one, conclusion) for one in judged for conclusion in one.findings]
        same = [(one, conclusion) for one, conclusion in found if conclusion.id == name]
        same.sort(key=lambda pair: (bool(pair[1].cells), self._fixed_at(pair[0])), reverse=True)
        return _one(f"claim {name!r}", [conclusion for _, conclusion in same[:1]], [c.id for _, c in found])

    def _fixed_at(self, judged: ClaimsOnHardware) -> str:
        """When the last of the rules by which claims are judged on that hardware was fixed; empty if none was."""
        sealed = [shown.run.store.fixed_rules() for shown in self._shown if shown.hardware == judged.hardware]
        return max((rules.fixed_at for rules in sealed if rules), default="")

    def comparisons(self, claim: str, *words: str, verdict: str | None = None, hardware: str = "") -> list[Comparison]:
        """A claim's comparisons whose description holds all of these words, and that have this verdict."""
        found = self.claim(claim, hardware).comparisons
        return [c for c in found if all(word in c.where for word in words) and verdict in (None, c.verdict.value)]

    def comparison(self, claim: str, *words: str, hardware: str = "") -> Comparison:
        """The one comparison of a claim whose description holds all of these words."""
        described = [c.where for c in self.claim(claim, hardware).comparisons]
        found = self.comparisons(claim, *words, hardware=hardware)
        return _one(f"{claim}: {', '.join(words)}", found, described)

    def effect(self, claim: str, *words: str, name: str | None = None, hardware: str = "") -> Effect:
        """The effect of that comparison with this name; the first without a name."""
        effects = self.comparison(claim, *words, hardware=hardware).effects
        if name is None and effects:
            return effects[0]
        return _one(f"effect {name!r}", [e for e in effects if e.name == name], [e.name for e in effects])

    def controls(self, suite: str, hardware: str = "") -> str:
        """What a suite's A/A controls say of the bench's own false verdicts, as a sentence."""
        found = false_verdicts(self.suite(suite, hardware).cells)
        return _one(f"A/A controls of suite {suite!r}", [found] if found else [], [])

    def figure(self, claim: str, name: str = "") -> str:
        """A claim's figure as Markdown; with a name, such as `law`, the one that ends so."""
        drawings = of_claims([self.claim(claim)]).get(1, [])
        found = [drawing for drawing in drawings if drawing.name.endswith(f"-{name}")] if name else drawings[:1]
        drawing = _one(f"a figure {name!r} of claim {claim!r}", found, [drawing.name for drawing in drawings])
        file = f"{drawing.name}.svg"
        self.figures[file] = drawing
        return f"![{drawing.title}]({file})"


def rendered(source: str, name: str, answers: Answers) -> str:
    """The Markdown that the template `source`, a file called `name`, gives; it ends as the template does.

    UserError where the template cannot be rendered, or where its prose holds a number that nothing computes.
    """
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"given": str, **{name: getattr(answers, name) for name in _ASKED}}
    environment.filters |= FILTERS
    try:
        uncomputed = [f"{name}, line {line}: {number}" for line, number in _uncomputed(environment.lex(source))]
        template = environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"{name}, line {error.lineno}: {error.message}") from None
    if uncomputed:
        remedy = "compute it, or write {{ given('…') }} around a number that no record can give"
        raise UserError("\n".join([*uncomputed, f"numbers that nothing computes: {remedy}"]))
    try:
        return template.render()
    except (jinja2.TemplateError, UserError, TypeError, ValueError) as error:
        places = traceback.extract_tb(error.__traceback__)
        line = max((place.lineno or 0 for place in places if place.filename == template.filename), default=0)
        raise UserError(f"{name}, line {line}: {error}") from None


def _uncomputed(tokens: Any) -> Iterator[tuple[int, str]]:
    """Line and text of every number outside the template's expressions."""
    for line, kind, text in tokens:
        if kind == "data":
            prose = _NO_PROSE.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)
            for found in _NUMBER.finditer(prose):
                yield line + prose[: found.start()].count("\n"), found.group()


def _parts(number: Any) -> tuple[float, float, float]:
    """Value, low and high of an estimate, a paired difference, an effect or a plain number."""
    value = getattr(number, "mean", getattr(number, "value", number))
    return float(value), float(getattr(number, "low", math.nan)), float(getattr(number, "high", math.nan))


def _percent(number: Any, digits: int = 1, interval: bool = False) -> str:
    """`81.1 %`, or `81.1 [77.5, 84.8] %`."""
    value, low, high = _parts(number)
    text = with_interval(value, low if interval else math.nan, high, f".{digits}f", scale=100)
    return f"{text} %"


def _points(number: Any, digits: int = 1, interval: bool = False, sign: bool = True) -> str:
    """`−2.8`, or `−2.77 [−3.54, −1.99]`; the size alone with `sign=False`."""
    value, low, high = _parts(number)
    if not sign:
        return number_text(abs(value), f".{digits}f", scale=100)
    return with_interval(value, low if interval else math.nan, high, f"+.{digits}f", scale=100)


def _plain(number: Any, digits: int = 2, interval: bool = False) -> str:
    """`0.83`, or `0.11 [−0.07, 0.27]`."""
    value, low, high = _parts(number)
    return with_interval(value, low if interval else math.nan, high, f".{digits}f")


def _words(number: int) -> str:
    """`five`; digits beyond twelve."""
    return _WORDS[number] if 0 <= number < len(_WORDS) else f"{number:,}"


FILTERS: dict[str, Callable[..., str]] = {
    "percent": _percent,
    "points": _points,
    "plain": _plain,
    "p": p_value,
    "words": _words,
}
"""How a template shows a number."""


def _interval(low: float, high: float) -> tuple[float, float] | None:
    return None if math.isnan(low) else (low, high)


def _at(rows: pd.DataFrame, sparsity: float | None) -> pd.Series:
    """The rows at a planned sparsity; without one, dense and the rows that a schedule decides."""
    if sparsity is None or math.isnan(sparsity):
        return rows["sparsity"].isna() | (rows["sparsity"] == 0)
    return (rows["sparsity"].astype(float) - sparsity).abs() < stats.ROUNDING


def _like(rows: pd.DataFrame, where: dict[str, str]) -> pd.Series:
    """The rows whose labels are these, or have these names."""
    chosen = pd.Series(True, index=rows.index)
    for column, label in where.items():
        chosen &= (rows[column] == label) | (rows[column].map(registered_name) == label)
    return chosen


def _methods(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a competitor: by its label with the solver, else by its method's label, else by its name alone."""
    solvers = rows["solver"].fillna("")
    labels = pd.Series(map(series_label, rows["method"], solvers), index=rows.index, dtype=object)
    for column in (labels, rows["method"], rows["method"].map(registered_name)):
        if (found := column == name).any():
            return rows[found]
    return rows.iloc[:0]


def _by_seed(cells: pd.DataFrame, name: str) -> pd.DataFrame:
    """The cells of a competitor by seed."""
    found = _methods(cells, name)
    labels = found["method"] + " / " + found["solver"].fillna("")
    if labels.nunique() > 1:
        _refuse(f"{name}, which is not one competitor", list(labels))
    return found.set_index("seed")


def _one(what: str, found: Sequence[T], there: Sequence[str]) -> T:
    """The only one of those found."""
    if len(found) != 1:
        _refuse(f"{what}, of which there are {len(found)}", there)
    return found[0]


def _refuse(what: str, there: Sequence[str]) -> NoReturn:
    raise UserError(f"the findings ask for {what}; there is {_listed(there)}")


def _listed(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    distinct = list(dict.fromkeys(names))
    more = [f"{len(distinct) - _LISTED} more"] if len(distinct) > _LISTED else []
    return "; ".join([*distinct[:_LISTED], *more]) or "nothing"
