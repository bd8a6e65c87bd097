"""The claims: every verdict forced once by hand-made cells, and never on fewer than five seeds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from handmade import METER, cell
from hypothesis import given, settings
from hypothesis import strategies as st

from dtcbench.analysis import stats, tracking
from dtcbench.analysis.claims import conclusions
from dtcbench.analysis.verdicts import Comparison, Verdict, conclude, is_better, is_equivalent

NAMES = ["reproduction", "energy", "reconstruction", "random", "entropy", "lottery ticket"]
LUCK = [0.0, 0.0011, -0.0012, 0.0005, -0.0004]
"""What a seed does to a difference: small, and not the same for all."""
CYCLES = [
    "key", "cycle", "group", "width_after", "measurements", "test_after", "validation_after", "validation_before",
    "cumulative_j", "entropy_in_bits", "entropy_out_bits",
]  # fmt: skip


def of_seeds(method: str, accuracy: float, luck=LUCK, **values) -> list[dict]:
    solver = {"solver": "lars"} if method in ("dtc", "dtc-published", "shuffled") else {}
    return [cell(method, seed, accuracy=accuracy + by, **{**solver, **values}) for seed, by in enumerate(luck)]


def judged(name: str, cells: list[dict], cycles: list[dict] | None = None, reference=None):
    table = pd.DataFrame(cycles or [], columns=list(dict.fromkeys([*CYCLES, *(cycles[0] if cycles else [])])))
    found = {conclusion.name: conclusion for conclusion in conclusions(pd.DataFrame(cells), table, reference)}
    assert list(found) == NAMES
    return found[name]


DENSE = of_seeds("dense", 0.95, [0.0] * 5)
DTC = of_seeds("dtc", 0.94, [0.0] * 5)


# the one rule


def comparison(verdict: Verdict, seeds: int = 5, **values) -> Comparison:
    return Comparison("here", verdict, "a reason", seeds=seeds, **values)


@pytest.mark.parametrize("verdict", [Verdict.SUPPORTED, Verdict.REFUTED])
def test_no_comparison_on_four_seeds_can_say_anything(verdict):
    with pytest.raises(ValueError, match="on 4 seeds; 5 are needed"):
        comparison(verdict, seeds=4)


@given(st.lists(st.sampled_from(list(Verdict)), max_size=6))
def test_a_claim_is_what_all_its_measured_comparisons_say_alike(verdicts):
    conclusion = conclude("x", "X.", "rule", map(comparison, verdicts), nothing="nothing")
    measured = {verdict for verdict in verdicts if verdict is not Verdict.NOT_MEASURED}
    if not measured:
        assert conclusion.verdict is Verdict.NOT_MEASURED
    else:
        assert conclusion.verdict is (measured.pop() if len(measured) == 1 else Verdict.NOT_SHOWN)


def test_a_part_of_a_claim_that_was_not_measured_leaves_it_open():
    one = comparison(Verdict.SUPPORTED, kind="random")
    assert conclude("x", "X.", "rule", [one], nothing="", kinds=["random"]).verdict is Verdict.SUPPORTED
    partly = conclude("x", "X.", "rule", [one], nothing="", kinds=["random", "shuffled"])
    assert (partly.verdict, partly.reason[:22]) == (Verdict.NOT_SHOWN, "not measured: shuffled")


def test_the_p_of_a_claims_comparisons_is_adjusted_for_their_number():
    conclusion = conclude("x", "X.", "rule", [comparison(Verdict.NOT_SHOWN, p=p) for p in (0.01, 0.02)], nothing="")
    assert [c.p_adjusted for c in conclusion.comparisons] == pytest.approx(list(stats.holm([0.01, 0.02])))


OPPOSITE = {Verdict.SUPPORTED: Verdict.REFUTED, Verdict.REFUTED: Verdict.SUPPORTED}
SEEDS = st.lists(st.integers(-30, 30).map(lambda points: points / 1000), min_size=5, max_size=8)


@settings(max_examples=30)
@given(SEEDS)
def test_rules_are_symmetric(differences):
    """Better turns round when the two sides change places; equivalent stays."""
    forth, back = stats.mean_estimate(differences), stats.mean_estimate([-d for d in differences])
    better, worse = is_better(forth)[0], is_better(back)[0]
    assert worse is OPPOSITE.get(better, better)
    assert is_equivalent(forth)[0] is is_equivalent(back)[0]


# accuracy at equal widths

RIVALS = ["magnitude", "random", "shuffled"]


def against(by: float, rivals=RIVALS, luck=LUCK) -> list[dict]:
    """DTC `by` above each of the rivals."""
    return DENSE + DTC + [c for rival in rivals for c in of_seeds(rival, 0.94 - by, luck)]


@pytest.mark.parametrize(
    ("by", "verdict"), [(0.01, Verdict.SUPPORTED), (-0.01, Verdict.REFUTED), (0.0, Verdict.NOT_SHOWN)]
)
def test_reconstruction_must_win_against_all_three(by, verdict):
    conclusion = judged("reconstruction", against(by))
    assert conclusion.verdict is verdict
    assert len(conclusion.comparisons) == 3
    assert conclusion.comparisons[0].effects[0].value == pytest.approx(by, abs=1e-6)


def test_reconstruction_is_open_while_its_shuffled_scores_were_not_measured():
    conclusion = judged("reconstruction", against(0.01, RIVALS[:2]))
    assert conclusion.verdict is Verdict.NOT_SHOWN
    assert "not measured: shuffled" in conclusion.reason


def test_shuffled_scores_are_those_of_the_same_solver():
    cells = against(0.01, RIVALS[:2]) + of_seeds("shuffled", 0.93, solver="scs")
    assert judged("reconstruction", cells).verdict is Verdict.NOT_SHOWN


def test_variants_of_dtc_do_not_speak_for_it():
    cells = DENSE + of_seeds("dtc(lam=3.0)", 0.94, solver="lars") + of_seeds("random", 0.9)
    assert judged("random", cells).verdict is Verdict.NOT_MEASURED


@pytest.mark.parametrize(
    ("by", "luck", "verdict"),
    [
        (0.002, LUCK, Verdict.SUPPORTED),
        (0.05, LUCK, Verdict.REFUTED),
        (-0.05, LUCK, Verdict.REFUTED),
        (0.0, [20 * by for by in LUCK], Verdict.NOT_SHOWN),
    ],
)
def test_random_is_as_good_only_where_equivalence_is_shown(by, luck, verdict):
    assert judged("random", against(by, ["random"], luck)).verdict is verdict


@pytest.mark.parametrize(
    ("by", "verdict"), [(0.02, Verdict.SUPPORTED), (-0.02, Verdict.REFUTED), (0.0, Verdict.NOT_SHOWN)]
)
@pytest.mark.parametrize("label", ["scratch", "scratch(budget=flops)"])
def test_a_lottery_ticket_beats_the_same_widths_from_scratch(by, verdict, label):
    assert judged("lottery ticket", against(by, [label])).verdict is verdict


def test_both_sides_must_end_on_the_same_widths():
    cells = DENSE + DTC + of_seeds("random", 0.9, parameters=99)
    conclusion = judged("random", cells)
    assert conclusion.verdict is Verdict.NOT_SHOWN
    assert "different widths" in conclusion.reason


def test_four_seeds_are_not_enough_whatever_they_say():
    cells = [c for c in against(0.03) if c["seed"] < 4]
    for name in ("reconstruction", "random"):
        conclusion = judged(name, cells)
        assert conclusion.verdict is Verdict.NOT_SHOWN
        assert "4 seeds: five are needed" in conclusion.reason


def test_a_seed_that_failed_is_not_left_out():
    six = [*LUCK, 0.0003]
    cells = of_seeds("dense", 0.95, [0.0] * 6) + of_seeds("dtc", 0.94, [0.0] * 6) + of_seeds("random", 0.9, six)
    assert judged("random", cells).verdict is Verdict.REFUTED
    cells[-1] |= cell("random", 5, status="diverged", reason="loss is nan")
    conclusion = judged("random", cells)
    assert conclusion.verdict is Verdict.NOT_SHOWN
    assert "no ok pair for seed 5" in conclusion.reason


def test_equal_differences_in_all_seeds_decide_nothing():
    assert judged("random", against(0.05, ["random"], [0.0] * 5)).verdict is Verdict.NOT_SHOWN


def test_a_finding_names_the_cells_it_rests_on():
    cells = against(0.05, ["random"])
    keys = {c["key"] for c in cells if c["method"] in ("dtc", "random")}
    assert set(judged("random", cells).cells) == keys


# energy


def metered(share: float, loss: float = 0.002, *, sparsity: float = 0.9, noise=LUCK, **values) -> list[dict]:
    """DTC at `share` of dense's joules and `loss` below its accuracy."""
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


