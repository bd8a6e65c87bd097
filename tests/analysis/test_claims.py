"""The claims: every verdict forced once by hand-made cells, by right values that scipy gives or hand computes."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from handmade import METER, cell, claim
from hypothesis import given, settings
from hypothesis import strategies as st

from dtcbench.analysis import claims, stats
from dtcbench.analysis.draws import share_of_variance
from dtcbench.analysis.power import MOST_SEEDS
from dtcbench.analysis.sequential import Looks
from dtcbench.analysis.verdicts import Comparison, Verdict
from dtcbench.hits import packed
from dtcbench.plan.claim import Claim, load

SUPPORTED, REFUTED, EQUIVALENT, UNDECIDED, NOT_MEASURED = Verdict
LUCK = [0.0, 0.0011, -0.0012, 0.0005, -0.0004]
"""What a seed does to a difference: small, and not the same for all."""
MARGIN = {"share_of_dense_error": 0.2}
AGAINST_MAGNITUDE = {"of": ["dtc"], "minus": ["magnitude"]}
CYCLES = ["key", "cycle", "step", "validation_before", "cumulative_j", "group", "measurements", "width_after"]
NETWORKS = [("digits", "mlp"), ("mnist", "mlp"), ("mnist", "lenet-5"), ("letter", "mlp")]


def of_seeds(method: str, accuracy: float, luck=LUCK, **values) -> list[dict]:
    return [cell(method, seed, accuracy=accuracy + by, **values) for seed, by in enumerate(luck)]


def against(by: float, luck=LUCK, method: str = "random", **values) -> list[dict]:
    """DTC `by` above random removal in one pool, with its dense cells, which are right in 95 %."""
    quiet = [0.0] * len(luck)
    dense = of_seeds("dense", 0.95, quiet, **values)
    return dense + of_seeds("dtc", 0.9, quiet, **values) + of_seeds(method, 0.9 - by, luck, **values)


def everywhere(*differences: float, luck=LUCK) -> list[dict]:
    """One pair of network and data per difference."""
    places = zip(NETWORKS * 2, differences, strict=False)
    return [
        made
        for number, ((data, model), by) in enumerate(places)
        for made in against(by, luck, dataset=data, model=f"{model}{number // len(NETWORKS) or ''}")
    ]


def judged(one: Claim, cells: list[dict], cycles: list[dict] | None = None, **values):
    """The conclusion on one claim."""
    (found,) = claims.conclusions([one], pd.DataFrame(cells), pd.DataFrame(cycles or [], columns=CYCLES), **values)
    return found


# everywhere


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((0.01, 0.01, 0.01), SUPPORTED),
        ((0.01, 0.01, -0.01), REFUTED),  # one counterexample is enough
        ((0.01, 0.01, 0.0), UNDECIDED),  # all but one are shown, and none contradicts
        ((-0.01, -0.01, -0.01), REFUTED),
    ],
)
def test_a_universal_claim_falls_to_one_counterexample_and_needs_all(differences, verdict):
    assert judged(claim(), everywhere(*differences)).verdict is verdict


def test_p_and_holm_are_those_of_scipy_and_of_the_textbook():
    found = judged(claim(), everywhere(-0.0005, -0.001))
    difference = {c.sides[0].pool.dataset: c for c in found.comparisons}
    p = {
        name: scipy.stats.ttest_1samp([-by - luck for luck in LUCK], 0).pvalue
        for name, by in (("digits", 0.0005), ("mnist", 0.001))
    }
    assert p["mnist"] < p["digits"]
    assert {name: c.p for name, c in difference.items()} == pytest.approx(p)
    assert difference["mnist"].p_adjusted == pytest.approx(2 * p["mnist"])  # Holm: the smallest times their number
    assert difference["digits"].p_adjusted == pytest.approx(max(p["digits"], 2 * p["mnist"]))


def test_a_counterexample_must_be_one_among_all_comparisons_of_its_family():
    weak = [-0.0012, 0.01, 0.01, 0.01]
    p = scipy.stats.ttest_1samp([-0.0012 - luck for luck in LUCK], 0).pvalue
    assert 0.05 / 4 < p < 0.1
    luck = [0.75 * by for by in LUCK]  # p = 0.032 alone, and 0.13 among four
    alone = judged(claim(), everywhere(weak[0], luck=luck))
    assert (alone.verdict, alone.comparisons[0].p < 0.05) == (REFUTED, True)
    assert judged(claim(), everywhere(*weak, luck=luck)).verdict is UNDECIDED
    other = claim(id="other", estimand={"of": ["dtc"], "minus": ["magnitude"]})
    cells = everywhere(weak[0], luck=luck) + of_seeds("magnitude", 0.8)
    both = claims.conclusions([claim(), other], pd.DataFrame(cells), pd.DataFrame(columns=CYCLES))
    assert both[0].comparisons[0].p_adjusted == pytest.approx(2 * alone.comparisons[0].p)


# average


def pooled(*differences: float, luck=LUCK, **changed):
    return judged(claim("average", **changed), everywhere(*differences, luck=luck))


def test_an_average_claim_rests_on_the_pooled_difference_and_shows_its_counterexamples():
    found = pooled(0.02, 0.021, 0.019, 0.02, 0.02, 0.02, -0.004)
    assert found.verdict is SUPPORTED
    assert found.comparisons[0].where == "mean over 7 pairs of network and data"
    assert "1 of 7 single comparisons are against it" in found.reason
    assert pooled(-0.02, -0.021, -0.019).verdict is REFUTED
    assert pooled(0.02, -0.021, 0.019).verdict is UNDECIDED


def test_the_pooled_difference_is_the_mean_over_pairs_whatever_number_of_sparsities_each_has():
    cells = everywhere(0.01, 0.02, 0.06)
    more = [one | {"sparsity": 0.5, "key": f"{one['key']}-half"} for one in cells if one["dataset"] == "digits"]
    found = judged(claim("average"), cells + [one for one in more if one["method"] != "dense"])
    effect = found.comparisons[0].effects[0]
    luck = np.mean(LUCK)
    assert effect.value == pytest.approx(0.03 - luck, abs=1e-6)  # a pair with two sparsities counts once
    # The pairs differ far more than the seeds of one: the t interval of three means.
    low, high = scipy.stats.ttest_1samp([0.01 - luck, 0.02 - luck, 0.06 - luck], 0).confidence_interval()
    assert (effect.low, effect.high) == pytest.approx((low, high), rel=1e-3)


def test_beside_an_average_over_pairs_stands_the_one_over_data_sets():
    # NETWORKS has two networks on MNIST: (0.02 + 0.04) / 2, and two more data sets.
    effects = pooled(0.01, 0.02, 0.04, 0.06).comparisons[0].effects
    assert effects[1].name == "the same, each of 3 data sets counted once"
    luck = np.mean(LUCK)
    low, high = scipy.stats.ttest_1samp([0.01 - luck, 0.03 - luck, 0.06 - luck], 0).confidence_interval()
    assert effects[1].value == pytest.approx(0.1 / 3 - luck, abs=1e-5)
    assert (effects[1].low, effects[1].high) == pytest.approx((low, high), rel=1e-2)


def test_two_pairs_of_network_and_data_have_no_average():
    found = pooled(0.02, 0.02)
    assert (found.verdict, "2 pairs of network and data: three pairs are needed" in found.reason) == (UNDECIDED, True)


def test_an_average_within_the_margin_is_equivalent():
    margin = {"share_of_dense_error": 0.2}  # of 5 %: one point
    assert pooled(0.0, 0.0004, -0.0003, margin=margin).verdict is EQUIVALENT
    assert pooled(0.0, 0.0004, -0.0003).verdict is UNDECIDED
    assert pooled(0.0, 0.03, -0.03, margin=margin).verdict is UNDECIDED


def test_pairs_that_differ_ask_for_more_pairs_and_noisy_seeds_for_more_seeds():
    unlike = pooled(0.02, -0.021, 0.05)
    assert unlike.seeds_needed is None
    assert "more would decide, more seeds would not" in unlike.reason
    noisy = pooled(0.012, 0.011, 0.013, luck=[40 * by for by in LUCK])
    assert noisy.verdict is UNDECIDED
    assert f"{noisy.seeds_needed} more seeds would decide" in noisy.reason
    # All comparisons of the claim need them, whatever each of them says itself.
    assert {one.seeds_needed for one in noisy.undecided} == {noisy.seeds_needed}
    assert len(noisy.undecided) == 4


def test_a_planned_network_that_was_not_measured_is_not_left_out_of_an_average():
    cells = everywhere(0.02, 0.021, 0.019)
    assert judged(claim("average"), cells).verdict is SUPPORTED
    planned = [{**cell(one["method"], one["seed"]), "dataset": "letter"} for one in against(0.0)]
    for status, why in (("missing", "not run yet"), ("diverged", "no ok pair")):
        lacking = [one | {"key": f"letter-{one['key']}", "status": status} for one in planned]
        found = judged(claim("average"), cells + lacking)
        assert found.verdict is UNDECIDED
        assert "1 of 4 planned comparisons are not measured, and every one counts" in found.reason
        assert why in {one.reason for one in found.comparisons}
        alone = judged(claim("average"), lacking)
        assert (alone.verdict, alone.reason) == (NOT_MEASURED, why)


def test_what_pooled_seeds_could_have_shown_is_by_the_degrees_of_freedom_of_their_test():
    for spreads, dof in (((1, 1, 1, 1), 3), ((1, 50, 50, 50), 1)):  # one that weighs more than all others: hardly two
        cells = [
            one
            for number, by in enumerate(spreads)
            for one in against(0.001, [by * luck for luck in LUCK], dataset=f"data{number}")
        ]
        error = 1 / math.sqrt(sum(5 / np.var([by * luck for luck in LUCK], ddof=1) for by in spreads))
        found = judged(claim("average"), cells).comparisons[0].detectable / error
        assert scipy.stats.nct.sf(scipy.stats.t.ppf(0.975, dof), dof, found) == pytest.approx(0.8, abs=1e-3)


def test_pairs_that_share_their_data_must_agree_with_the_mean_over_data_sets():
    places = [("digits", "mlp"), *(("mnist", f"mlp{number}") for number in range(5)), ("letter", "mlp")]
    differences = [0.0004, 0.02, 0.02, 0.0201, 0.02, 0.0199, 0.0002]
    cells = [
        one
        for (data, model), by in zip(places, differences, strict=True)
        for one in against(by, dataset=data, model=model)
    ]
    alone = judged(claim("average"), [one | {"dataset": f"{one['dataset']}{one['model']}"} for one in cells])
    assert alone.verdict is SUPPORTED  # seven data sets
    assert judged(claim("average"), cells).verdict is UNDECIDED  # five of them are one


def test_claims_of_one_family_share_the_error_rate_of_equivalence_too():
    of_two = [claim("average", margin=MARGIN), claim("average", margin=MARGIN, id="b", estimand=AGAINST_MAGNITUDE)]
    for scale in np.arange(8.0, 20.0, 0.5):
        cells = everywhere(0.0, 0.0004, -0.0003, luck=[scale * by for by in LUCK])
        again = [one | {"method": "magnitude", "key": f"b-{one['key']}"} for one in cells if one["method"] == "random"]
        (alone,) = claims.conclusions(of_two[:1], pd.DataFrame(cells), pd.DataFrame(columns=CYCLES))
        if alone.comparisons[0].p_adjusted > 0.025:
            break
    both = claims.conclusions(of_two, pd.DataFrame(cells + again), pd.DataFrame(columns=CYCLES))
    assert [alone.verdict, *(one.verdict for one in both)] == [EQUIVALENT, UNDECIDED, UNDECIDED]


# equivalence


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [((0.002, -0.002), SUPPORTED), ((0.002, 0.02), REFUTED), ((0.002, -0.02), REFUTED), ((0.002, 0.01), UNDECIDED)],
)
def test_equivalence_is_asked_of_every_comparison_and_refuted_by_one(differences, verdict):
    assert judged(claim("equivalence", margin=MARGIN), everywhere(*differences)).verdict is verdict


def test_the_margin_is_a_share_of_denses_error_and_is_stated_in_points():
    cells = against(0.004)  # dense errs in 5 %
    better = [one | {"accuracy": 0.99} if one["method"] == "dense" else one for one in cells]  # and here in 1 %
    for ours, points, verdict in ((cells, 0.01, SUPPORTED), (better, 0.002, REFUTED)):
        found = judged(claim("equivalence", margin=MARGIN), ours)
        assert (found.verdict, found.comparisons[0].margin) == (verdict, pytest.approx(points))
    without = judged(claim("equivalence", margin=MARGIN), [one for one in cells if one["method"] != "dense"])
    assert (without.verdict, "no ok dense cell" in without.reason) == (UNDECIDED, True)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-30, 30).map(lambda points: points / 1000), min_size=5, max_size=8))
def test_an_equivalence_is_shown_exactly_where_the_interval_lies_within_the_margin(luck):
    (one,) = judged(claim("equivalence", margin={"points": 1}), against(0.0, luck)).comparisons
    low, high = one.effects[0].low, one.effects[0].high
    within, outside = low > -0.01 and high < 0.01, low > 0.01 or high < -0.01
    expected = EQUIVALENT if within else REFUTED if outside else UNDECIDED
    assert one.verdict is expected


# which comparisons there are, and what bars them


def test_which_runs_are_named_decides_nothing():
    ours = everywhere(0.01, 0.01, 0.01)
    three_seeds = [one | {"suite": "quick", "dataset": "other"} for one in against(-0.05) if one["seed"] < 3]
    for one in three_seeds:
        one["key"] = f"quick-{one['key']}"
    wanted = claim(cells={"suites": ["claims"]})
    assert judged(wanted, ours) == judged(wanted, ours + three_seeds)
    assert judged(claim(), ours + three_seeds).verdict is UNDECIDED
    shared = [one | {"suite": "quick, claims"} for one in ours]  # a cell of both suites counts
    assert judged(wanted, shared) == judged(wanted, ours)


@pytest.mark.parametrize(
    ("which", "left"),
    [
        ({"models": ["lenet-5"]}, 1),
        ({"datasets": ["mnist"]}, 2),
        ({"sparsities": [0.5]}, 0),
        ({"protocols": ["standard"]}, 3),
        ({"solvers": ["lars"]}, 3),
        ({"solvers": ["scs"]}, 0),
        ({"suites": ["energy"]}, 0),
    ],
)
def test_a_claim_says_which_cells_count(which, left):
    found = judged(claim(cells=which), everywhere(0.01, 0.01, 0.01))
    assert len(found.comparisons) == left
    assert found.verdict is (SUPPORTED if left else NOT_MEASURED)


def test_a_seed_that_says_nothing_new_does_not_count():
    found = judged(claim(cells={"exclude_seeds": [0]}), against(0.01))
    assert (found.comparisons[0].seeds, found.verdict) == (4, UNDECIDED)


def test_a_claim_of_a_plug_in_is_judged_like_any_other():
    mine = claim(estimand={"of": ["mine(power=2)"], "minus": ["dense"], "equal": "nothing"})
    cells = of_seeds("dense", 0.9) + of_seeds("mine@3(power=2)", 0.93, [0.0] * 5) + of_seeds("mine", 0.5)
    assert judged(mine, cells).verdict is SUPPORTED


def test_shuffled_scores_are_those_of_the_same_solver():
    mine = claim(estimand={"of": ["dtc"], "minus": ["shuffled"]})
    cells = against(0.01, method="shuffled", solver="scs")
    assert judged(mine, cells).verdict is SUPPORTED
    cells = [one | {"solver": "lars"} if one["method"] == "dtc" else one for one in cells]
    assert judged(mine, cells).verdict is NOT_MEASURED


def test_both_sides_must_end_on_the_same_widths_unless_the_claim_compares_others():
    cells = against(0.01)
    wider = [one | {"parameters": 99} if one["method"] == "random" else one for one in cells]
    assert "different widths" in judged(claim(), wider).reason
    by_flops = claim(estimand={"of": ["dtc"], "minus": ["random"], "equal": "inference_flops"})
    assert judged(by_flops, wider).verdict is SUPPORTED
    dearer = [one | {"inference_flops": 10.3} if one["method"] == "random" else one for one in wider]
    assert "FLOPs differ by 2.9 %" in judged(by_flops, dearer).reason


def test_four_seeds_are_not_enough_whatever_they_say():
    found = judged(claim(), against(0.03, LUCK[:4]))
    assert found.verdict is UNDECIDED
    assert "4 seeds: five are needed" in found.reason
    with pytest.raises(ValueError, match="on 4 seeds; 5 are needed"):
        Comparison("here", SUPPORTED, "a reason", seeds=4)


def test_a_seed_that_failed_is_not_left_out():
    cells = against(0.03, [*LUCK, 0.0003])
    assert judged(claim(), cells).verdict is SUPPORTED
    cells[-1] |= cell("random", 5, status="diverged", reason="loss is nan")
    found = judged(claim(), cells)
    assert (found.verdict, "no ok pair for seed 5" in found.reason) == (UNDECIDED, True)


def test_equal_differences_in_all_seeds_decide_nothing():
    found = judged(claim(), against(0.05, [0.0] * 5))
    assert (found.verdict, "equal in all paired seeds" in found.reason) == (UNDECIDED, True)


def test_a_finding_names_the_cells_it_rests_on_and_its_two_sides():
    cells = against(0.05)
    found = judged(claim(), cells)
    assert set(found.cells) == {c["key"] for c in cells if c["method"] != "dense"}
    one, other = found.comparisons[0].sides
    assert (one.method, one.solver, one.sparsity, other.method) == ("dtc", "lars", 0.9, "random")


# power


def test_every_comparison_says_what_it_could_have_shown():
    luck = [0.004 * by for by in (0.0, 1.0, -1.0, 2.0, -2.0)]
    (one,) = judged(claim(), against(0.001, luck)).comparisons
    sd = np.std(luck, ddof=1)

    def power(n: int, difference: float) -> float:
        """By the noncentral t distribution."""
        t, shift = scipy.stats.t.ppf(0.975, n - 1), difference / sd * math.sqrt(n)
        return float(scipy.stats.nct.sf(t, n - 1, shift) + scipy.stats.nct.cdf(-t, n - 1, shift))

    assert power(5, one.detectable) == pytest.approx(0.8, abs=1e-6)
    needed = one.seeds_for_point
    assert needed == one.seeds_for_smallest
    assert power(needed, 0.01) >= 0.8 > power(needed - 1, 0.01)
    assert one.seeds_needed == needed - 5  # the difference seen is less than a point: one of a point would be found


def test_an_equivalence_needs_the_seeds_that_find_the_distance_to_the_margin():
    luck = [2.5 * by for by in LUCK]
    (one,) = judged(claim("equivalence", margin={"points": 1}), against(0.0085, luck)).comparisons
    assert one.verdict is UNDECIDED
    distance = 0.01 - one.effects[0].value
    t, n = np.std(luck, ddof=1) / distance, one.seeds + one.seeds_needed
    assert scipy.stats.nct.sf(scipy.stats.t.ppf(0.975, n - 1), n - 1, math.sqrt(n) / t) >= 0.8


# looks


def test_looks_are_replayed_and_what_one_decided_stays_decided():
    looks = Looks(5, 5, 15)
    early = [0.02, 0.021, 0.019, 0.02, 0.0205, *[0.0, -0.03, 0.03, -0.02, 0.02] * 2]
    cells = against(0.0, [-by for by in early])
    at_once = judged(claim(), cells)
    replayed = judged(claim(), cells, looks={"claims": looks})
    assert (at_once.verdict, replayed.verdict) == (UNDECIDED, SUPPORTED)
    first = scipy.stats.ttest_1samp(early[:5], 0).pvalue
    assert first <= looks.levels(0.05)[0]
    assert replayed.comparisons[0].seeds == 15


def test_several_looks_ask_for_a_smaller_p_than_one():
    looks = Looks(5, 5, 15)
    luck = [0.001 * by for by in (-1, 0, 1, -0.5, 0.5)]
    shift = next(
        by
        for by in np.arange(0.0, 0.01, 1e-5)
        if looks.levels(0.05)[0] < scipy.stats.ttest_1samp([by - x for x in luck], 0).pvalue < 0.05
    )
    cells = against(shift, luck)
    assert judged(claim(), cells).verdict is SUPPORTED
    assert judged(claim(), cells, looks={"claims": looks}).verdict is UNDECIDED
    assert judged(claim(), cells, looks={"another suite": looks}).verdict is SUPPORTED


@pytest.mark.parametrize("test", ["everywhere", "equivalence"])
def test_an_open_comparison_asks_for_the_next_look_at_least_and_says_what_is_planned(test):
    looks = Looks(5, 5, 15)
    wanted = claim(test, margin=MARGIN)
    luck = [2 * by for by in LUCK]
    for by in np.arange(0.0, 0.0102, 2e-4):
        found = judged(wanted, against(float(by), luck), looks={"claims": looks})
        if found.verdict is UNDECIDED:
            (one,) = found.undecided
            assert one.seeds + one.seeds_needed in (10, 15) or one.seeds_needed > 10
            assert ("15 seeds are planned at most" in found.reason) == (10 < one.seeds_needed < MOST_SEEDS)


def test_seeds_of_a_look_that_is_not_complete_do_not_count_yet():
    looks = {"claims": Looks(5, 5, 15)}
    five, seven = against(0.01), against(0.01, [*LUCK, 0.5, -0.5])
    assert judged(claim(), seven, looks=looks).comparisons == judged(claim(), five, looks=looks).comparisons
    four = judged(claim(), against(0.01, LUCK[:4]), looks=looks)
    assert "4 seeds: the first look is at 5" in four.reason


# energy


def metered(share: float, loss: float = 0.002, *, sparsity: float = 0.9, noise=LUCK, **values) -> list[dict]:
    """DTC at `share` of dense's joules and `loss` below its accuracy, which is 95 %."""
    meter = {**METER, "training_s": 100.0}
    return [
        made
        for seed, by in enumerate(noise)
        for made in (
            *([cell("dense", seed, accuracy=0.95, energy_j=1000.0, **meter)] if sparsity == 0.9 else []),
            cell(
                "dtc",
                seed,
                accuracy=0.95 - loss + by,
                sparsity=sparsity,
                **{**meter, "energy_j": 1000.0 * share * (1 + by), **values},
            ),
        )
    ]


