"""A cell's power over time: what is drawn of a trace, what is told apart, and what must not be lost."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from dtcbench.energy.segments import Segment
from dtcbench.energy.trace import Trace, to_parquet
from dtcbench.records.tables import power_table
from dtcbench.report.power_chart import POINTS, power_chart, power_drawn, power_figure
from dtcbench.report.vega import Style
from dtcbench.unavailable import Unavailable

LOOKS = {"dtc": Style("#0072B2", "circle"), "<b>dense</b>": Style("#808080", "x")}
IDLE = (2.0, None, None, 60.0)


def trace(*parts: tuple[float, str | None, int | None, float], every_s: float = 0.025, **columns) -> pd.DataFrame:
    """Parts that follow one another: seconds, phase, training and watts; `columns` replace or join those read."""
    rows = [part[1:] for part in parts for _ in range(round(part[0] / every_s))]
    frame = pd.DataFrame(rows, columns=["phase", "training", "instant_w"])
    frame.insert(0, "t_s", every_s * np.arange(len(rows)))
    return frame.assign(**columns)


def cell() -> pd.DataFrame:
    """Idle, a warm-up, an evaluation, a training with its compression, idle again."""
    warm_up, evaluation = (2.0, "train", 0, 300.0), (1.0, "evaluate", 0, 200.0)
    return trace(IDLE, warm_up, evaluation, (3.0, "train", 1, 400.0), (1.0, "compress", 1, 150.0), IDLE)


def only_rapl() -> pd.DataFrame:
    return trace(IDLE, rapl0_uj=1.0).drop(columns="instant_w")


def shown(renderable, width: int = 80, color: str | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=color, force_terminal=color is not None)
    console.print(renderable)
    return console.file.getvalue()


def chart(frame: pd.DataFrame, width: int = 80, **size) -> str:
    return shown(power_chart(frame, width, **size), width)


def canvas(text: str) -> list[str]:
    """The drawn area, row by row."""
    return [row[1 : row.rindex("│")] for row in text.splitlines() if row.startswith("│")]


def lines(figure, label: str = "dtc"):
    """The points of the thin and of the thick line of one cell, breaks among them."""
    [panel] = figure["vconcat"]
    of = [point for point in panel["layer"][-1]["data"]["values"] if point["name"] == label]
    return [point for point in of if point["width"] < 1], [point for point in of if point["width"] > 1]


def points(line) -> list[tuple[float, float]]:
    return [(point["x"], point["y"]) for point in line if point["y"] is not None]


def names(figure) -> list[str]:
    """Those of the legend."""
    return figure["vconcat"][0]["layer"][-1]["encoding"]["color"]["scale"]["domain"]


@pytest.mark.parametrize(
    ("read", "drawn"),
    [
        ({"usage_w": 1.0}, "usage_w"),
        ({"usage_w": 1.0, "average_w": 2.0}, "average_w"),
        ({"usage_w": 1.0, "average_w": 2.0, "instant_w": 3.0}, "instant_w"),
        ({"usage_w": 1.0, "average_w": 2.0, "instant_w": math.nan}, "average_w"),
        ({"usage_w": math.nan}, None),
        ({}, None),
    ],
)
def test_the_best_power_is_drawn_that_was_read_at_all(read, drawn):
    frame = only_rapl().assign(**read)
    assert power_drawn(frame) == drawn
    as_read = Trace({name: frame[name].to_numpy() for name in ["t_s", *read]}, {}, {}, None, 0.0)
    assert as_read.power == (drawn or Unavailable("no power was read"))


def test_the_chart_says_what_it_draws_and_how_well_it_was_sampled():
    frame = cell().assign(
        temperature_c=[41.0, *[math.nan] * 438, 63.0],
        sm_clock_mhz=1980.0,
        memory_clock_mhz=math.nan,
        power_limit_w=700.0,
    )
    assert chart(frame).splitlines()[-2:] == [
        "instant_w: 60 to 400 W, 440 samples, longest gap 0.03 s",
        "temperature 41 to 63 °C, SM clock 1980 MHz, memory clock –, power limit 700 W",
    ]


def test_the_axes_have_units_and_begin_at_the_first_sample():
    text = chart(cell())
    assert "400 W" in text and "0 W" in text
    assert "\n0 s" in text and "10 s" in text


def test_what_counts_is_filled_down_to_the_axis_and_nothing_else_is():
    rows = canvas(chart(trace(IDLE, (2.0, "train", 0, 400.0), (2.0, "evaluate", 0, 400.0), IDLE)))
    width = len(rows[0])
    at_the_axis = rows[-1]
    idle, training, evaluation = (at_the_axis[int(share * width)] for share in (0.1, 0.375, 0.625))
    assert (idle, training, evaluation) == (" ", "█", " ")
    idle_row = rows[-1 - round(60 / 420 * (len(rows) - 1))]
    assert idle_row[int(0.1 * width)] != " "
    assert any(row[int(0.625 * width)] != " " for row in rows[:3])


def test_the_warm_up_is_not_filled_where_repeats_count():
    rows = canvas(chart(cell()))
    at = {name: int(share * len(rows[0])) for name, share in {"warm-up": 3 / 11, "counts": 6.5 / 11}.items()}
    assert rows[-1][at["warm-up"]] == " "
    assert rows[-1][at["counts"]] == "█"


def test_a_filled_segment_has_no_holes_however_few_samples_it_has():
    rows = canvas(chart(trace(IDLE, (6.0, "train", 0, 400.0), every_s=0.5), width=120))
    filled = rows[-1].strip()
    assert len(filled) > 60 and set(filled[1:-1]) == {"█"}


def test_where_no_power_was_seen_nothing_is_drawn():
    frame = cell()
    frame.loc[frame["t_s"].between(5.5, 7.5), "instant_w"] = math.nan
    text = chart(frame)
    assert "359 of 440 samples, longest gap 2.05 s" in text
    rows = canvas(text)
    assert {row[int(6.5 / 11 * len(row))] for row in rows} == {" "}


@pytest.mark.parametrize("width", [40, 72, 100, 160])
def test_the_chart_keeps_to_its_width(width):
    assert max(map(len, chart(cell(), width).splitlines())) <= width


def test_the_drawn_area_has_the_height_asked_for():
    assert len(canvas(chart(cell(), height=9))) == 9


def test_what_counts_has_a_colour_of_its_own():
    blue, grey = "38;2;0;114;178m", "38;2;128;128;128m"
    counts, idles = (
        "".join(canvas(shown(power_chart(trace(part), 80), color="truecolor")))
        for part in ((2.0, "train", 0, 400.0), IDLE)
    )
    assert blue in counts and grey not in counts
    assert grey in idles and blue not in idles


def test_the_same_trace_gives_the_same_chart():
    assert chart(cell()) == chart(cell())


def test_a_peak_of_one_sample_is_seen_in_a_long_trace():
    frame = trace(IDLE, (2000.0, "train", 0, 100.0))
    frame.loc[40_000, "instant_w"] = 690.0
    rows = canvas(chart(frame))
    assert sum(any(mark != " " for mark in row) for row in rows[:8]) >= 7


@pytest.mark.parametrize("frame", [only_rapl(), only_rapl().assign(instant_w=math.nan), cell().iloc[:0]])
def test_a_trace_without_power_says_so(frame):
    assert chart(frame) == f"no power of a GPU was read in {len(frame)} samples; nothing can be drawn\n"
    assert names(power_figure({"dtc": frame}, LOOKS)) == ["dtc (no power was read)"]


@pytest.mark.parametrize("samples", [1, 2])
def test_hardly_any_sample_is_no_trouble(samples):
    frame = cell().iloc[:samples]
    assert f"{samples} samples" in chart(frame)
    assert len(points(lines(power_figure({"dtc": frame}, LOOKS))[0])) == samples


def test_the_figures_time_begins_with_the_first_window_that_counts():
    thin, thick = lines(power_figure({"dtc": cell()}, LOOKS))
    assert thick[0]["x"] == 0
    assert thin[0]["x"] == -5


def test_the_figure_draws_thick_what_counts_and_thin_what_does_not():
    thin, thick = lines(power_figure({"dtc": cell()}, LOOKS))
    *counted, end = points(thick)
    assert {y for _, y in counted} == {400, 150} and end == (4, 60)
    assert {y for _, y in points(thin)} == {60, 300, 200, 400}  # 400: the sample that the evaluation lasts to


def test_a_cell_has_one_entry_in_the_legend_even_where_nothing_counts():
    both = power_figure({"dtc": cell(), "<b>dense</b>": trace(IDLE)}, LOOKS)
    assert names(both) == ["dtc", "<b>dense</b>"]
    assert points(lines(both, "<b>dense</b>")[0])


def test_a_line_breaks_where_the_power_was_not_seen():
    frame = cell()
    frame.loc[frame["t_s"].between(5.5, 7.5), "instant_w"] = math.nan
    _, thick = lines(power_figure({"dtc": frame}, LOOKS))
    gap = [point["y"] for point in thick].index(None)
    assert thick[gap]["x"] == thick[gap - 1]["x"] < 0.5 and thick[gap + 1]["x"] > 2.5


def test_a_reading_that_failed_does_not_break_a_line():
    frame = cell()
    frame.loc[frame["t_s"].between(5.5, 5.6), "instant_w"] = math.nan
    _, thick = lines(power_figure({"dtc": frame}, LOOKS))
    assert None not in [point["y"] for point in thick]


def noisy() -> pd.DataFrame:
    """Three minutes of training with evaluations shorter than a bin, and one peak and one dip of one sample."""
    cycle = ((4.0, "train", 0, 400.0), (0.2, "evaluate", 0, 350.0))
    frame = trace(IDLE, *(cycle * 43))
    frame["instant_w"] += np.random.default_rng(3).normal(0, 5, len(frame))
    frame.loc[[3000, 5000], "instant_w"] = 612.0, 12.0
    frame.loc[5000, "phase"] = "train"
    return frame


def test_thinning_keeps_the_extremes_and_every_kind_of_phase():
    frame = noisy()
    thin, thick = lines(power_figure({"dtc": frame}, LOOKS))
    drawn = [y for _, y in points(thick)]
    assert (max(drawn), min(drawn)) == (612, 12)
    evaluated = [y for x, y in points(thin) if x > 0]
    assert len(evaluated) >= 43
    begin_s = frame["t_s"][frame["phase"] == "train"].iloc[0]
    assert thin[-2]["x"] == pytest.approx(frame["t_s"].iloc[-1] - begin_s, abs=1)


def test_a_line_stays_small_however_long_the_trace():
    for line in lines(power_figure({"dtc": noisy()}, LOOKS)):
        assert len(line) <= 1.5 * POINTS
    for line in lines(power_figure({"dtc": trace(IDLE, (2000.0, "train", 0, 100.0), IDLE)}, LOOKS)):
        assert len(line) <= POINTS + 3


def test_a_short_trace_is_drawn_as_it_is():
    thin, thick = lines(power_figure({"dtc": cell().iloc[::2]}, LOOKS))
    assert len(points(thick)) == 80 + 1 and len(points(thin)) == 140 + 1


def test_the_same_traces_give_the_same_figure():
    assert power_figure({"dtc": noisy()}, LOOKS) == power_figure({"dtc": noisy()}, LOOKS)


def test_the_table_has_every_sample_and_the_key_first():
    first, second = cell(), only_rapl().assign(average_w=1.0)
    table = power_table([("b", first), ("a", second)])
    assert list(table.columns) == ["key", "t_s", "phase", "training", "instant_w", "rapl0_uj", "average_w"]
    assert table["key"].tolist() == ["b"] * len(first) + ["a"] * len(second)
    assert table["t_s"].tolist() == [*first["t_s"], *second["t_s"]]
    assert table["instant_w"].isna().tolist() == [False] * len(first) + [True] * len(second)


def test_the_table_has_the_types_of_the_files_whatever_was_read():
    segments = [Segment(1.0, 2.0, "train", 0)]
    read = Trace({"t_s": np.array([0.5, 1.5]), "usage_w": np.array([90.0, np.nan])}, {}, {}, None, 0.0)
    files = [to_parquet(read, inside, {}) for inside in (segments, [])]
    table = power_table((f"{i}", pd.read_parquet(io.BytesIO(file))) for i, file in enumerate(files))
    assert table.dtypes.astype(str).to_dict() == {
        "key": "string",
        "t_s": "float64",
        "usage_w": "float64",
        "phase": "string",
        "training": "Int32",
    }
    assert table["phase"].fillna("–").tolist() == ["–", "train", "–", "–"]


def test_a_run_without_traces_has_an_empty_table():
    table = power_table([])
    assert table.empty and list(table.columns) == ["key", "t_s", "phase", "training"]