@pytest.mark.parametrize(
    ("share", "loss", "verdict"),
    [
        (0.01, 0.002, Verdict.SUPPORTED),
        (0.5, 0.002, Verdict.REFUTED),
        (0.01, 0.05, Verdict.REFUTED),  # saves it, but no longer is as accurate
        (0.02, 0.002, Verdict.NOT_SHOWN),
        (0.01, 0.01, Verdict.NOT_SHOWN),
    ],
)
def test_energy_is_saved_only_within_a_point_of_dense(share, loss, verdict):
    assert judged("energy", metered(share, loss)).verdict is verdict


def test_one_sparsity_that_saves_it_is_enough_and_is_the_one_shown():
    cells = metered(0.5) + metered(0.01, sparsity=0.98) + metered(0.005, 0.2, sparsity=0.99)
    conclusion = judged("energy", cells)
    assert conclusion.verdict is Verdict.SUPPORTED
    assert conclusion.comparisons[0].effects[0].name == "energy saved at 98 % removed"


def test_energy_is_refuted_only_if_every_sparsity_fails():
    assert judged("energy", metered(0.5) + metered(0.02, sparsity=0.98)).verdict is Verdict.NOT_SHOWN


def test_parameters_and_flops_stand_beside_energy_that_was_not_measured():
    cells = DENSE + of_seeds("dtc", 0.95, parameters=2, training_flops=300, inference_flops=1)
    conclusion = judged("energy", cells)
    assert conclusion.verdict is Verdict.NOT_MEASURED
    assert conclusion.reason == "no energy: no meter"
    saved = {effect.name: effect.value for effect in conclusion.comparisons[0].effects}
    assert math.isnan(saved.pop("energy saved at 90 % removed"))
    assert list(saved.values())[1:] == pytest.approx([0.98, 0.7, 0.9])