SAVING = claim(
    "saving",
    estimand={"quantity": "energy_j", "of": ["dtc"], "at_least": 0.98},
    margin={"share_of_dense_error": 0.2},
)


@pytest.mark.parametrize(
    ("share", "loss", "verdict"),
    [
        (0.01, 0.002, SUPPORTED),
        (0.5, 0.002, REFUTED),
        (0.01, 0.05, REFUTED),  # saves it, but no longer is as accurate
        (0.02, 0.002, UNDECIDED),
        (0.01, 0.01, UNDECIDED),
    ],
)
def test_energy_is_saved_only_within_the_margin_of_dense(share, loss, verdict):
    assert judged(SAVING, metered(share, loss)).verdict is verdict


def test_one_place_that_saves_it_is_enough():
    found = judged(SAVING, metered(0.5) + metered(0.01, sparsity=0.98) + metered(0.005, 0.2, sparsity=0.99))
    assert found.verdict is SUPPORTED
    verdicts = {one.effects[0].name: one.verdict for one in found.comparisons}
    assert verdicts["energy saved at 98 % removed, measured on 1 board"] is SUPPORTED
    assert Counter(verdicts.values()) == {SUPPORTED: 1, REFUTED: 2}


def test_energy_is_refuted_only_if_every_place_fails():
    assert judged(SAVING, metered(0.5) + metered(0.02, sparsity=0.98)).verdict is UNDECIDED


