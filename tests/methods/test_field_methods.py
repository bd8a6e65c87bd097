"""The methods of the field, by values that a hand can compute."""

import numpy as np
import pytest
import torch

from dtcbench import registry
from dtcbench.dtc.selection import Group, Target
from dtcbench.errors import CompressionError, NonFiniteError


def group(w_in, w_out, **seen):
    width = len(w_in)
    return Group(np.array(w_in), np.array(w_out), Target(0.5, width // 2), np.random.default_rng(0), None, **seen)


def scores(name, seen, **options):
    return registry.methods.bind(name, options).scores(seen).values.tolist()


PLAIN = {"w_in": [[1.0, 0.0], [0.0, 2.0]], "w_out": [[2.0, 1.0]]}


class Layer:
    """A group in training with one normalisation."""

    def __init__(self, *gamma):
        self.scales = [torch.tensor(gamma, requires_grad=True)]
        self.parts = []


def test_slimming_scores_by_the_size_of_the_scale_over_all_normalisations():
    gammas = (np.array([[-0.5], [0.25]]), np.array([[0.125], [2.0]]))
    assert scores("slimming", group(**PLAIN, scales=gammas)) == [0.625, 2.25]


def test_slimmings_penalty_is_the_l1_norm_of_all_scales_and_its_gradient_their_sign():
    layers = [Layer(0.5, -2.0), Layer(3.0)]
    penalty = registry.methods.bind("slimming", {"lam": 0.01}).penalty(layers)
    penalty.backward()
    assert penalty.item() == pytest.approx(0.055)
    torch.testing.assert_close(layers[0].scales[0].grad, torch.tensor([0.01, -0.01]))


def test_slimming_without_a_normalisation_says_what_to_use():
    with pytest.raises(CompressionError, match="no normalisation of the group has scales; use a network with batch"):
        scores("slimming", group(**PLAIN))
    assert registry.methods.bind("slimming", {}).penalty([]) is None


def test_hrank_is_the_mean_rank_of_a_channels_maps():
    flat, line, full = [[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]]
    method = registry.methods.bind("hrank", {})
    ranks = method.observe(np.array([[flat, line], [line, full], [line, full]]))
    assert ranks.tolist() == [[0, 1], [1, 2], [1, 2]]
    assert scores("hrank", group(**PLAIN, activations=ranks)) == [pytest.approx(2 / 3), pytest.approx(5 / 3)]


def test_hrank_of_neurons_without_a_map_is_how_often_they_are_active():
    method = registry.methods.bind("hrank", {})
    assert method.observe(np.array([[0.0, 3.0], [0.0, -1.0], [0.5, 0.0]])).tolist() == [[0, 1], [0, 1], [1, 0]]


def test_hrank_refuses_activations_that_are_not_finite_or_not_seen():
    with pytest.raises(NonFiniteError):
        registry.methods.bind("hrank", {}).observe(np.full((1, 2, 2, 2), np.nan))
    with pytest.raises(CompressionError, match="no layer reads the group's activations"):
        scores("hrank", group(**PLAIN))


def test_global_magnitude_is_the_norm_of_all_weights_or_that_per_flop():
    assert scores("global-magnitude", group(**PLAIN)) == pytest.approx([5**0.5, 5**0.5])
    assert scores("global-magnitude", group(**PLAIN), norm="l1", of="in") == [1, 2]
    assert scores("global-magnitude", group(**PLAIN, cost=4.0), norm="l1", of="in", per="flop") == [0.25, 0.5]
    with pytest.raises(CompressionError, match="nothing is known of the group's FLOPs"):
        scores("global-magnitude", group(**PLAIN), per="flop")


def test_depgraph_is_the_squared_norm_over_all_parameters_by_the_groups_mean():
    parts = (np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[3.0], [1.0]]), np.array([[0.0], [2.0]]))
    assert scores("depgraph", group(**PLAIN, parts=parts)) == [1.4, 0.6]  # of 14 and 6
    with pytest.raises(CompressionError, match="nothing is known of the group's parameters"):
        scores("depgraph", group(**PLAIN))


def test_taylors_momentum_averages_over_compressions():
    method = registry.methods.bind("taylor", {"momentum": 0.75})
    first = group(**PLAIN, sensitivities=np.array([[2.0, 1.0]]))
    assert method.scores(first).values.tolist() == [4, 1]
    then = group(**PLAIN, sensitivities=np.array([[0.0, 3.0]]), state=first.state)
    assert method.scores(then).values.tolist() == [3, 3]
    assert scores("taylor", group(**PLAIN, sensitivities=np.array([[0.0, 3.0]]), state=first.state)) == [0, 9]