def test_a_simulated_gpu_measures_nothing():
    conclusion = judged("energy", metered(0.01, simulated=True))
    assert conclusion.verdict is Verdict.NOT_MEASURED
    assert "simulation" in conclusion.reason


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"energy_flags": "short"}, "short windows"),
        ({"hardware_class": "another GPU"}, "pairs span hardware classes"),
        ({"gpu_uuid": "GPU-1"}, "pairs on different GPUs"),
    ],
)
def test_what_bars_an_energy_from_its_rank_bars_it_from_a_verdict(values, reason):
    conclusion = judged("energy", metered(0.01, **values))
    assert conclusion.verdict is Verdict.NOT_SHOWN
    assert reason in conclusion.reason


def test_energy_needs_five_seeds_too():
    conclusion = judged("energy", metered(0.5, noise=LUCK[:4]))
    assert (conclusion.verdict, "five are needed" in conclusion.reason) == (Verdict.NOT_SHOWN, True)


# entropy


def tracked(entropy, *, shuffled=None, seeds=5, cycles=12, accuracy=None, further=None):
    """Cycles in which n halves what it was and `entropy(n, wave)` is measured, beside an accuracy that follows
    log n and a wave of its own."""
    cells = [cell("dtc", seed, protocol="standard") for seed in range(seeds)]
    rows = []
    for c in cells:
        rng = np.random.default_rng(c["seed"])
        for cycle in range(cycles):
            n, wave = 2.0 ** (cycles - cycle), rng.normal()
            row = {"key": c["key"], "cycle": cycle, "group": "a", "width_after": 9, "measurements": n}
            row |= {f"entropy_{side}_bits": entropy(n, wave, rng) for side in ("in", "out")}
            if shuffled:
                row |= {f"entropy_{side}_shuffled_bits": shuffled(n, wave, rng) for side in ("in", "out")}
            others = np.random.default_rng([c["seed"], cycle])  # leaves the draws above as they are
            row |= {name: measure(n, wave, others) for name, measure in (further or {}).items()}
            rows.append({**row, "test_after": accuracy if accuracy is not None else math.log2(n) + 2 * wave})
    return judged("entropy", cells, rows)


def tracks(n, wave, rng):
    return math.log2(n) + 2 * wave + rng.normal(0, 0.1)


def follows_n(n, wave, rng):
    return math.log2(n) + rng.normal(0, 0.3)


def test_entropy_that_follows_accuracy_beyond_n_and_its_null_tracks_it():
    conclusion = tracked(tracks, shuffled=follows_n)
    assert conclusion.verdict is Verdict.SUPPORTED
    assert len(conclusion.comparisons) == 2