def test_parameters_and_flops_stand_beside_energy_that_was_not_measured():
    cells = of_seeds("dense", 0.95) + of_seeds("dtc", 0.95, parameters=2, training_flops=300, inference_flops=1)
    found = judged(SAVING, cells)
    assert (found.verdict, found.reason) == (NOT_MEASURED, "no energy: no meter")
    saved = {effect.name: effect.value for effect in found.comparisons[0].effects}
    assert math.isnan(saved.pop("energy saved at 90 % removed"))
    assert list(saved.values())[1:] == pytest.approx([0.98, 0.7, 0.9])


def test_a_simulated_gpu_measures_nothing():
    found = judged(SAVING, metered(0.01, simulated=True))
    assert (found.verdict, "simulation" in found.reason) == (NOT_MEASURED, True)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"energy_flags": "short"}, "short windows"),
        ({"hardware_class": "another GPU"}, "pairs span hardware classes"),
        ({"gpu_uuid": "GPU-1"}, "pairs on different GPUs"),
        ({"energy_scope": "module"}, "covering gpu and module"),
    ],
)
def test_what_bars_an_energy_from_its_rank_bars_it_from_a_verdict(values, reason):
    found = judged(SAVING, metered(0.01, **values))
    assert (found.verdict, reason in found.reason) == (UNDECIDED, True)


