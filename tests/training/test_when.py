"""When neurons go: while the network trains, after it, or so and the rest begin again; and another nuisance stream."""

import copy
import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from cells import cell, choice, context, published_cell, timeless

from dtcbench import registry
from dtcbench.datasets.splits import Pixels, Splits
from dtcbench.errors import UserError
from dtcbench.plan.protocol import Standard
from dtcbench.training import protocols, training_run
from dtcbench.training.compressor import Compressor
from dtcbench.training.flops import training_flops
from dtcbench.training.loop import ShuffledBatches, gradient_step, hold_out, samples_in, train
from dtcbench.training.protocols import run

SPLITS = {
    "mlp": lambda: registry.datasets.bind("digits", {})(),
    "resnet-20": lambda: images(),
    "gpt-nano": lambda: texts(),
}
MODELS = {
    "mlp": choice(registry.models, "mlp", widths=[32]),
    "resnet-20": choice(registry.models, "resnet-20", width=4),  # its norms keep statistics in buffers
    "gpt-nano": choice(registry.models, "gpt-nano", depth=1, heads=2, width=8),
}


def images():
    draws = np.random.default_rng(0)
    x = draws.integers(0, 256, size=(120, 3, 8, 8), dtype=np.uint8)
    y = draws.integers(0, 10, size=120, dtype=np.uint8)
    return Splits(x, y, x[:40], y[:40], num_classes=10, pixels=Pixels(scale=255.0, mean=0.5, std=0.25))


def texts():
    x = np.random.default_rng(0).integers(0, 20, size=(80, 8), dtype=np.uint8)
    y = np.roll(x, -1, axis=1)
    return Splits(x, y, x[:20], y[:20], num_classes=20, pixels=None)


def arm(method="magnitude", sparsity=0.5, model="mlp", steps=60, schedule="constant", **options):
    """A cell of protocol standard in pieces of 5 steps, whose method has these options."""
    recipe = Standard(name="standard", steps=steps, batch_size=32, lr=0.01, cycle_steps=5, keep=0.8, schedule=schedule)
    return replace(
        cell(method, sparsity),
        protocol=recipe.choice,
        model=MODELS[model],
        method=choice(registry.methods, method, **options),
    )


class Seen:
    """What a training of a cell was made of."""

    def __init__(self, monkeypatch, planned, splits=None):
        self.weights, self.batches, self.cut, self.rewound = None, [], None, None
        real_train, real_start, real_rewind = training_run.train, protocols.start, training_run.TrainingRun.rewind

        def spy_train(model, step, batches):
            kept = list(batches)
            self.batches += [batch.y.tolist() for batch in kept]
            return real_train(model, step, kept)

        def spy_start(work):
            self.run = real_start(work)
            self.weights = copy.deepcopy(self.run.model.state_dict())
            return self.run

        def spy_rewind(training):
            self.cut = copy.deepcopy(training.model.state_dict())
            self.indices = dict(training.compressor.original_indices)
            real_rewind(training)
            self.rewound = copy.deepcopy(training.model)

        with monkeypatch.context() as patch:
            patch.setattr(training_run, "train", spy_train)
            patch.setattr(protocols, "start", spy_start)
            patch.setattr(training_run.TrainingRun, "rewind", spy_rewind)
            self.context = context(planned, splits)
            self.result = run(self.context)
        self.final = self.run.model.state_dict()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("when", ["after", "rewind"])
def test_at_sparsity_0_it_is_dense_to_the_last_bit(monkeypatch, model, when):
    dense = Seen(monkeypatch, arm("dense", 0.0, model, steps=20), SPLITS[model]())
    nothing = Seen(monkeypatch, arm("magnitude", 0.0, model, steps=20, when=when), SPLITS[model]())
    assert timeless(nothing.result) == timeless(dense.result)
    assert equal(nothing.final, dense.final)


METHODS = [name for name in registry.methods.names() if registry.compresses_in_cycles(name)]
METHODS.remove("slimming")  # which needs a normalisation


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("when", "trained"), [("after", 40), ("rewind", 30)])
def test_every_method_removes_all_at_once_and_takes_the_steps_of_every_other_cell(method, when, trained):
    result = run(context(arm(method, when=when)))
    assert [cycle.step for cycle in result.cycles if cycle.layers] == [trained]
    assert result.widths == {"hidden0": 16}
    assert result.steps == 60
    assert None not in (result.accuracy_before, result.accuracy_after)


