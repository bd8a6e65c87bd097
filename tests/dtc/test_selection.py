import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtcbench import registry
from dtcbench.dtc.selection import Group, Scores, Target, below_quantile, exact_count
from dtcbench.errors import CompressionError


def generator(seed=0):
    return np.random.default_rng(seed)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.data())
def test_exactly_the_count_is_kept_in_order_whatever_the_ties(values, data):
    count = data.draw(st.integers(1, len(values)))
    scores = np.array(values, float)
    kept = exact_count(scores, count, "smallest", generator())
    assert len(set(kept)) == count
    assert list(kept) == sorted(kept)
    dropped = np.delete(scores, kept)
    assert not len(dropped) or dropped.max() <= scores[kept].min()


def test_dropping_the_largest_keeps_the_smallest():
    np.testing.assert_array_equal(exact_count(np.array([3.0, 1.0, 2.0]), 2, "largest", generator()), [1, 2])
    np.testing.assert_array_equal(exact_count(np.array([3.0, 1.0, 2.0]), 2, "smallest", generator()), [0, 2])


def test_ties_are_broken_by_the_seed_and_favour_no_index():
    scores = np.zeros(20)
    kept = [tuple(exact_count(scores, 10, "smallest", generator(seed))) for seed in (1, 1, 2)]
    assert kept[0] == kept[1] != kept[2]
    times_kept = np.bincount(
        np.concatenate([exact_count(scores, 10, "smallest", generator(seed)) for seed in range(200)]), minlength=20
    )
    assert times_kept.min() > 60  # of 200, expected 100


@pytest.mark.parametrize(
    ("target", "remedy"),
    [(Target(0.9, 0), "lower the sparsity or widen the layer"), (Target(0.1, None), "raise keep or stop_w")],
)
@pytest.mark.parametrize("name", ["magnitude", "random-published"])
def test_keeping_nobody_is_an_error_whose_remedy_is_what_decided_the_count(name, target, remedy):
    method = registry.methods.bind(name, {})
    group = Group(np.ones((5, 2)), np.ones((2, 5)), target, generator(), None)
    with pytest.raises(CompressionError, match=f"0 of 5 neurons would be kept; {remedy}"):
        method.select(Scores(np.ones(5)), group)
    with pytest.raises(CompressionError, match=remedy):
        method.refuse(5, target)


def test_the_published_rule_is_strict_and_drops_the_largest():
    scores = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    np.testing.assert_array_equal(below_quantile(scores, 0.8), [1, 2, 3, 4])


def test_an_exact_solvers_zeros_can_leave_the_published_rule_with_nobody():
    scores = np.zeros(28)
    scores[3] = 1.0
    with pytest.raises(CompressionError, match=r"no score of 28 .*27 are exactly 0"):
        below_quantile(scores, 0.9)
