"""False verdicts and power of the rules `average`, `everywhere` and `equivalence`, by simulation.

    python benchmarks/claims.py [DRAWS]

Eight pairs of network and data, two sparsities each, differences normal over seeds. Spreads are in units of the margin,
which is the smallest effect of interest: a fifth of dense's error. Prints the table of docs/statistics.md, section 2.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from dtcbench.analysis import stats
from dtcbench.analysis.claims import concluded
from dtcbench.analysis.pairing import Pool, Rows
from dtcbench.analysis.rivals import Pair, Series
from dtcbench.analysis.rules import case_of_pairs, families
from dtcbench.analysis.sequential import Looks
from dtcbench.plan.claim import Claim

ERROR, MARGIN = 0.05, 0.01
"""Dense's error, and a fifth of it."""
NETWORKS, SPARSITIES = 8, (0.8, 0.95)
WORLDS = {
    "no difference": (0.0, 0.0),
    "no difference on average, half a margin between pairs": (0.0, 0.5),
    "one margin for DTC": (1.0, 0.0),
    "one margin for DTC, half a margin between pairs": (1.0, 0.5),
    "two margins against DTC": (-2.0, 0.0),
}
"""Mean difference, and its standard deviation between pairs, in margins."""
DATA_SETS = (0, 1, 1, 1, 2, 2, 3, 4)
"""Of each network, as in the suite `claims`."""
SPREAD = 0.7
"""Standard deviation over seeds, in margins."""


def claim(test: str) -> Claim:
    """DTC against random removal."""
    return Claim.model_validate(
        {
            "id": "simulated",
            "title": "Simulated",
            "statement": "DTC is better.",
            "sources": [{"work": "a simulation", "version": "1", "quotation": "better"}],
            "estimand": {"of": ["dtc"], "minus": ["random"]},
            "null": "It is not.",
            "test": test,
            "margin": {"share_of_dense_error": MARGIN / ERROR},
            "family": "simulated",
            "smallest_effect": {"share_of_dense_error": MARGIN / ERROR},
        }
    )


def world(rng: np.random.Generator, mean: float, between: float, seeds: int) -> list[Pair]:
    """DTC and random removal on every pair of network and data, with `mean` and `between` in margins."""
    pairs = []
    for network in range(NETWORKS):
        true = MARGIN * (mean + between * rng.normal())
        pool = Pool("standard", "0", f"data{DATA_SETS[network]}", f"network{network}")
        dense = _rows(np.full(seeds, 1 - ERROR))
        for sparsity in SPARSITIES:
            ours = _rows(1 - ERROR + true + SPREAD * MARGIN * rng.normal(size=seeds))
            one, other = (
                Series(pool, sparsity, method, "", rows) for method, rows in (("dtc", ours), ("random", dense))
            )
            pairs.append(Pair(one, other, ours, dense, dense))
    return pairs


def _rows(accuracy: NDArray[np.float64]) -> Rows:
    n = len(accuracy)
    columns = {"accuracy": accuracy, "seed": np.arange(n), "status": np.full(n, "ok"), "suite": np.full(n, "claims")}
    columns |= {"hits": np.full(n, None), "test_samples": np.full(n, np.nan), "key": np.full(n, "a cell")}
    columns |= {"parameters": np.ones(n), "sparsity_reached": np.ones(n)}
    return Rows(columns, np.arange(n))


def rates(
    test: str, mean: float, between: float, draws: int, *, seeds: int, looks: Looks | None = None
) -> dict[str, float]:
    """The share of draws of a world in which each verdict comes out."""
    rng = stats.generator(f"simulated claims: {test}, {mean}, {between}, {seeds}")
    said = []
    for _ in range(draws):
        case = case_of_pairs(claim(test), world(rng, mean, between, seeds), {"claims": looks} if looks else {})
        said.append(concluded(case, *families([case])).verdict.value)
    return {verdict: said.count(verdict) / draws for verdict in sorted(set(said))}


FAMILIES = {
    "no difference": (0.0, 0.0, 0.0),
    "one margin each": (1.0, 1.0, 1.0),
    "none, one margin, two margins": (0.0, 1.0, 2.0),
}
"""Mean differences of the claims of a family, in margins."""


def false_in_family(true: tuple[float, ...], draws: int, seeds: int) -> float:
    """The share of families of `average` claims with a false verdict: a difference of 0, an equivalence of a margin."""
    rng = stats.generator(f"simulated family: {true}, {seeds}")
    wrong = 0
    for _ in range(draws):
        cases = [case_of_pairs(claim("average"), world(rng, mean, 0.3, seeds), {}) for mean in true]
        adjusted = families(cases)
        said = [concluded(case, p).verdict.value for case, p in zip(cases, adjusted, strict=True)]
        right = [{"equivalent", "undecided"} if mean < 1 else {"supported", "undecided"} for mean in true]
        wrong += any(verdict not in among for verdict, among in zip(said, right, strict=True))
    return wrong / draws


def main(draws: int) -> None:
    """Print the table."""
    print(f"{draws} draws each; {NETWORKS} pairs, {len(SPARSITIES)} sparsities, spread over seeds {SPREAD} margins\n")
    print("| rule | world | 5 seeds | 10 seeds | looks at 5, 10, 15, 20 |\n|---|---|---|---|---|")
    for test in ("average", "everywhere", "equivalence"):
        for name, values in WORLDS.items():
            found = [rates(test, *values, draws, seeds=seeds) for seeds in (5, 10)]
            found.append(rates(test, *values, draws, seeds=20, looks=Looks(5, 5, 20)))
            shown = (", ".join(f"{verdict} {share:.1%}" for verdict, share in one.items()) for one in found)
            print(f"| {test} | {name} | {' | '.join(shown)} |")

    print("\nfamilies of three averages, three tenths of a margin between pairs: any false verdict")
    for name, true in FAMILIES.items():
        print(f"{name}: " + ", ".join(f"{seeds} seeds {false_in_family(true, draws, seeds):.1%}" for seeds in (5, 10)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
