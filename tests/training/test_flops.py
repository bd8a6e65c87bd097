import torch

from dtcbench.models.mlp import mlp
from dtcbench.training.flops import inference_flops, training_flops

EXAMPLE = torch.zeros(1, 1, 4, 5)
NETWORK = mlp((1, 4, 5), 3, generator=torch.Generator(), widths=(7,), bias=False)


def test_inference_is_two_operations_a_weight():
    assert inference_flops(NETWORK, EXAMPLE) == 2 * (20 * 7 + 7 * 3)


def test_training_adds_the_gradients_of_weights_and_of_hidden_activations():
    forward, weights, hidden = 20 * 7 + 7 * 3, 20 * 7 + 7 * 3, 7 * 3
    assert training_flops(NETWORK, EXAMPLE) == 2 * (forward + weights + hidden)


def test_counting_leaves_no_trace_in_the_network():
    training_flops(NETWORK, EXAMPLE)
    assert all(parameter.grad is None for parameter in NETWORK.parameters())
    assert all(parameter.device.type == "cpu" for parameter in NETWORK.parameters())


def test_a_network_with_batch_norm_over_single_pixels_can_be_counted():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten())
    assert training_flops(network, torch.zeros(1, 1, 3, 3)) == 2 * (2 * 2 * 9)
