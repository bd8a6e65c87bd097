"""A claim as a figure: every judged effect at its place, beside the bounds of its rule."""

import math

import pytest

from dtcbench.analysis.verdicts import Comparison, Conclusion, Effect, LawPoint, Level, Verdict
from dtcbench.report.drawings import of_claims
from dtcbench.report.forest import claim_figure, has_figure, law_figure, shared_part
from dtcbench.report.paper import drawn
from dtcbench.report.vega import COLOURS


def comparison(where, value, verdict=Verdict.SUPPORTED, low=None, unit="points", more=(), judged=1):
    low = value - 0.01 if low is None else low
    effect = Effect("difference in accuracy", value, low, value + 0.01, unit)
    return Comparison(where, verdict, "for a reason", (effect, *more), seeds=5, judged=judged)


def figure_of(*comparisons, bounds=(0.0,)):
    return claim_figure(finding_of(*comparisons, bounds=bounds))


def finding_of(*comparisons, bounds=(0.0,)):
    return Conclusion("x", "X", "X.", Verdict.UNDECIDED, "rule", "why", comparisons, bounds)


def layers(figure, panel=0):
    return figure["vconcat"][panel]["layer"]


def points(figure, panel=0):
    return layers(figure, panel)[-1]["data"]["values"]


def placed(figure) -> dict[float, tuple[float, str]]:
    """By row, the value drawn there and its name in the legend."""
    return {point["y"]: (point["x"], point["name"]) for point in points(figure)}


def colours(figure) -> dict[str, str]:
    scale = layers(figure)[-1]["encoding"]["color"]["scale"]
    return dict(zip(scale["domain"], scale["range"], strict=True))


def texts(figure) -> list[tuple[float, str]]:
    """The words on a claim's figure with their rows, from top to bottom."""
    words = [layer for layer in layers(figure)[:-1] if layer["mark"]["type"] == "text"]
    return sorted((value["at"], value["text"]) for layer in words for value in layer["data"]["values"])


def test_each_comparison_stands_in_its_row_in_points_with_its_interval():
    figure = figure_of(comparison("p · a: dtc − b", 0.03), comparison("p · c: dtc − b", -0.02, Verdict.REFUTED))
    assert placed(figure) == {0: (3.0, "for the claim"), 1: (-2.0, "against it")}
    first = points(figure)[0]
    assert (first["x_low"], first["x_high"]) == pytest.approx((2.0, 4.0))
    assert first["words"] == "p · a: dtc − b: difference in accuracy: +3.00 points [+2.00, +4.00]"
    assert [text for _, text in texts(figure)] == ["a: dtc − b", "c: dtc − b"]


def test_verdicts_have_colours_of_their_own():
    verdicts = (Verdict.SUPPORTED, Verdict.REFUTED, Verdict.UNDECIDED)
    figure = figure_of(*(comparison(f"{n}: a − b", 0.1, verdict) for n, verdict in enumerate(verdicts)))
    assert len(set(colours(figure).values())) == 3
    assert set(colours(figure).values()) <= set(COLOURS)


def test_the_rules_bounds_are_lines_in_the_effects_unit():
    figure = figure_of(comparison("a: x", 0.0), bounds=(-0.01, 0.01))
    rules = [layer for layer in layers(figure)[:-1] if layer["mark"]["type"] == "rule"]
    assert [value["at"] for rule in rules for value in rule["data"]["values"]] == [-1.0, 1.0]


def test_two_judged_effects_stand_beside_one_another_the_second_hollow():
    partial = Effect("entropy: r given log2 n", 0.2, 0.1, 0.3, "r")
    figure = figure_of(comparison("a: x", 0.9, unit="r", more=(partial,), judged=2), bounds=(0.5,))
    first, second = sorted(placed(figure).items())
    assert first[1][0] == 0.9
    assert second == (pytest.approx(-first[0]), (0.2, "for the claim: r given log2 n"))
    assert [point["hollow"] for point in points(figure)] == [False, True]
    axis = layers(figure)[-1]["encoding"]["x"]["axis"]
    assert axis["title"].endswith("correlation with accuracy")


def test_what_has_no_figure_is_left_out_and_nothing_is_drawn_of_nothing():
    absent = Comparison("b: x", Verdict.NOT_MEASURED, "no cell")
    without = comparison("c: x", math.nan, Verdict.UNDECIDED)
    assert list(placed(figure_of(comparison("a: x", 0.1), absent, without))) == [0]
    simulated = comparison("d: x", 0.98, Verdict.NOT_MEASURED)
    assert not has_figure(finding_of(absent, without, simulated))
    assert not has_figure(finding_of())


def test_without_an_interval_there_is_no_bar():
    assert "x_low" not in points(figure_of(comparison("a: x", 0.1, low=math.nan)))[0]


def test_a_pool_is_named_above_where_it_begins_as_it_is():
    places = ("p · <b>m</b> · 50 % removed: <i>x</i> − y", "p · <b>m</b> · 80 % removed: x", "q · m · z: x")
    figure = figure_of(*(comparison(where, 0.1) for where in places))
    assert [text for _, text in texts(figure)] == [
        "p · <b>m</b>",
        "50 % removed: <i>x</i> − y",
        "80 % removed: x",
        "q · m",
        "z: x",
    ]


def test_a_mean_over_pools_does_not_keep_the_others_names_from_being_shortened():
    assert shared_part(["mean over 8 pairs: x", "p · a · b: x", "p · a · c: x"]) == "p · a · "


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
    ours, published = points(figure)[::2], points(figure)[1::2]
    assert {point["name"] for point in published} == {"published"}
    assert [point["y"] for point in ours] == pytest.approx([4.0, 20.0])  # the error, in per cent
    assert [point["y_low"] for point in ours] == pytest.approx([4.5, 35.0])
    assert [point["y_high"] for point in ours] == pytest.approx([3.5, 5.0])
    assert [point["y"] for point in published] == pytest.approx([5.0, 40.0])
    assert layers(figure)[-1]["encoding"]["y"]["axis"]["title"] == "dtc / scs, %"


def test_the_entropy_law_is_a_diagonal_with_the_layers_and_sides_of_one_method_alike_around_it():
    def measured(where, *points):
        return Comparison(where, Verdict.NOT_MEASURED, "", law=tuple(LawPoint(*point) for point in points))

    finding = finding_of(
        measured("p: dtc / lars, layer a, incoming", (1.0, 1.1), (2.0, 1.9)),
        measured("p: dtc / lars, layer a, outgoing", (3.0, 3.0)),
        measured("the paper's own measurements: dtc-published, incoming", (4.0, 4.5)),
    )
    figure = law_figure(finding)
    names = list(colours(figure))
    assert names == ["the law", "p: dtc / lars", "the paper's own measurements: dtc-published, incoming"]
    law, ours, _ = ([(p["x"], p["y"]) for p in points(figure) if p["name"] == name] for name in names)
    assert law == [(0.0, 0.0), (4.5, 4.5)]
    assert ours == [(1.0, 1.1), (2.0, 1.9), (3.0, 3.0)]
    [[drawing]] = of_claims([finding]).values()
    assert drawing.name == "claim-x-law"
    assert drawn(drawing.figure(), "svg").startswith(b"<svg")