def test_entropy_that_only_follows_the_number_of_measurements_does_not():
    conclusion = tracked(follows_n, shuffled=follows_n)
    assert conclusion.verdict is Verdict.REFUTED
    plain, partial = conclusion.comparisons[0].effects[:2]
    assert plain.value > 0.6 > 0.4 > abs(partial.value)


def test_entropy_no_better_than_that_of_a_reshuffled_projection_is_not_shown_to_track():
    conclusion = tracked(tracks, shuffled=tracks)
    assert (conclusion.verdict, "reshuffled" in conclusion.reason) == (Verdict.NOT_SHOWN, True)


def test_without_the_null_tracking_cannot_be_supported_but_still_be_refuted():
    assert tracked(tracks).verdict is Verdict.NOT_SHOWN
    assert tracked(follows_n, cycles=30).verdict is Verdict.REFUTED


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"seeds": 4}, "4 seeds: five are needed"),
        ({"cycles": 5}, "5 cycles with a measurement: six are needed"),
        ({"accuracy": 0.5}, "does not vary"),
    ],
)
def test_too_little_for_a_correlation_decides_nothing(values, reason):
    conclusion = tracked(follows_n, **values)
    assert conclusion.verdict is Verdict.NOT_SHOWN
    assert reason in conclusion.reason


def test_entropy_that_is_a_function_of_n_has_no_partial_correlation():
    conclusion = tracked(lambda n, wave, rng: math.log2(n))
    assert (conclusion.verdict, "alone decides" in conclusion.reason) == (Verdict.NOT_SHOWN, True)


def test_further_measures_stand_beside_where_the_cycles_have_them_and_decide_nothing():
    without = tracked(follows_n, cycles=30)
    beside = tracked(follows_n, cycles=30, further={"compressed_bits": tracks, "lempel_ziv": tracks})
    assert beside.verdict is without.verdict is Verdict.REFUTED
    names = {e.name for e in beside.comparisons[0].effects} - {e.name for e in without.comparisons[0].effects}
    assert names == {
        f"{measure}: r {of}"
        for measure in ("compressed size of the weights", "Lempel-Ziv complexity of the projection")
        for of in ("with accuracy", "given log2 n")
    }


def test_cells_that_measure_nothing_are_not_measured():
    assert judged("entropy", DTC).verdict is Verdict.NOT_MEASURED


@given(st.tuples(*[st.floats(-0.99, 0.99)] * 3))
def test_a_partial_correlation_is_symmetric_and_is_the_plain_one_where_z_says_nothing(r):
    xy, xz, yz = r
    assert tracking.partial_correlation(xy, xz, yz) == tracking.partial_correlation(xy, yz, xz)
    assert tracking.partial_correlation(xy, 0.0, 0.0) == pytest.approx(xy)


def test_a_partial_correlation_is_that_of_the_residuals():
    x, y, z = np.random.default_rng(1).normal(size=(3, 40))
    x, y = x + z, y - 2 * z + x
    r = np.corrcoef([x, y, z])
    residuals = [v - np.polyval(np.polyfit(z, v, 1), z) for v in (x, y)]
    expected = np.corrcoef(residuals)[0, 1]
    assert tracking.partial_correlation(r[0, 1], r[0, 2], r[1, 2]) == pytest.approx(expected)


# all of them


def test_an_empty_run_measures_nothing():
    cells = pd.DataFrame([cell("dense", 0)])
    found = conclusions(cells.iloc[:0], pd.DataFrame(columns=CYCLES))
    assert {conclusion.verdict for conclusion in found} == {Verdict.NOT_MEASURED}
    assert all(conclusion.reason and conclusion.rule for conclusion in found)


def test_the_order_of_the_rows_changes_nothing():
    cells = against(0.004) + metered(0.3, sparsity=0.8)[::-1]
    rows = [
        {"key": c["key"], "cycle": k, "group": "a", "measurements": 30 - k, "validation_after": (k * 7 % 5) / 10}
        | dict.fromkeys(("entropy_in_bits", "entropy_out_bits"), (k * 3 % 7 + c["seed"]) / 2)
        for c in cells
        if c["method"] == "dtc"
        for k in range(8)
    ]
    forth, back = (
        conclusions(pd.DataFrame(c), pd.DataFrame(r, columns=CYCLES))
        for c, r in ((cells, rows), (cells[::-1], rows[::-1]))
    )
    assert repr(forth) == repr(back)
