"""What a suite's seeds can show, by the spread of its finished records."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from handmade import cell, claim

from dtcbench.analysis.detection import detections, uncertainty
from dtcbench.analysis.pairing import tidy
from dtcbench.analysis.power import detectable, seeds_to_detect

LUCK = [0.0, 0.01, -0.01, 0.02, -0.02]
SPREAD = 0.0158113883
"""The standard deviation of LUCK."""
CLAIM = claim()


def cells(seeds: int = 5) -> list[dict]:
    """Dense and DTC alike in every seed, and random removal that is not."""
    of_seed = ([("dense", 0.9), ("dtc", 0.9), ("random", 0.8 + luck)] for luck in LUCK[:seeds])
    return [cell(method, seed, accuracy=by) for seed, row in enumerate(of_seed) for method, by in row]


def found(rows: list[dict], planned: list[dict] | None = None, most: int | None = None):
    keys = {row["key"] for row in (rows if planned is None else planned)}
    of = detections([CLAIM], tidy(pd.DataFrame(rows)), keys, 0.01, most)
    return {one.where.rpartition(": ")[2]: one for one in of}


def test_a_claims_comparisons_and_each_method_with_dense_have_their_spread_and_seeds() -> None:
    random = found(cells())["dtc / lars − random"]

    assert set(found(cells())) == {"dtc / lars − dense", "dtc / lars − random", "random − dense"}
    assert (random.pairs, random.planned) == (5, 5)
    assert random.spread == pytest.approx(SPREAD)
    assert random.smallest == pytest.approx(detectable(SPREAD, 5))
    assert random.needed == seeds_to_detect(SPREAD, 0.01) == 22


def test_seeds_that_grow_are_judged_at_their_most() -> None:
    random = found(cells(), most=40)["dtc / lars − random"]

    assert random.planned == 40
    assert random.smallest < 0.01 < detectable(SPREAD, 5)


def test_fewer_than_three_finished_pairs_have_no_spread() -> None:
    failed = [row | {"status": "error"} if row["method"] == "random" and row["seed"] > 1 else row for row in cells()]
    random = found(failed)["dtc / lars − random"]

    assert (random.pairs, random.needed) == (2, None)
    assert math.isnan(random.spread)


def test_differences_that_are_equal_in_all_seeds_have_no_spread() -> None:
    assert found(cells())["dtc / lars − dense"].needed is None


def test_records_of_another_run_give_the_spread_of_what_is_planned_alone() -> None:
    planned = [row for row in cells(1) if row["method"] != "random"]
    of_both = found(cells(), planned)

    assert set(of_both) == {"dtc / lars − dense"}
    assert (of_both["dtc / lars − dense"].pairs, of_both["dtc / lars − dense"].planned) == (5, 1)


def test_a_spread_of_few_pairs_is_known_within_the_bounds_of_chi_squared() -> None:
    assert uncertainty(5) == pytest.approx((0.599, 2.874), abs=1e-3)