# energy of use

IN_USE = claim(
    "saving",
    estimand={"quantity": "inference_energy_j", "of": ["dtc"], "at_least": 0.98, "use": {"batch_size": 64}},
    margin=MARGIN,
)


def used(cells: list[dict], joules: float, *, windows: float = 0.0, seconds: float = 3.0, **values) -> pd.DataFrame:
    """The table `use` of these cells: dense's `joules` at batch 64, DTC's share of them as in training, with an
    interval over windows of ± the share `windows`; in every other way of use a saving that would decide at once."""

    def row(one: dict, joules: float, **way) -> dict:
        ours = values if one["method"] == "dtc" else {}
        ends = {"energy_low_j": joules * (1 - windows), "energy_high_j": joules * (1 + windows)}
        meter = {"energy_method": "counter", "energy_scope": "gpu", "energy_reason": None, "use_flags": ""}
        way = {"widths": "pruned", "mode": "eager", "batch_size": 64} | way
        pace = {"passes": 1000, "throughput": 1000 * way["batch_size"] / seconds}
        return {"key": one["key"], **way, **pace, "energy_j": joules, **ends, **meter, **ours}

    rows = []
    for one in cells:
        rows.append(row(one, joules * one["energy_j"] / 1000))
        far = 1e-4 * joules if one["method"] == "dtc" else joules
        rows += [row(one, far, **way) for way in ({"batch_size": 1}, {"mode": "cuda-graph"}, {"widths": "rounded"})]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("share", "verdict"), [(0.01, SUPPORTED), (0.5, REFUTED), (0.02, UNDECIDED)])
