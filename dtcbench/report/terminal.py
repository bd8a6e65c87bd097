"""The leaderboard for a terminal: all of it in 100 columns, what matters most in 60."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from dtcbench.analysis.leaderboard import Leaderboard, series_label
from dtcbench.report import columns
from dtcbench.report.columns import HEADLINE_METRICS, Row
from dtcbench.report.fitting import Fitted, Strip
from dtcbench.report.score import score_of
from dtcbench.text import one_line

_BLANK_LINE_ABOVE = (1, 0, 0, 0)


def leaderboard_view(leaderboard: Leaderboard) -> RenderableType:
    """Per (protocol, dataset, model) a table in sections of equal sparsity, then remarks and notes.

    `params`, `FLOPs` (of training), `energy` and `time` are shares of dense; where no energy was measured
    the notes say why. Time is shown if energy was measured. A narrower terminal has fewer columns; removed,
    method, accuracy, points to dense and ok are always there. What forbids publishing comes first.
    """
    parts: list[RenderableType] = [
        _line(leaderboard.suite, style="bold"),
        *(_line(obstacle, style="bold red") for obstacle in leaderboard.obstacles),
        _line(leaderboard.question),
    ]
    for pool, frame in leaderboard.pools:
        rows = frame.to_dict("records")
        remarks = list(dict.fromkeys(filter(None, map(columns.remarks, rows))))
        parts += [
            Padding(_line(pool.title, style="bold"), _BLANK_LINE_ABOVE),
            _table(rows, remarks),
            *(_line(f"[{number}] {remark}") for number, remark in enumerate(remarks, 1)),
        ]
    for title, lines in columns.summary_pools(leaderboard):
        parts += [Padding(_line(title, style="bold"), _BLANK_LINE_ABOVE), _summary(lines)]
    notes = Group(*(_line(f"· {note}", style="dim") for note in leaderboard.notes))
    return Group(*parts, Padding(notes, _BLANK_LINE_ABOVE))


def _table(rows: Sequence[Row], remarks: list[str]) -> RenderableType:
    removed = [columns.share(columns.sparsity_shown(row)) for row in rows]
    starts = [place for place, share in enumerate(removed) if not place or share != removed[place - 1]]
    first = Strip("removed", [share if place in starts else "" for place, share in enumerate(removed)], is_whole=True)
    layouts = [[first, *_strips(rows, remarks, left_out)] for left_out in _brevities(rows)]
    return Fitted(layouts, section_ends={start - 1 for start in starts[1:]} | {len(rows) - 1}, gap=1)


def _brevities(rows: Sequence[Row]) -> Iterator[frozenset[str]]:
    """What the table leaves out, from nothing to everything that it can do without."""
    spare = ["FLOPs", "params", "time", "energy", "interval of accuracy", "interval of points"]
    if not any(map(columns.is_metered, rows)):
        spare.sort(key=lambda name: name != "energy")  # the notes say that it was not measured
    return (frozenset(spare[:count]) for count in range(len(spare) + 1))


def _summary(rows: Sequence[Row]) -> RenderableType:
    _, _, *numbers = columns.SUMMARY_COLUMNS  # method and solver share a column
    names = Strip("method", [series_label(row["method"], row["solver"]) for row in rows])
    return Fitted([[names, *(_figure(column.title.lower(), map(column.text, rows)) for column in numbers)]], gap=1)


def _strips(rows: Sequence[Row], remarks: list[str], left_out: Collection[str]) -> Iterator[Strip]:
    """The columns after the sparsity; the last is the number of the row's remark."""

    def number(row: Row) -> str:
        remark = columns.remarks(row)
        return f"[{remarks.index(remark) + 1}]" if remark else ""

    yield Strip("method", [series_label(row["method"], row["solver"]) for row in rows])
    score = score_of(rows)
    scores = (columns.score(row, fewer=1) for row in rows)
    yield _figure(score.label, _brief(scores, "interval of accuracy" in left_out))
    for column in columns.shown(rows):
        if column in HEADLINE_METRICS:
            yield _figure(column.title.lower(), map(column.text, rows))
    differences = (columns.difference(row, fewer=1) for row in rows)
    yield _figure(f"{score.points} to dense", _brief(differences, "interval of points" in left_out))
    costs: dict[str, Callable[[Row], str]] = {
        "params": lambda row: columns.share(row["parameters_ratio"]),
        "FLOPs": lambda row: columns.share(row["training_flops_ratio"]),
        "energy": columns.energy_mean,
    }
    if any(map(columns.is_metered, rows)):
        costs["time"] = lambda row: columns.share(row["time_ratio"])
    yield from (_figure(title, map(text, rows)) for title, text in costs.items() if title not in left_out)
    yield _figure("ok", map(columns.coverage, rows))
    if remarks:
        yield Strip("", list(map(number, rows)))


def _figure(title: str, texts: Iterable[str]) -> Strip:
    return Strip(title, list(texts), is_right=True, is_whole=True)


def _brief(texts: Iterable[str], without_interval: bool) -> Iterable[str]:
    return (text.partition(" [")[0] for text in texts) if without_interval else texts


def _line(text: str, style: str = "") -> Text:
    """`text` as it is: never read as markup, never with control characters."""
    return Text(one_line(text), style=style)