def test_until_the_neurons_go_the_network_is_dense(monkeypatch):
    dense, after = (Seen(monkeypatch, planned) for planned in (arm("dense", 0.0), arm(when="after")))
    assert after.batches == dense.batches
    courses = [[(c.loss, c.validation_before) for c in seen.result.cycles[:8]] for seen in (dense, after)]
    assert courses[0] == courses[1]
    assert after.result.cycles[8].loss != dense.result.cycles[8].loss


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_after_carries_optimiser_and_learning_rate_on(monkeypatch, schedule):
    planned = arm(when="after", schedule=schedule)
    seen = Seen(monkeypatch, planned)
    states = seen.run.compressor.optimizer.state.values()
    assert {int(state["step"]) for state in states} == {60}
    rate = seen.run.compressor.optimizer.param_groups[0]["lr"]
    assert rate == pytest.approx(0.01 if schedule == "constant" else 0.0, abs=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_rewound_neurons_have_their_initial_weights_and_the_network_its_buffers_to_the_last_bit(monkeypatch, model):
    planned = arm("magnitude", 0.5, model, steps=20, when="rewind")
    seen = Seen(monkeypatch, planned, SPLITS[model]())
    initial = training_run.start(seen.context)
    assert equal(initial.model.state_dict(), seen.weights)
    initial.compressor.cut(seen.indices)
    assert equal(seen.rewound.state_dict(), initial.model.state_dict())
    assert not equal(seen.rewound.state_dict(), seen.cut)
    if model == "mlp":  # the oracle: rows and columns of the initial weights, by NumPy
        kept = seen.indices["hidden0"]
        np.testing.assert_array_equal(seen.rewound.hidden0.weight.detach(), seen.weights["hidden0.weight"][kept])
        np.testing.assert_array_equal(seen.rewound.output.weight.detach(), seen.weights["output.weight"][:, kept])


def test_the_choice_for_a_rewind_is_that_of_the_trained_network(monkeypatch):
    seen = Seen(monkeypatch, arm(when="rewind"))
    half = Seen(monkeypatch, arm("dense", 0.0, steps=30))
    compressor = Compressor(half.run.model, half.context.example, "magnitude", seed=0)
    compressor.compress(0.5)
    np.testing.assert_array_equal(compressor.original_indices["hidden0"], seen.indices["hidden0"])


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_after_a_rewind_the_network_trains_as_from_the_beginning(monkeypatch, schedule):
    planned = arm(when="rewind", schedule=schedule)
    seen = Seen(monkeypatch, planned)
    assert seen.batches[:30] == seen.batches[30:]
    model = seen.rewound
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30) if schedule == "cosine" else None
    training, _ = hold_out(seen.context.train, 0.1, planned.seed)
    train(model, gradient_step(model, optimizer, rate), islice(ShuffledBatches(training, 32, planned.seed), 30))
    assert equal(model.state_dict(), seen.final)


def test_new_weights_are_trained_for_the_steps_and_batches_of_a_rewound_network(monkeypatch):
    rewound, new = Seen(monkeypatch, arm(when="rewind")), Seen(monkeypatch, arm("scratch", budget="retraining"))
    assert new.batches == rewound.batches[30:]
    assert (new.result.steps, new.result.widths) == (30, rewound.result.widths)
    assert not equal(new.final, rewound.final)


@pytest.mark.parametrize(("when", "trained"), [("after", 40), ("rewind", 30)])
def test_the_flops_are_those_of_the_large_network_until_the_neurons_go(monkeypatch, when, trained):
    seen = Seen(monkeypatch, arm(when=when))
    samples = len(hold_out(seen.context.train, 0.1, 0)[0])
    before = samples_in(trained, samples, 32)
    rest = samples_in(60 - trained if when == "rewind" else 60, samples, 32) - (0 if when == "rewind" else before)
    large = training_flops(training_run.start(seen.context).model, seen.context.example)
    small = training_flops(seen.run.model, seen.context.example)
    assert seen.result.training_flops == large * before + small * rest


def test_a_user_s_own_loop_decides_when_by_itself():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    with pytest.raises(UserError, match="option stream, when says how a cell of the bench uses a method"):
        Compressor(model, torch.zeros(1, 3), "dtc", when="after", stream=1)


@pytest.mark.parametrize("method", ["dense", "random", "dtc", "scratch"])
def test_another_stream_has_other_batches_for_the_same_weights_and_split(monkeypatch, method):
    sparsity = 0.0 if method == "dense" else 0.5
    own, other, again = (Seen(monkeypatch, arm(method, sparsity, stream=stream)) for stream in (0, 1, 1))
    assert equal(own.weights, other.weights)
    assert own.batches != other.batches
    epoch = math.ceil(len(hold_out(own.context.train, 0.1, 0)[0]) / 32)
    labels = [sorted(label for batch in seen.batches[:epoch] for label in batch) for seen in (own, other)]
    assert labels[0] == labels[1]
    assert timeless(other.result) == timeless(again.result)


@pytest.mark.parametrize("method", ["random", "shuffled"])
def test_another_stream_has_other_draws_of_the_method(method):
    def kept(stream):
        return run(context(arm(method, steps=10, stream=stream))).cycles[0].layers[0].kept_sha256

    assert len({kept(0), kept(1), kept(2)}) == 3


@pytest.mark.parametrize("method", ["dtc-published", "random-published"])
def test_in_protocol_published_another_stream_has_other_fresh_draws_and_nothing_else(method):
    def first_cycle(**options):
        planned = published_cell(method, dataset="digits", widths=(30,), cycle_steps=2, stop_width=27)
        (cycle,) = run(context(replace(planned, method=choice(registry.methods, method, **options)))).cycles
        return cycle

    published, fresh, other = first_cycle(), first_cycle(draws="fresh"), first_cycle(draws="fresh", stream=1)
    assert published.loss == fresh.loss == other.loss
    assert len({cycle.layers[0].kept_sha256 for cycle in (published, fresh, other)}) == 3
    assert timeless(first_cycle(stream=1)) == timeless(published)
