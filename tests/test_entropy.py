import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dtcbench.entropy import entropy_bits, normalised_entropy, published_entropy

vectors = arrays(float, st.integers(2, 60), elements=st.floats(-40, 40))


def test_four_values_in_four_bins_are_two_bits_and_log_4_nats():
    y = np.array([0.1, 1.1, 2.1, 3.1])
    assert published_entropy(y, "incoming") == pytest.approx(2)
    assert published_entropy(y, "outgoing") == pytest.approx(math.log(4))
    assert entropy_bits(y) == pytest.approx(2)
    assert normalised_entropy(y) == pytest.approx(1)


def test_the_published_estimator_drops_what_lies_outside_fifty_and_ours_does_not():
    y = np.array([0.1, 1.1, 1e6, -1e9])
    assert published_entropy(y, "incoming") == pytest.approx(1)
    assert entropy_bits(y) == pytest.approx(2)


def test_the_published_estimator_is_nan_where_nothing_falls_inside():
    assert math.isnan(published_entropy(np.array([60.0, -70.0]), "incoming"))


def test_one_measurement_has_no_normalised_entropy():
    assert entropy_bits(np.array([3.0])) == 0
    assert math.isnan(normalised_entropy(np.array([3.0])))


@given(vectors)
def test_both_estimators_lie_between_zero_and_the_bound_of_log2_n(y):
    bound = math.log2(len(y)) + 1e-9
    assert 0 <= entropy_bits(y) <= bound
    assert 0 <= published_entropy(y, "incoming") <= bound
    assert 0 <= normalised_entropy(y) <= 1 + 1e-9


@given(vectors)
def test_the_published_outgoing_entropy_is_the_incoming_one_in_nats(y):
    assert published_entropy(y, "outgoing") == pytest.approx(published_entropy(y, "incoming") * math.log(2))


@given(vectors, st.randoms())
def test_entropy_does_not_depend_on_the_order_of_the_measurements(y, random):
    shuffled = list(y)
    random.shuffle(shuffled)
    assert entropy_bits(np.array(shuffled)) == pytest.approx(entropy_bits(y))