def test_the_energy_of_use_is_judged_in_the_way_that_the_claim_names_and_as_that_of_training_is(share, verdict):
    cells = metered(share)
    found, of_training = judged(IN_USE, cells, use=used(cells, 7.0)), judged(SAVING, cells)
    assert (found.verdict, of_training.verdict) == (verdict, verdict)
    (ours,), (training,) = found.comparisons, of_training.comparisons
    assert ours.effects[0].name == "energy of use saved at 90 % removed, measured on 1 board"
    assert ours.effects[0].value == pytest.approx(training.effects[0].value)
    assert ours.effects[1:] == training.effects[1:]
    assert found.rule == of_training.rule.replace("saving", "saving in use (batch 64, eager, as pruned)", 1)


def test_the_joules_of_training_say_nothing_of_those_of_use():
    cells = metered(0.01)
    found = judged(IN_USE, cells)
    assert (found.verdict, found.reason) == (NOT_MEASURED, "no energy: use not measured at batch 64, eager, as pruned")
    other = judged(IN_USE, [one | {"energy_j": math.nan} for one in cells], use=used(cells, 7.0))
    assert other.verdict is SUPPORTED
    nothing = used(cells, 7.0).assign(energy_j=math.nan, energy_reason="the cell ran on the CPU")
    assert judged(IN_USE, cells, use=nothing).reason == "no energy: the cell ran on the CPU"


