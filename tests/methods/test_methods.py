import dataclasses

import numpy as np
import pytest

from dtcbench import registry
from dtcbench.dtc.recovery import unchecked
from dtcbench.dtc.selection import Group, Target
from dtcbench.errors import CompressionError, NonFiniteError, SolverError

LARS = registry.solvers.bind("lars", {})


def group(width=40, target=None, seed=0, solve=LARS, scale=None):
    rng = np.random.default_rng(9)
    scale = np.ones(width) if scale is None else np.asarray(scale, float)
    w_in, w_out = rng.normal(size=(width, 8)) * scale[:, None], rng.normal(size=(5, width)) * scale
    sensitivities = rng.normal(size=(3, width)) * scale
    activations, gamma = rng.normal(size=(3, width)) * scale, rng.normal(size=(width, 1)) * scale[:, None]
    return Group(
        w_in,
        w_out,
        target or Target(0.9, 30),
        np.random.default_rng(seed),
        solve,
        sensitivities,
        activations,
        scales=(gamma,),
        parts=(w_in, w_out.T, gamma),
        cost=10.0,
    )


def kept(name, group, **options):
    method = registry.methods.bind(name, options)
    return method.select(method.scores(group), group)


@pytest.mark.parametrize("name", registry.methods.names())
def test_every_method_but_dense_keeps_exactly_the_count_it_is_asked_for(name):
    chosen = kept(name, group())
    assert len(set(chosen)) == (40 if name in ("dense", "dense-matched") else 30)
    assert list(chosen) == sorted(chosen)
    assert set(chosen) <= set(range(40))


@pytest.mark.parametrize("name", registry.methods.names())
def test_the_same_generator_gives_the_same_neurons(name):
    np.testing.assert_array_equal(kept(name, group(seed=5)), kept(name, group(seed=5)))


@pytest.mark.parametrize("name", registry.methods.names())
def test_every_name_has_a_summary_for_the_list(name):
    assert registry.methods.summary(name)


def test_our_magnitude_drops_the_weakest_neurons():
    strength = np.linspace(1, 2, 40) ** 60
    np.testing.assert_array_equal(kept("magnitude", group(scale=strength, target=Target(0.9, 10))), range(30, 40))


def test_the_published_magnitude_drops_the_largest_sums():
    a = np.array([0.1, -5.0, 0.3, 4.0, 0.2])
    sums = Group(a[:, None], np.zeros((1, 5)), Target(0.6, None), np.random.default_rng(0), None)
    np.testing.assert_array_equal(kept("magnitude-published", sums), [0, 2, 4])


def test_random_depends_on_the_generator_and_published_random_does_not():
    assert list(kept("random", group(seed=1))) != list(kept("random", group(seed=2)))
    np.testing.assert_array_equal(kept("random-published", group(seed=1)), kept("random-published", group(seed=2)))


