"""The entropy law on the author's data, and verdicts in simulated worlds where it is known what accuracy depends on."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from handmade import cell

from dtcbench import published
from dtcbench.analysis import entropy_law, paper_entropy
from dtcbench.analysis.correlation import correlation, partial_correlation, smoothed
from dtcbench.analysis.verdicts import Comparison, Verdict
from dtcbench.entropy import entropy_bits

WIDTHS = [512]
while WIDTHS[-1] > 10:
    WIDTHS.append(math.ceil(0.9 * WIDTHS[-1]) - 1)


def world(kind: str, *, seeds: int = 6, cycles: int = 34, scale: float = 5.0, norms: bool = True, rivals: bool = True):
    """The comparisons of cells in which accuracy falls with n and follows a wave of the network's own. The wave is
    also in the projection's norm, in its pattern, or in a share of measurements that are equal against the law.
    """
    cells, rows = [], []
    for method in ("dtc", "random", "magnitude")[: 3 if rivals else 1]:
        for seed in range(seeds):
            rng = np.random.default_rng([seed, len(method)])
            made = cell(method, seed)
            cells.append(made)
            for cycle in range(cycles):
                m, wave = WIDTHS[cycle], rng.normal()
                accuracy = 0.9 + 0.02 * math.log2(m) + 0.01 * wave + rng.normal(0, 0.002)
                row = {
                    "key": made["key"],
                    "cycle": cycle,
                    "group": "a",
                    "test_after": accuracy,
                    "measurements": math.nan,
                }
                rows.append(row | (measured(kind, m, wave, scale, rng) if method == "dtc" else {}))
    table = pd.DataFrame(rows)
    if not norms:
        table = table.drop(columns=["projection_in_norm", "projection_out_norm"])
    return list(entropy_law.comparisons(pd.DataFrame(cells), table))


def measured(kind: str, m: int, wave: float, scale: float, rng: np.random.Generator) -> dict[str, float]:
    """What a record holds of one compression of m neurons."""
    n = max(1, int(0.1 * m))
    share = 1 / (1 + math.exp(-wave)) if kind == "pattern" else 0.5
    a = rng.normal(size=m) * (rng.random(m) < max(share, 2 / m))
    a *= scale * math.exp(0.4 * wave if kind == "norm" else 0.4 * rng.normal()) / max(np.linalg.norm(a), 1e-12)
    row = {"measurements": n}
    for side in ("in", "out"):
        y = rng.normal(size=(n, m)) @ a
        if kind == "broken":
            y[rng.random(n) < 1 / (1 + math.exp(2 * wave))] = 0.01
        row |= {f"entropy_{side}_bits": entropy_bits(y), f"projection_{side}_norm": float(np.linalg.norm(a))}
    return row


def shown(comparison: Comparison) -> dict[str, float]:
    return {effect.name: effect.value for effect in comparison.effects}


# the author's data


def law() -> pd.DataFrame:
    return paper_entropy.law_of(published.measurements())


def test_on_the_authors_measurements_n_and_the_norm_give_the_published_entropies():
    known = law()[lambda rows: (rows["n"] >= 3) & rows["measured"].notna()]
    found = {side: (len(rows), correlation(rows["predicted"].to_numpy(), rows["measured"].to_numpy()))
             for side, rows in known.groupby("side")}  # fmt: skip
    assert found == {"incoming": (25, pytest.approx(0.954, abs=5e-4)), "outgoing": (26, pytest.approx(0.998, abs=5e-4))}


def test_the_authors_outgoing_entropy_follows_other_networks_accuracy_better_than_its_own():
    rows = law()[lambda rows: rows["side"] == "outgoing"].merge(published.accuracies(), on="cycle")
    r = {name: correlation(rows["measured"].to_numpy(), rows[f"{name}-published"].to_numpy())
         for name in ("dtc", "magnitude", "random")}  # fmt: skip
    assert r == pytest.approx({"dtc": 0.659, "magnitude": 0.904, "random": 0.856}, abs=5e-4)


def test_the_papers_own_measurements_are_shown_and_judged_by_no_rule():
    found = list(paper_entropy.comparisons(published.measurements(), published.accuracies()))
    assert [one.where for one in found] == [
        f"the paper's own measurements: dtc-published, {side}" for side in ("incoming", "outgoing")
    ]
    assert {one.verdict for one in found} == {Verdict.NOT_MEASURED}
    assert [len(one.law) for one in found] == [25, 26]


# the rule


@pytest.mark.parametrize("kind", ["norm", "pattern"])
def test_where_accuracy_follows_the_norm_or_the_pattern_the_law_explains_the_entropy(kind):
    found = world(kind)
    assert [one.verdict for one in found] == [Verdict.REFUTED] * 2
    for one in found:
        effects = shown(one)
        assert effects["entropy: r with accuracy"] > 0.7
        assert effects["predicted from n and the norm: r with the entropy"] > 0.95
        assert abs(effects["residual: r with accuracy given log2 n to the power 3"]) < 0.3
        assert one.seeds == len(one.cells) == 6


def test_where_the_norm_carries_accuracy_the_entropy_follows_it_given_n_and_the_residual_does_not():
    effects = shown(world("norm", scale=1.0)[0])
    assert effects["entropy: r given log2 n to the power 3"] > 0.4
    assert abs(effects["residual: r with accuracy given log2 n to the power 3"]) < 0.2


def test_an_entropy_that_breaks_the_law_with_accuracy_tracks_it():
    found = world("broken")
    assert [one.verdict for one in found] == [Verdict.SUPPORTED] * 2
    effects = shown(found[0])
    assert effects["residual: r with accuracy given log2 n to the power 3"] > 0.7
    assert abs(effects["residual: the same with the accuracy of other networks"]) < 0.3


def test_without_another_network_the_control_lacks_and_nothing_is_supported():
    found = world("broken", seeds=5, rivals=False)
    assert {one.verdict for one in found} == {Verdict.SUPPORTED}  # other seeds are other networks
    alone = entropy_law.comparisons(*one_network())
    assert {one.reason for one in alone} == {"1 seed: five are needed"}


def one_network() -> tuple[pd.DataFrame, pd.DataFrame]:
    made, rng = cell("dtc", 0), np.random.default_rng(0)
    rows = [
        {
            "key": made["key"],
            "cycle": at,
            "group": "a",
            "test_after": rng.random(),
            **measured("norm", m, 0.0, 5.0, rng),
        }
        for at, m in enumerate(WIDTHS)
    ]
    return pd.DataFrame([made]), pd.DataFrame(rows)


def test_an_entropy_of_log2_n_counts_measurements_and_is_evidence_against():
    for norms in (True, False):
        for one in world("norm", scale=1e7, norms=norms):
            assert one.verdict is Verdict.REFUTED
            assert one.reason == "the entropy is log2 n in every cycle: it counts the measurements"
            assert shown(one)["cycles in which the entropy is log2 n"] == 1


def test_records_without_norms_say_so_and_no_norm_is_guessed():
    for one in world("norm", norms=False):
        assert one.verdict is Verdict.NOT_MEASURED
        assert one.reason == "the norm of the projection was not recorded: an older version made the records"
        assert math.isnan(one.effects[0].value)
        assert not one.law
        assert "predicted from n and the norm: r with the entropy" not in shown(one)


@pytest.mark.parametrize(
    ("values", "verdict", "reason"),
    [
        ({"seeds": 4}, Verdict.UNDECIDED, "4 seeds: five are needed"),
        ({"cycles": 8}, Verdict.NOT_MEASURED, "8 cycles with 3 or more measurements: 10 are needed"),
    ],
)
def test_too_few_seeds_or_cycles_decide_nothing(values, verdict, reason):
    assert {(one.verdict, one.reason) for one in world("norm", **values)} == {(verdict, reason)}


def test_the_figure_s_points_are_means_over_the_seeds_by_cycle():
    [one, _] = world("norm")
    assert len(one.law) == 34
    assert correlation(*np.array([(p.predicted, p.measured) for p in one.law]).T) > 0.99


def test_cells_that_measure_nothing_are_not_measured():
    cells = pd.DataFrame([cell("dtc", seed) for seed in range(5)])
    found = list(entropy_law.comparisons(cells, pd.DataFrame({"key": [], "group": []})))
    assert [(one.verdict, one.reason) for one in found] == [(Verdict.NOT_MEASURED, "no cycle with a measurement")]


# correlations


def test_a_partial_correlation_is_that_of_the_residuals():
    x, y, z = np.random.default_rng(1).normal(size=(3, 40))
    x, y = x + z**2, y - 2 * z + x
    for powers in range(4):
        residuals = [v - np.polyval(np.polyfit(z, v, powers), z) for v in (x, y)]
        expected = np.corrcoef(residuals)[0, 1]
        assert partial_correlation(x, y, z, powers) == pytest.approx(expected)
        assert partial_correlation(y, x, 5 * z + 3, powers) == pytest.approx(expected)


def test_what_powers_of_z_decide_has_no_partial_correlation():
    x, z = np.random.default_rng(2).normal(size=(2, 30))
    assert math.isnan(partial_correlation(x, 3 * z**2 - z, z, 2))
    assert math.isnan(correlation(x, np.full(30, 0.1)))


def test_lowess_follows_a_line_and_leaves_a_spike():
    at = np.arange(30.0)
    line = 2 * at + np.sin(7 * at)
    assert smoothed(line, at) == pytest.approx(2 * at, abs=1.2)
    assert smoothed(line + 50 * (at == 15), at)[15] == pytest.approx(30, abs=2)