@pytest.mark.parametrize(
    ("windows", "seconds", "error"),
    [(0.0, 3.0, 0.1 / 3 / math.sqrt(6)), (0.049, 3.0, 0.025), (0.0049, 5.0, 0.02 / math.sqrt(6))],
)
def test_the_interval_of_use_holds_the_larger_of_one_refresh_a_window_and_the_spread_of_windows(
    windows, seconds, error
):
    cells = metered(0.01)
    (found,) = judged(IN_USE, cells, use=used(cells, 7.0, windows=windows, seconds=seconds)).comparisons
    logs = stats.mean_estimate([math.log(0.01 * (1 + by)) for by in LUCK])
    both = stats.with_error(logs, math.hypot(error, error))
    effect = found.effects[0]
    assert (1 - effect.high, 1 - effect.low) == pytest.approx((math.exp(both.low), math.exp(both.high)))


@pytest.mark.parametrize(
    ("of_use", "of_cells", "verdict", "reason"),
    [
        ({"use_flags": "warm,coarse"}, {}, UNDECIDED, "coarse against the driver's refresh"),
        ({"energy_scope": "module"}, {}, UNDECIDED, "covering gpu and module"),
        ({"energy_method": "integral"}, {}, UNDECIDED, "measured by counter and integral"),
        ({}, {"gpu_uuid": "GPU-1"}, UNDECIDED, "pairs on different GPUs"),
        ({}, {"hardware_class": "another GPU"}, UNDECIDED, "pairs span hardware classes"),
        ({}, {"simulated": True}, NOT_MEASURED, "the GPU was a simulation"),
        ({}, {"energy_flags": "short"}, SUPPORTED, ""),  # of the training
    ],
)
def test_what_bars_joules_of_use_bars_them_from_a_verdict(of_use, of_cells, verdict, reason):
    cells = metered(0.01, **of_cells)
    found = judged(IN_USE, cells, use=used(cells, 7.0, **of_use))
    assert (found.verdict, reason in found.reason) == (verdict, True)