@pytest.mark.parametrize("name", ["random-published", "dtc-published"])
def test_fresh_draws_depend_on_the_generator_alone(name):
    target = Target(0.5, None)
    scs = unchecked(registry.solvers.get("scs"))
    one, same, other = (
        registry.methods.bind(name, {"draws": "fresh"}).scores(group(40, target, seed, scs)).values
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("width", [512, 57, 11])
def test_published_random_is_numpys_choice_after_the_published_seed(width):
    count = int(width * 0.9)
    expected = np.random.RandomState(42424242).choice(width, count, replace=False)
    np.testing.assert_array_equal(kept("random-published", group(width, Target(0.9, None))), expected)


def test_dtc_options_choose_the_ray_and_the_end_that_is_dropped():
    choices = [
        tuple(kept("dtc", group(seed=3), score=score, drop=drop))
        for score in ("reconstruction", "coefficients")
        for drop in ("smallest", "largest")
    ]
    assert len(set(choices)) == 4


def test_dtc_measures_a_tenth_of_the_width_and_published_dtc_what_it_drops():
    ours, published = registry.methods.bind("dtc", {}), registry.methods.bind("dtc-published", {})
    assert ours.scores(group(target=Target(0.5, 20))).reconstruction.y.shape == (4, 2)
    assert published.scores(group(target=Target(0.5, 20))).reconstruction.y.shape == (20, 2)


def test_a_larger_lambda_leaves_fewer_coefficients():
    counts = [
        np.count_nonzero(registry.methods.bind("dtc", {"lam": lam}).scores(group()).reconstruction.s)
        for lam in (0.01, 30.0, 1e6)
    ]
    assert counts[0] > counts[1] > counts[2] == 0


def test_published_dtc_without_a_measurement_says_width_and_keep():
    with pytest.raises(CompressionError, match=r"width 10 at keep 0\.9"):
        kept("dtc-published", group(10, Target(0.9, None)))


def test_published_dtc_with_an_exact_solver_can_keep_nobody_and_says_so():
    with pytest.raises(CompressionError, match=r"strictly below the 0\.9 quantile"):
        kept("dtc-published", group(28, Target(0.9, None)), lam=1e6)


def test_a_solver_that_fails_is_told_with_lambda():
    def solve(theta, y, lam):
        raise SolverError("ran out of iterations")

    with pytest.raises(SolverError, match=r"^λ 0\.3: ran out of iterations"):
        kept("dtc", group(solve=solve))


def test_dtc_without_a_solver_is_refused():
    with pytest.raises(CompressionError, match="needs a solver"):
        kept("dtc", group(solve=None))


OF_WEIGHTS = [
    *("dtc", "dtc-published", "shuffled", "magnitude", "anti-magnitude", "fpgm", "taylor"),
    *("slimming", "global-magnitude", "depgraph"),
]


@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_methods_that_look_at_weights_refuse_nan(name):
    with pytest.raises(NonFiniteError):
        kept(name, group(scale=np.full(40, np.nan)))


def test_equal_scores_do_not_remove_more_than_is_asked_for():
    alike = Group(np.ones((40, 3)), np.ones((2, 40)), Target(0.9, 30), np.random.default_rng(0), None)
    for name in ("magnitude", "anti-magnitude", "fpgm"):
        assert len(kept(name, alike)) == 30


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("of", ["in", "out", "both"])
def test_magnitude_is_the_norm_it_is_asked_for(norm, of):
    some = group()
    weights = {"in": some.w_in, "out": some.w_out.T, "both": np.hstack([some.w_in, some.w_out.T])}[of]
    expected = np.linalg.norm(weights, ord=int(norm[1]), axis=1)
    np.testing.assert_allclose(
        registry.methods.bind("magnitude", {"norm": norm, "of": of}).scores(some).values, expected
    )


def test_kernels_and_flattened_inputs_count_whole():
    rng = np.random.default_rng(1)
    w_in, w_out = rng.normal(size=(4, 3, 2, 2)), rng.normal(size=(5, 4, 6))
    convolution = Group(w_in, w_out, Target(0.9, 2), rng, None)
    flat = np.hstack([w_in.reshape(4, -1), w_out.swapaxes(0, 1).reshape(4, -1)])
    np.testing.assert_allclose(
        registry.methods.bind("magnitude", {}).scores(convolution).values, np.linalg.norm(flat, axis=1)
    )


def test_anti_magnitude_drops_what_magnitude_keeps():
    halved = group(target=Target(0.9, 20))
    assert set(kept("magnitude", halved)) | set(kept("anti-magnitude", halved)) == set(range(40))


def test_shuffled_has_dtcs_scores_on_other_neurons():
    dtc = registry.methods.bind("dtc", {}).scores(group(seed=4)).values
    shuffled = registry.methods.bind("shuffled", {}).scores(group(seed=4)).values
    np.testing.assert_array_equal(np.sort(dtc), np.sort(shuffled))
    assert (dtc != shuffled).any()


def test_one_sided_rays_are_the_parts_of_the_whole_one():
    scores = {
        sides: registry.methods.bind("dtc", {"sides": sides}).scores(group(seed=4))
        for sides in ("both", "incoming", "outgoing")
    }
    reconstruction = scores["both"].reconstruction.x
    np.testing.assert_array_equal(scores["incoming"].values, np.abs(reconstruction[:, 0]))
    np.testing.assert_array_equal(scores["outgoing"].values, np.abs(reconstruction[:, 1]))
    np.testing.assert_array_equal(scores["both"].values, np.abs(reconstruction.sum(axis=1)))


def test_taylor_averages_squares_so_that_opposite_batches_do_not_cancel():
    opposite = dataclasses.replace(group(), sensitivities=np.array([[1.0] * 40, [-1.0] * 40]))
    np.testing.assert_array_equal(registry.methods.bind("taylor", {}).scores(opposite).values, np.ones(40))


def test_taylor_without_a_gradient_says_so():
    without = dataclasses.replace(group(), sensitivities=None)
    with pytest.raises(CompressionError, match="no gradient reached"):
        kept("taylor", without)


def test_fpgm_drops_the_neuron_in_the_middle_of_the_others():
    w_in = np.array([[0.0, 9.0], [9.0, 0.0], [1.0, 1.0], [-9.0, 0.0], [0.0, -9.0]])
    ring = Group(w_in, np.ones((1, 5)), Target(0.9, 4), np.random.default_rng(0), None)
    np.testing.assert_array_equal(kept("fpgm", ring), [0, 1, 3, 4])
