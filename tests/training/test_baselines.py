"""The baselines of protocol standard that share a budget, and the recipe's own options."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import cell, context

from dtcbench import registry
from dtcbench.datasets.splits import Splits
from dtcbench.errors import CompressionError
from dtcbench.registry import Entry
from dtcbench.training import observations
from dtcbench.training.flops import steps_for
from dtcbench.training.loop import Samples, accuracy, bits_per_token, cross_entropy, samples_in
from dtcbench.training.protocols import run
from dtcbench.training.surgery import Surgery

SPARSITY = 0.75


def result(method, sparsity=SPARSITY, protocol=None, **options):
    planned = cell(method, sparsity)
    methods = replace(planned.method, options={**planned.method.options, **options})
    recipe = replace(planned.protocol, options={**planned.protocol.options, **(protocol or {})})
    return run(context(replace(planned, method=methods, protocol=recipe)))


def test_scratch_trains_the_compressed_widths_for_the_same_steps():
    compressed, scratch = result("random"), result("scratch")
    assert scratch.widths == compressed.widths == {"hidden0": 8}
    assert (scratch.steps, scratch.sparsity) == (compressed.steps, compressed.sparsity)
    assert scratch.parameters == compressed.parameters < scratch.parameters_dense
    assert scratch.training_flops < compressed.training_flops
    assert all(cycle.layers == [] for cycle in scratch.cycles)
    assert scratch.reasons["accuracy_after"] == "nothing is removed while training"


def test_scratch_for_the_same_flops_trains_as_long_as_they_last():
    compressed, scratch = result("random"), result("scratch", budget="flops")
    per_step = scratch.training_flops / scratch.steps
    assert compressed.training_flops - 2 * per_step < scratch.training_flops <= compressed.training_flops
    assert scratch.steps > compressed.steps


def test_scratch_starts_from_other_weights_than_dense():
    assert result("scratch").cycles[0].loss != result("dense", 0.0).cycles[0].loss


def test_dense_matched_stops_when_the_compressed_cells_flops_are_used_up():
    compressed, dense, matched = result("random"), result("dense", 0.0), result("dense-matched")
    per_step = matched.training_flops / matched.steps
    assert compressed.training_flops - 2 * per_step < matched.training_flops <= compressed.training_flops
    assert matched.steps < dense.steps
    assert matched.sparsity == 0
    assert matched.parameters == dense.parameters
    assert [c.loss for c in matched.cycles] == [c.loss for c in dense.cycles[: len(matched.cycles)]]


@pytest.mark.parametrize("method", ["scratch", "dense-matched"])
def test_a_baseline_of_a_compression_that_leaves_nobody_says_so(method):
    with pytest.raises(CompressionError, match=r"group hidden0, width \d+: 0 of \d+ neurons would be kept; lower"):
        result(method, 0.99)


def test_batch_norm_and_a_last_batch_of_one_sample_are_refused_with_the_remedy(monkeypatch):
    normed = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 10)
    )
    planned = cell("random", 0.5)
    recipe = replace(planned.protocol, options={**planned.protocol.options, "samples": 72})
    monkeypatch.setitem(registry.models._entries, "mlp", Entry(lambda *_, widths=None, bias=None, **__: normed))
    with pytest.raises(CompressionError, match="65 training samples has one sample at batch_size 32"):
        run(context(replace(planned, protocol=recipe)))


@pytest.mark.parametrize(("samples", "size"), [(10, 4), (12, 4), (5, 8)])
def test_steps_and_samples_agree_with_the_batches(samples, size):
    batches = [min(size, samples - start) for _ in range(4) for start in range(0, samples, size)]
    seen = np.cumsum([0, *batches])
    for steps, count in enumerate(seen):
        assert samples_in(steps, samples, size) == count
        assert steps_for(count * 7 + 6, 7, samples, size) == max(1, steps)


def test_looking_at_sensitivities_is_counted_and_leaves_the_network_as_it_was(monkeypatch):
    real, networks = observations.sensitivities, []

    def look(model, *rest):
        before, gradients = copy.deepcopy(model.state_dict()), [parameter.grad for parameter in model.parameters()]
        values = copy.deepcopy(gradients)
        seen = real(model, *rest)
        networks.append((before, model))
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(p.grad is gradient for p, gradient in zip(model.parameters(), gradients, strict=True))
        assert all(torch.equal(gradient, value) for gradient, value in zip(gradients, values, strict=True))
        assert model.training
        return seen

    monkeypatch.setattr(observations, "sensitivities", look)
    taylor, random = result("taylor"), result("random")
    reached = [0.0, *(cycle.sparsity for cycle in taylor.cycles)]
    assert len(networks) == sum(cycle.sparsity > before for cycle, before in zip(taylor.cycles, reached, strict=False))
    assert taylor.training_flops > random.training_flops


def test_a_sensitivity_is_the_gradient_of_a_gate_on_the_neuron():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    x, y = torch.randn(9, 5), torch.randint(3, (9,))
    gates = torch.ones(4, requires_grad=True)
    cross_entropy(network[2](torch.relu(network[0](x)) * gates), y).backward()
    network.zero_grad()
    (group,) = Surgery(network, torch.zeros(1, 5)).groups
    cross_entropy(network(x), y).backward()
    np.testing.assert_allclose(group.sensitivity, gates.grad.numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"optimizer": "sgd"}, {"optimizer": "adamw"}, {"schedule": "cosine"}, {"weight_decay": 0.0}],
    ids=str,
)
def test_an_option_of_the_recipe_changes_the_training(options):
    decaying = {"weight_decay": 0.1}
    changed = result("random", protocol={**decaying, **options})
    assert changed.cycles[-1].loss != result("random", protocol=decaying).cycles[-1].loss
    assert changed.widths == {"hidden0": 8}


def test_samples_shortens_both_splits():
    short = result("random", protocol={"samples": 100})
    assert round(short.accuracy * 100) / 100 == pytest.approx(short.accuracy)
    assert round(short.validation_accuracy * 10) / 10 == pytest.approx(short.validation_accuracy)


class Text(torch.nn.Module):
    """Predicts the next of four tokens from the present one."""

    def __init__(self):
        super().__init__()
        self.embedding, self.hidden, self.output = (
            torch.nn.Embedding(4, 6),
            torch.nn.Linear(6, 12),
            torch.nn.Linear(12, 4),
        )

    def forward(self, tokens):
        return self.output(torch.relu(self.hidden(self.embedding(tokens))))


def text(samples):
    tokens = (np.arange(9)[None] + np.arange(samples)[:, None]) % 4
    return tokens[:, :-1].astype(np.uint8), tokens[:, 1:].astype(np.uint8)


def test_a_language_cell_reports_bits_per_character(monkeypatch):
    (train_x, train_y), (test_x, test_y) = text(64), text(20)
    splits = Splits(train_x, train_y, test_x, test_y, num_classes=4, pixels=None)
    planned = cell("magnitude", 0.5)
    monkeypatch.setitem(registry.models._entries, "mlp", Entry(lambda *_, widths=None, bias=None, **__: Text()))
    figures = run(context(planned, splits))
    assert figures.accuracy == 1.0
    assert 0 < figures.bits_per_character < 0.5
    assert figures.widths == {"hidden": 6}


def test_bits_of_a_uniform_guess_are_log2_of_the_vocabulary():
    guess = torch.nn.Linear(1, 1)
    guess.forward = lambda tokens: torch.zeros(*tokens.shape, 8)
    samples = Samples(torch.zeros(5, 3, dtype=torch.long), torch.zeros(5, 3, dtype=torch.long))
    assert bits_per_token(guess, samples) == pytest.approx(3)
    assert accuracy(guess, samples) == 1.0
