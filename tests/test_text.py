"""Numbers, shares and intervals as text for a reader."""

import math

import pytest

from dtcbench.text import number_text, p_value, percent, with_interval


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_missing_number_is_a_dash_without_a_unit(missing):
    assert number_text(missing, ".1f", "W") == percent(missing) == "–"


def test_a_number_has_a_true_minus_sign_and_its_unit():
    assert number_text(-12.34, ".1f", "W") == "−12.3 W"
    assert number_text(-1e-7, "g") == "−1e-07"
    assert percent(0.9712) == "97.12 %"


def test_an_interval_follows_the_unit_and_is_left_out_if_there_is_none():
    assert with_interval(-0.0053, -0.008, 0.0021, "+.2f", "points", 100) == "−0.53 points [−0.80, +0.21]"
    assert with_interval(0.5, math.nan, math.nan, ".1f") == "0.5"
    assert with_interval(math.nan, 0.1, 0.2, ".1f") == "–"


def test_a_small_p_value_is_only_bounded():
    assert [p_value(p) for p in (0.0312, 0.0009, math.nan)] == ["0.031", "< 0.001", "–"]
