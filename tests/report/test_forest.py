"""A claim as a figure: every judged effect at its place, beside the bounds of its rule."""

import math

import pytest

from dtcbench.analysis.verdicts import Comparison, Conclusion, Effect, LawPoint, Level, Verdict
from dtcbench.report.drawings import of_claims
from dtcbench.report.figures import COLOURS
from dtcbench.report.forest import claim_figure, has_figure, law_figure, shared_part
from dtcbench.report.vector import drawn


def comparison(where, value, verdict=Verdict.SUPPORTED, low=None, unit="points", more=(), judged=1):
    low = value - 0.01 if low is None else low
    effect = Effect("difference in accuracy", value, low, value + 0.01, unit)
    return Comparison(where, verdict, "for a reason", (effect, *more), seeds=5, judged=judged)


def figure_of(*comparisons, bounds=(0.0,)):
    return claim_figure(finding_of(*comparisons, bounds=bounds))


def finding_of(*comparisons, bounds=(0.0,)):
    return Conclusion("x", "X", "X.", Verdict.UNDECIDED, "rule", "why", comparisons, bounds)


def placed(figure) -> dict[float, tuple[float, str]]:
    """By row, the value drawn there and the name of its trace."""
    return {y: (x, trace.name) for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True)}


def test_each_comparison_stands_in_its_row_in_points_with_its_interval():
    figure = figure_of(comparison("p · a: dtc − b", 0.03), comparison("p · c: dtc − b", -0.02, Verdict.REFUTED))
    assert placed(figure) == {0: (3.0, "for the claim"), 1: (-2.0, "against it")}
    above = figure.data[0].error_x
    assert above.array == pytest.approx([1.0])
    assert above.arrayminus == pytest.approx([1.0])
    assert [note.text for note in figure.layout.annotations] == ["a: dtc − b", "c: dtc − b"]


def test_verdicts_have_colours_of_their_own():
    verdicts = (Verdict.SUPPORTED, Verdict.REFUTED, Verdict.UNDECIDED)
    figure = figure_of(*(comparison(f"{n}: a − b", 0.1, verdict) for n, verdict in enumerate(verdicts)))
    assert len({trace.marker.color for trace in figure.data}) == 3
    assert {trace.marker.color for trace in figure.data} <= set(COLOURS)


def test_the_rules_bounds_are_lines_in_the_effects_unit():
    figure = figure_of(comparison("a: x", 0.0), bounds=(-0.01, 0.01))
    assert [shape.x0 for shape in figure.layout.shapes] == [-1.0, 1.0]


def test_two_judged_effects_stand_beside_one_another():
    partial = Effect("entropy: r given log2 n", 0.2, 0.1, 0.3, "r")
    figure = figure_of(comparison("a: x", 0.9, unit="r", more=(partial,), judged=2), bounds=(0.5,))
    (first, second) = sorted(placed(figure).items())
    assert first[1][0] == 0.9
    assert second == (pytest.approx(-first[0]), (0.2, "for the claim: r given log2 n"))
    assert figure.layout.xaxis.title.text.endswith("correlation with accuracy")


def test_what_has_no_figure_is_left_out_and_nothing_is_drawn_of_nothing():
    absent = Comparison("b: x", Verdict.NOT_MEASURED, "no cell")
    without = comparison("c: x", math.nan, Verdict.UNDECIDED)
    assert list(placed(figure_of(comparison("a: x", 0.1), absent, without))) == [0]
    simulated = comparison("d: x", 0.98, Verdict.NOT_MEASURED)
    assert not has_figure(finding_of(absent, without, simulated))
    assert not has_figure(finding_of())


def test_without_an_interval_there_is_no_bar():
    figure = figure_of(comparison("a: x", 0.1, low=math.nan))
    assert math.isnan(figure.data[0].error_x.arrayminus[0])


def test_names_are_read_as_they_are():
    figure = figure_of(comparison("p · <b>m</b> · 50 % removed: <i>x</i> − y", 0.1), comparison("q · m · z: x", 0.1))
    texts = [note.text for note in figure.layout.annotations]
    assert texts == [
        "<b>p · &lt;b&gt;m&lt;/b&gt;</b><br>50 % removed: &lt;i&gt;x&lt;/i&gt; − y",
        "<b>q · m</b><br>z: x",
    ]


def test_a_pool_is_named_where_it_begins():
    figure = figure_of(*(comparison(where, 0.1) for where in ("p · a: x", "p · b: x", "q · a: x")))
    assert [note.text for note in figure.layout.annotations] == ["<b>p</b><br>a: x", "b: x", "<b>q</b><br>a: x"]


@pytest.mark.parametrize(
    ("places", "shared"),
    [
        (["a · b · c: d", "a · b · e: f"], "a · b · "),
        (["a · b: c", "d · b: c"], ""),
        (["a: b"], ""),
        (["a · b: c · d"], "a · "),
        ([], ""),
    ],
)
def test_the_shared_part_of_places_ends_before_what_is_compared(places, shared):
    assert shared_part(places) == shared


def test_published_curves_are_drawn_beside_ours_with_what_one_more_seed_could_be():
    levels = (Level(460, 0.95, 0.96, 0.005), Level(9, 0.6, 0.8, 0.15))
    curve = Comparison(
        "published · mnist · mlp: dtc / scs against the published curve", Verdict.UNDECIDED, "", levels=levels
    )
    figure = figure_of(curve)
    ours, published = figure.data
    assert list(ours.y) == [96.0, 80.0]
    assert ours.error_y.array == pytest.approx([0.5, 15.0])
    assert (published.name, list(published.y), list(published.x)) == ("published", [95.0, 60.0], [0, 1])
    assert figure.layout.yaxis.title.text == "dtc / scs, %"


def test_the_entropy_law_is_a_diagonal_with_the_layers_and_sides_of_one_method_alike_around_it():
    def measured(where, *points):
        return Comparison(where, Verdict.NOT_MEASURED, "", law=tuple(LawPoint(*point) for point in points))

    finding = finding_of(
        measured("p: dtc / lars, layer a, incoming", (1.0, 1.1), (2.0, 1.9)),
        measured("p: dtc / lars, layer a, outgoing", (3.0, 3.0)),
        measured("the paper's own measurements: dtc-published, incoming", (4.0, 4.5)),
    )
    law, ours, paper = law_figure(finding).data
    assert (list(law.x), list(law.y)) == ([0.0, 4.5], [0.0, 4.5])
    assert (ours.name, list(ours.x), list(ours.y)) == ("p: dtc / lars", [1.0, 2.0, 3.0], [1.1, 1.9, 3.0])
    assert "paper" in paper.name
    [[drawing]] = of_claims([finding]).values()
    assert drawing.name == "claim-x-law"
    assert drawn(drawing.figure(), "svg").startswith(b"<?xml")