def test_a_seed_whose_use_has_no_joules_is_not_left_out():
    cells = metered(0.01)
    table = used(cells, 7.0)
    lacking = (table["key"] == cells[-1]["key"]) & (table["batch_size"] == 64)
    found = judged(IN_USE, cells, use=table[~lacking])
    assert (found.verdict, found.comparisons[0].reason) == (UNDECIDED, "no ok pair for seed 4")


# until a target accuracy


def raced(*networks: tuple[int, int | None], seeds: int = 5):
    """DTC and dense, which reach the target in so many cycles of 10 steps each, or never; a pair per network."""
    cells, rows = [], []
    for number, cycles in enumerate(networks):
        for seed in range(seeds):
            for method, taken in zip(("dtc", "dense"), cycles, strict=True):
                end = {"accuracy": 0.9, "steps": 90, "validation_accuracy": 0.95 if taken is not None else 0.5}
                cells.append(cell(method, seed, dataset=f"data{number}", **end))
                rows += [
                    {"key": cells[-1]["key"], "cycle": cycle, "step": 10 * (cycle + 1)}
                    | {"validation_before": 0.95 if taken is not None and cycle >= taken else 0.5}
                    for cycle in range(8)
                ]
    return cells, rows


STEPS = {"quantity": "steps_to_target", "of": ["dtc"], "minus": ["dense"], "equal": "nothing"}


@pytest.mark.parametrize(("seeds", "verdict"), [(5, UNDECIDED), (6, SUPPORTED)])
def test_who_is_faster_in_every_seed_is_shown_by_signs_from_six_seeds_on(seeds, verdict):
    found = judged(claim(estimand=STEPS), *raced((2, 4), seeds=seeds))
    assert found.verdict is verdict
    assert found.comparisons[0].p == pytest.approx(2 / 2**seeds)
    effects = {effect.name: effect.value for effect in found.comparisons[0].effects}
    assert effects["of the other's cost, median"] == pytest.approx(30 / 50)


def test_a_tie_of_two_that_never_reached_the_target_counts_for_neither():
    found = judged(claim(estimand=STEPS), *raced((None, None), seeds=6))
    assert (found.verdict, "no seed differs" in found.reason) == (UNDECIDED, True)


def test_a_target_that_was_never_reached_took_without_end_and_is_shown_so():
    found = judged(claim(estimand=STEPS), *raced((None, 4), seeds=6))
    assert found.verdict is REFUTED
    effects = {effect.name: effect.value for effect in found.comparisons[0].effects}
    assert (effects["of the other's cost, median"], effects["never reached the target"]) == (math.inf, 1.0)


