import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from dtcbench.entropy import (
    compressed_bits,
    entropy_bits,
    expected_entropy,
    expected_published_entropy,
    lempel_ziv,
    normalised_entropy,
    published_entropy,
)
from dtcbench.unavailable import Unavailable

vectors = arrays(float, st.integers(2, 60), elements=st.floats(-40, 40))


def test_four_values_in_four_bins_are_two_bits_and_log_4_nats():
    y = np.array([0.1, 1.1, 2.1, 3.1])
    assert published_entropy(y, "incoming") == pytest.approx(2)
    assert published_entropy(y, "outgoing") == pytest.approx(math.log(4))
    assert entropy_bits(y) == pytest.approx(2)
    assert normalised_entropy(y) == pytest.approx(1)


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-60, 60)))
def test_the_entropies_are_scipy_s_to_the_last_bit(y):
    _, counts = np.unique(np.floor(y / 0.2), return_counts=True)
    assert entropy_bits(y) == entropy(counts, base=2)
    published, _ = np.histogram(y, bins=np.arange(-50, 50, 0.2))
    if published.any():
        assert published_entropy(y, "outgoing") == entropy(published)


def test_the_published_estimator_drops_what_lies_outside_fifty_and_ours_does_not():
    y = np.array([0.1, 1.1, 1e6, -1e9])
    assert published_entropy(y, "incoming") == pytest.approx(1)
    assert entropy_bits(y) == pytest.approx(2)


def test_the_published_estimator_is_unavailable_where_nothing_falls_inside():
    assert isinstance(published_entropy(np.array([60.0, -70.0]), "incoming"), Unavailable)


def test_one_measurement_has_no_normalised_entropy():
    assert entropy_bits(np.array([3.0])) == 0
    assert isinstance(normalised_entropy(np.array([3.0])), Unavailable)


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


def test_weights_of_one_value_or_one_pattern_compress_and_noise_does_not():
    noise = np.random.default_rng(0).uniform(size=(64, 256))
    assert compressed_bits(np.full((64, 256), 0.3)) < 0.1
    assert compressed_bits(np.tile(noise[:1], (64, 1))) < 0.5
    assert compressed_bits(noise) == pytest.approx(8, abs=0.05)


@given(arrays(float, (7, 5), elements=st.floats(-40, 40)))
def test_scaling_by_a_power_of_two_changes_no_bit_of_the_compressed_size(weights):
    assert compressed_bits(4 * weights) == compressed_bits(weights)


def test_of_a_large_layer_evenly_spread_neurons_stand_for_all(monkeypatch):
    noise = np.random.default_rng(0).uniform(size=(64, 256))
    noise[1::2] = 0.5
    monkeypatch.setattr("dtcbench.entropy._MOST_WEIGHTS", noise.size // 2)
    assert compressed_bits(noise) == compressed_bits(noise[::2])


@pytest.mark.parametrize(
    ("bits", "phrases"),
    [
        ("0001101001000101", 6),  # 0·001·10·100·1000·101: Lempel and Ziv 1976; Kaspar and Schuster 1987
        ("0101010101010101", 3),  # 0·1·0101…
        ("10", 2),
    ],
)
def test_lempel_ziv_counts_the_phrases_of_the_literature(bits, phrases):
    n = len(bits)
    values = np.array(list(bits), dtype=float)
    assert lempel_ziv(values) * n / math.log2(n) == pytest.approx(phrases)


def test_coin_tosses_are_complex_and_order_is_not():
    tosses = np.random.default_rng(0).normal(size=4000)
    assert lempel_ziv(tosses) == pytest.approx(1, abs=0.1)
    assert lempel_ziv(np.sort(tosses)) < 0.05
    assert isinstance(lempel_ziv(tosses[:1]), Unavailable)


# the entropy law

PATTERNS = {
    "sparse": lambda rng, m: rng.normal(size=m) * (rng.random(m) < 0.05) + (np.arange(m) == 0),
    "sorted": lambda rng, m: np.sort(rng.normal(size=m)),
    "constant": lambda rng, m: np.ones(m),
    "heavy-tailed": lambda rng, m: rng.standard_cauchy(size=m),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("n", "norm"), [(4, 1.0), (51, 5.0), (51, 60.0)])
def test_the_entropy_of_a_gaussian_measurement_depends_on_n_and_the_norm_alone(pattern, n, norm):
    rng = np.random.default_rng([n, int(norm), len(pattern)])
    found = []
    for _ in range(400):
        a = PATTERNS[pattern](rng, 200)
        found.append(entropy_bits(rng.normal(size=(n, 200)) @ (a * norm / np.linalg.norm(a))))
    residuals = np.array(found) - expected_entropy(n, norm)
    assert abs(residuals.mean()) < 4 * residuals.std() / math.sqrt(len(residuals))


@pytest.mark.parametrize(("n", "norm"), [(3, 40.0), (20, 0.5), (30, 80.0)])
@pytest.mark.parametrize("side", ["incoming", "outgoing"])
def test_the_published_estimator_s_expectation_is_that_of_its_draws(n, norm, side):
    rng = np.random.default_rng([n, len(side)])
    drawn = [published_entropy(norm * rng.normal(size=n), side) for _ in range(2000)]
    known = np.array([value for value in drawn if not isinstance(value, Unavailable)])
    expected = expected_published_entropy(n, norm, side)
    assert abs(known.mean() - expected) < 4 * known.std() / math.sqrt(len(known))


def test_the_expected_entropy_reaches_its_bounds():
    assert expected_entropy(30, 0.0) == 0
    assert expected_entropy(1, 5.0) == 0
    assert expected_entropy(30, 1e-3) == pytest.approx(1, abs=0.03)  # two bins meet at 0
    assert math.log2(30) - 1e-3 < expected_entropy(30, 1e6) < math.log2(30)


def test_groups_of_bins_change_nothing():
    """Wide draws take bins in groups; the sum over all bins is the same."""
    n, norm = 51, 300.0
    edges = np.arange(0, 9 * norm, 0.2)
    p = -np.diff(scipy.special.ndtr(-edges / norm))
    k = np.arange(1, n + 1)
    counts = scipy.stats.binom.pmf(k[:, None], n, p).sum(axis=1)
    assert expected_entropy(n, norm) == pytest.approx(2 * float(-(counts * k / n * np.log2(k / n)).sum()), abs=1e-8)
