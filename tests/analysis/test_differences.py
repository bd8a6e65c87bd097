"""The difference of two methods over seeds and test images, what it could have shown, and the A/A control."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from handmade import build, cell, row
from statsmodels.stats.proportion import proportion_confint

from dtcbench.analysis import controls, differences, stats
from dtcbench.analysis.differences import Accuracies, difference
from dtcbench.analysis.power import detectable, seeds_to_detect
from dtcbench.hits import packed

IMAGES = 40


def hits(seed: int, share: float) -> np.ndarray:
    """Which of forty images are right, about this share."""
    return np.random.default_rng(seed).random(IMAGES) < share


def side(*tables: np.ndarray) -> Accuracies:
    accuracies = np.array([table.mean() for table in tables])
    return Accuracies(
        accuracies, np.array([packed(t) for t in tables], dtype=object), np.full(len(tables), float(IMAGES))
    )


def with_hits(method: str, tables: list[np.ndarray]) -> list[dict]:
    return [
        cell(method, seed, accuracy=table.mean(), hits=packed(table), test_samples=IMAGES)
        for seed, table in enumerate(tables)
    ]


OURS = [hits(seed, 0.7) for seed in range(5)]
THEIRS = [hits(seed + 50, 0.8) for seed in range(5)]


def test_hits_of_both_sides_make_the_interval_one_over_seeds_and_images():
    found = difference(side(*OURS), side(*THEIRS))
    expected = stats.crossed_estimate(np.array(OURS).astype(int) - np.array(THEIRS))
    assert found.sources == "seeds and images"
    assert found.estimate.mean == pytest.approx(expected.mean)
    assert found.estimate.interval == pytest.approx(expected.interval)
    assert (found.estimate.error, found.estimate.dof) == (expected.error, expected.dof)


def without_hits_of_a_seed(one: Accuracies) -> Accuracies:
    return one._replace(hits=np.where(np.arange(5) == 2, None, one.hits))


@pytest.mark.parametrize(
    "theirs",
    [
        without_hits_of_a_seed(side(*THEIRS)),
        side(*THEIRS)._replace(hits=np.full(5, math.nan)),
        side(*THEIRS)._replace(samples=np.full(5, 39.0)),
    ],
    ids=["one seed lacks them", "all lack them", "other images"],
)
def test_without_hits_of_the_same_images_in_every_pair_only_seeds_vary(theirs):
    found = difference(side(*OURS), theirs)
    assert found.sources == "seeds"
    assert found.estimate == stats.mean_estimate(found.values)
    assert found.images_error == 0


def test_a_pair_without_an_accuracy_is_left_out_with_its_hits():
    theirs = side(*THEIRS)
    partly = theirs._replace(accuracy=np.where(np.arange(5) == 4, math.nan, theirs.accuracy))
    assert difference(side(*OURS), partly).estimate == difference(side(*OURS[:4]), side(*THEIRS[:4])).estimate


def test_the_mean_is_that_of_the_accuracies_also_where_these_weigh_images_otherwise():
    ours = side(*OURS)
    found, plain = (
        difference(ours._replace(accuracy=ours.accuracy + 0.01), side(*THEIRS)),
        difference(ours, side(*THEIRS)),
    )
    assert found.estimate.mean == pytest.approx(plain.estimate.mean + 0.01)
    assert np.subtract(found.estimate.interval, 0.01) == pytest.approx(plain.estimate.interval)


def test_what_a_row_could_have_shown_counts_seeds_and_images():
    found = difference(side(*OURS), side(*THEIRS))
    sd = np.std(found.values, ddof=1)
    assert found.sd == pytest.approx(sd)
    assert found.images_error**2 == pytest.approx(max(found.estimate.error**2 - sd**2 / 5, 0))
    assert found.detectable() >= detectable(found.sd, 5)
    assert found.seeds_for(0.5) == seeds_to_detect(found.sd, 0.5, images_error=found.images_error)


def test_a_difference_that_other_images_could_hide_takes_no_number_of_seeds():
    wide = differences.Difference(np.zeros(5), stats.Estimate(0.0, (0, 0), None), "seeds and images", 0.001, 0.02)
    assert wide.seeds_for(0.01) is None
    assert wide.seeds_for(0.06) >= 3
    # 1.959964 + 0.841621 standard errors
    assert wide.detectable() == pytest.approx(math.hypot(2.801585 * 0.02, detectable(0.001, 5)), rel=1e-6)
    unknown = difference(side(*OURS[:2]), side(*THEIRS[:2]))
    assert math.isnan(unknown.detectable()) and unknown.seeds_for(0.01) is None


def test_a_leaderboard_uses_the_hits_and_says_so():
    board = build(with_hits("dense", THEIRS) + with_hits("dtc", OURS))
    dtc, expected = row(board, "dtc"), difference(side(*OURS), side(*THEIRS))
    assert dtc["difference_sources"] == "seeds and images"
    assert (dtc["difference_low"], dtc["difference_high"]) == expected.estimate.interval
    assert dtc["difference_p"] == stats.p_of([expected.estimate])[0]
    assert dtc["detectable_difference"] == expected.detectable()
    assert any("is over seeds and test images in every row." in note for note in board.notes)
    assert row(board, "dense")["difference_sources"] == ""


def test_a_leaderboard_without_hits_says_that_images_do_not_vary():
    cells = [cell(m, s, accuracy=0.9 + 0.01 * s * (m == "dtc")) for m in ("dense", "dtc") for s in range(3)]
    board = build(cells)
    assert row(board, "dtc")["difference_sources"] == "seeds"
    assert row(board, "dtc")["seeds_for_1_point"] == seeds_to_detect(0.01, 0.01) == 10
    assert any("say nothing about other test images" in note for note in board.notes)


# the margin of equivalence


def test_the_margin_is_a_fifth_of_the_error_of_the_pools_dense_cells():
    loss = [0.0008, 0.0012, 0.0010, 0.0009, 0.0011]
    for accuracy, is_within in ((0.98, "yes"), (0.995, "no")):  # margins of 0.4 and 0.1 points
        cells = [cell("dense", s, accuracy=accuracy) for s in range(5)]
        dtc = row(build(cells + [cell("dtc", s, accuracy=accuracy - loss[s]) for s in range(5)]), "dtc")
        assert dtc["equivalence_margin"] == pytest.approx(0.2 * (1 - accuracy))
        assert dtc["equivalent"] == is_within


def test_dense_without_an_error_leaves_no_margin():
    cells = [cell("dense", s, accuracy=1.0) for s in range(3)]
    dtc = row(build(cells + [cell("dtc", s, accuracy=0.99 - s / 100) for s in range(3)]), "dtc")
    assert math.isnan(dtc["equivalence_margin"]) and dtc["equivalent"] == ""


# the A/A control


@pytest.mark.parametrize(
    ("method", "of"),
    [
        ("dtc(stream=1)", "dtc"),
        ("dense(stream=12)", "dense"),
        ("dtc(lam=3.0, stream=1)", "dtc(lam=3.0)"),
        ("dtc@2(drop=largest, stream=1, when=after)", "dtc@2(drop=largest, when=after)"),
        ("dtc", None),
        ("dtc(lam=3.0)", None),
        ("mine(downstream=1)", None),
    ],
)
def test_a_control_repeats_the_method_without_its_stream(method, of):
    assert controls.original(method) == of


def control_cells(noise: float = 0.01, seeds: int = 5) -> list[dict]:
    rng = np.random.default_rng(3)
    names = ["dense", "dtc", "dense(stream=1)", "dtc(stream=1)", "random(stream=1)"]
    at = {"dense": 0.0, "dense(stream=1)": 0.0}
    return [
        cell(m, s, accuracy=0.9 + rng.normal(0, noise), sparsity=at.get(m, 0.5), solver=None)
        for m in names
        for s in range(seeds)
    ]


def test_controls_are_compared_with_their_originals_at_their_place_and_with_nothing_else():
    cells = pd.DataFrame(control_cells())
    accuracy = cells.pivot(index="seed", columns="method", values="accuracy")
    expected = stats.p_values([accuracy[f"{m}(stream=1)"] - accuracy[m] for m in ("dense", "dtc")])
    assert sorted(controls.p_of_controls(cells)) == pytest.approx(sorted(expected))
    assert list(controls.p_of_controls(cells[::-1])) == list(controls.p_of_controls(cells))


def test_the_false_verdict_rate_is_a_sentence_with_its_exact_interval():
    cells = control_cells() + [cell("dtc(stream=2)", s, sparsity=0.5, accuracy=0.1 + s / 1e4) for s in range(5)]
    for one in cells:
        one["solver"] = None
    sentence = controls.false_verdicts(pd.DataFrame(cells))
    low, high = proportion_confint(1, 3, method="beta")
    assert sentence.startswith("A/A control: 3 comparisons of a method with itself")
    assert f"1 of 3 (33.3 %, 95 % interval {100 * low:.1f} to {100 * high:.1f}) come out different" in sentence
    assert sentence in build(cells).notes


def test_without_a_control_nothing_is_said():
    cells = pd.DataFrame([c for c in control_cells() if "stream" not in c["method"]])
    assert controls.false_verdicts(cells) is None
    assert controls.false_verdicts(pd.DataFrame(control_cells(seeds=2))) is None