def test_faster_on_average_is_an_exact_sign_flip_over_pairs_of_network_and_data():
    races = [(2, 4)] * 5
    average = claim("average", estimand=STEPS)
    assert "1 more are needed" in judged(average, *raced(*races)).reason
    found = judged(average, *raced(*races, (1, 4)))
    assert (found.verdict, found.comparisons[0].p) == (SUPPORTED, pytest.approx(2 / 2**6))
    mixed = judged(average, *raced(*races, (None, 4)))
    assert (mixed.verdict, mixed.comparisons[0].p) == (UNDECIDED, pytest.approx(14 / 2**6))


def test_flops_to_the_target_are_not_measured_where_no_cycle_counts_them():
    found = judged(claim(estimand={**STEPS, "quantity": "training_flops_to_target"}), *raced((2, 4), seeds=6))
    assert found.verdict is NOT_MEASURED


# draws


def test_the_share_of_variance_is_that_of_two_sample_variances():
    found = share_of_variance(np.array([0.0, 2.0, 4.0, 2.0]), np.array([0.0, 1.0, 2.0, 1.0]))
    assert found.mean == pytest.approx(0.75)
    assert found.low == pytest.approx(1 - 0.25 * scipy.stats.f.ppf(0.975, 3, 3))
    assert found.high == pytest.approx(1 - 0.25 / scipy.stats.f.ppf(0.975, 3, 3))


def test_a_claim_shows_what_share_of_variance_fresh_draws_have():
    shown = [{"of": "dtc", "without": "dtc(draws=fixed)", "draws": "Φ"}]
    fixed = of_seeds("dtc(draws=fixed)", 0.9, [0.5 * by for by in LUCK], solver="lars")
    cells = against(0.01) + fixed
    cells = [one | {"accuracy": 0.9 + LUCK[one["seed"]]} if one["method"] == "dtc" else one for one in cells]
    effects = judged(claim(shown=shown), cells).comparisons[0].effects
    assert (effects[1].name, effects[1].value) == ("share of the variance that Φ has", pytest.approx(0.75))


# the package's own


def test_every_shipped_claim_has_its_own_verdict_and_rests_on_nothing_without_cells():
    shipped = [file.claim for file in load()]
    found = claims.conclusions(shipped, pd.DataFrame([cell("dense", 0)]), pd.DataFrame(columns=CYCLES))
    assert [one.id for one in found] == [one.id for one in shipped]
    assert {one.verdict for one in found} == {NOT_MEASURED}


# error rates, by the simulation of benchmarks/claims.py


@pytest.mark.parametrize(
    ("test", "between", "false"),
    [("average", 0.5, {"supported", "refuted"}), ("everywhere", 0.0, {"supported", "refuted"})],
)
def test_a_rule_errs_in_at_most_one_of_twenty_draws_without_a_difference(simulation, test, between, false):
    draws = 40
    found = simulation.rates(test, 0.0, between, draws, seeds=5)
    wrong = round(draws * sum(found.get(verdict, 0.0) for verdict in false))
    assert scipy.stats.binomtest(wrong, draws, 0.05, alternative="greater").pvalue > 0.001


def test_rules_have_power_where_the_difference_is_one_that_matters(simulation):
    assert simulation.rates("average", 1.0, 0.0, 20, seeds=5)["supported"] > 0.9
    assert simulation.rates("everywhere", -2.0, 0.0, 20, seeds=5)["refuted"] > 0.9
    assert simulation.rates("equivalence", 0.0, 0.0, 20, seeds=20)["supported"] > 0.9


@pytest.fixture(scope="module")
def simulation():
    """The module benchmarks/claims.py."""
    path = Path(__file__).parents[2] / "benchmarks/claims.py"
    spec = importlib.util.spec_from_file_location("benchmarks_claims", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# test images


def test_where_every_hit_is_recorded_the_interval_is_over_test_images_too():
    rng = np.random.default_rng(1)
    hits = {method: rng.random((5, 40)) < share for method, share in (("dtc", 0.9), ("random", 0.7))}
    cells = against(0.0)
    for one in cells:
        if one["method"] in hits:
            of_seed = hits[one["method"]][one["seed"]]
            one |= {"hits": packed(of_seed), "test_samples": 40, "accuracy": of_seed.mean()}
    effect = judged(claim(), cells).comparisons[0].effects[0]
    difference = hits["dtc"].astype(float) - hits["random"]
    of_seeds_alone = scipy.stats.ttest_1samp(difference.mean(axis=1), 0).confidence_interval()
    both = stats.crossed_estimate(difference)
    assert (effect.low, effect.high) == pytest.approx((both.low, both.high))
    assert effect.high - effect.low >= of_seeds_alone.high - of_seeds_alone.low
    cells[-1] |= {"hits": None}  # a cell without them: seeds alone
    alone = judged(claim(), cells).comparisons[0].effects[0]
    assert (alone.low, alone.high) == pytest.approx(tuple(of_seeds_alone))
