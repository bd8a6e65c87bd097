"""The options of protocol standard's training step: each does what it says, and at its default nothing."""

import copy
import math
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
from cells import cell, choice, context, timeless
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from dtcbench import registry
from dtcbench.datasets.augmentation import crop_flip
from dtcbench.datasets.splits import Pixels, Splits
from dtcbench.errors import CompressionError, NonFiniteError, UserError
from dtcbench.plan.protocol import Standard
from dtcbench.training import observations, protocols, training_run
from dtcbench.training.loop import Samples, ShuffledBatches, cross_entropy, gradient_step, hold_out
from dtcbench.training.protocols import run, trained
from dtcbench.training.recipe import Recipe, augmentation, loss_of, optimizer_of, schedule_of

BATCH_NORM = choice(registry.models, "resnet-20", width=4)


def recipe(**options) -> Standard:
    return Standard(name="standard", **{"steps": 12, "cycle_steps": 2, **options})


def network(dtype=torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)


def batch(size, dtype=torch.float32) -> Samples:
    draws = torch.Generator().manual_seed(1)
    return Samples(torch.randn(size, 5, generator=draws, dtype=dtype), torch.randint(3, (size,), generator=draws))


def stepped(size=10, dtype=torch.float32, lr=1.0, **options):
    """A network's weights before and after one step of plain gradient descent, and the loss."""
    model = network(dtype)
    before = copy.deepcopy(model)
    loss = gradient_step(model, torch.optim.SGD(model.parameters(), lr=lr), **options)(batch(size, dtype))
    return nn.utils.parameters_to_vector(before.parameters()), nn.utils.parameters_to_vector(model.parameters()), loss


class Seen:
    """A cell's training: the learning rate of every step, and the network at the end."""

    def __init__(self, monkeypatch, planned, splits=None):
        self.rates = []
        real_step, real_start = protocols.step_of, protocols.start

        def spy_step(model, protocol, recipe, *given):
            step = real_step(model, protocol, recipe, *given)
            return lambda batch: self.rates.append(recipe.optimizer.param_groups[0]["lr"]) or step(batch)

        def spy_start(work):
            self.run = real_start(work)
            return self.run

        with monkeypatch.context() as patch:
            patch.setattr(protocols, "step_of", spy_step)
            patch.setattr(protocols, "start", spy_start)
            self.context = context(planned, splits)
            self.result = run(self.context)


def looked_at(monkeypatch, look):
    """Let `look` see what goes through the last layer of each network that is trained from here on."""
    real = protocols.start

    def start(work):
        begun = real(work)
        begun.model.output.register_forward_hook(look)
        return begun

    monkeypatch.setattr(protocols, "start", start)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_at_its_defaults_a_step_is_torch_s_own_to_the_last_bit(monkeypatch, schedule):
    seen = Seen(monkeypatch, cell("dense", 0.0, schedule=schedule, weight_decay=0.1, optimizer="adamw"))
    model = training_run.start(seen.context).model
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60) if schedule == "cosine" else None
    training, _ = hold_out(seen.context.train, 0.1, seed=0)
    for part in islice(ShuffledBatches(training, 32, seed=0), 60):
        optimizer.zero_grad()
        functional.cross_entropy(model(part.x), part.y).backward()
        optimizer.step()
        if rate:
            rate.step()
    expected, found = model.state_dict(), seen.run.model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("method", "options"), [("dense", {}), ("taylor", {}), ("scratch", {}), ("magnitude", {"when": "rewind"})]
)
def test_a_plug_in_s_protocol_trains_in_all_but_its_recipe_as_standard_does(method, options):
    @registry.register_protocol("own")
    def own(model, steps, *, rate: float = 0.01):
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.1)
        return Recipe(optimizer, CosineAnnealingLR(optimizer, steps), partial(cross_entropy, label_smoothing=0.1))

    kept = {"clip": 1.0, "accumulate": 2}
    same = {"schedule": "cosine", "weight_decay": 0.1, "optimizer": "adamw", "label_smoothing": 0.1}
    of_standard = cell(method, 0.0 if method == "dense" else 0.5, **kept, **same)
    of_standard = replace(of_standard, method=choice(registry.methods, method, **options))
    shared = {"steps": 60, "batch_size": 32, "cycle_steps": 5, "keep": 0.8, **kept}
    of_own = replace(of_standard, protocol=choice(registry.protocols, "own", **shared))
    (one, first), (other, second) = (trained(context(which)) for which in (of_standard, of_own))
    assert of_own.key != of_standard.key
    assert str(timeless(one)) == str(timeless(other)).replace("protocol own", "protocol standard")
    expected, found = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("at_once", [1, 3, 5, 10, 16])
def test_the_parts_of_a_batch_give_the_gradient_and_the_loss_of_the_whole(at_once):
    _, whole, loss = stepped(dtype=torch.float64)
    _, parts, same_loss = stepped(dtype=torch.float64, at_once=at_once)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(same_loss, loss, rtol=1e-12, atol=0.0, check_dtype=False)


def test_accumulating_sends_parts_through_the_network_and_steps_once_a_batch(monkeypatch):
    sizes = []

    def look(layer, given, output):
        if layer.training and output.device.type == "cpu":  # FLOPs are counted on a copy
            sizes.append(len(output))

    planned = cell("dtc", accumulate=4)
    looked_at(monkeypatch, look)
    result = run(context(planned))
    training, _ = hold_out(context(planned).train, 0.1, seed=0)
    batches = [len(part) for part in islice(ShuffledBatches(training, 32, seed=0), 60)]
    assert result.steps == 60
    assert max(sizes) == 8
    assert sum(sizes) == sum(batches)


def test_a_part_of_one_sample_is_refused_where_batch_norm_would_meet_it():
    x = np.zeros((65, 3, 8, 8), dtype=np.uint8)
    splits = Splits(x, np.arange(65, dtype=np.uint8) % 10, x, np.arange(65, dtype=np.uint8) % 10, 10, Pixels(1, 0, 1))
    planned = replace(cell("dense", 0.0, accumulate=4, validation=0.5), model=BATCH_NORM)
    with pytest.raises(CompressionError, match="one sample at batch_size 32 and accumulate 4, which batch norm"):
        run(context(planned, splits))


def test_a_long_gradient_is_shortened_to_the_clip_and_a_short_one_is_left_as_it_is():
    before, after, _ = stepped()
    length = (after - before).norm().item()
    clipped = stepped(clip=length / 3)[1]
    torch.testing.assert_close((clipped - before) * 3, after - before, rtol=1e-3, atol=1e-5)
    assert torch.equal(stepped(clip=length * 3)[1], after)


def test_a_gradient_whose_norm_is_infinite_shows_in_the_weights():
    overflowing = stepped(clip=1.0, loss=lambda logits, labels: 1e30 * logits.sum())
    assert overflowing[2].isfinite()
    assert overflowing[1].isnan().all()


def test_with_clipping_a_cell_that_diverges_still_ends_as_diverged():
    with pytest.raises(NonFiniteError, match=r"is (nan|inf|not finite) after step"):
        run(context(cell("dense", 0.0, lr=1e30, clip=1.0)))


def rates(steps=12, **options):
    protocol, model = recipe(**options), nn.Linear(2, 2)
    optimizer = optimizer_of(model, protocol)
    schedule = schedule_of(optimizer, protocol, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[-1]["lr"])
        optimizer.step()
        schedule.step()
    return [*found, optimizer.param_groups[-1]["lr"]]


def test_the_learning_rate_rises_linearly_and_then_stays():
    assert rates(lr=1.0, warmup=4) == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 10])


def test_the_learning_rate_rises_linearly_and_then_falls_as_torch_s_cosine_over_the_steps_that_are_left():
    rest = rates(steps=8, lr=1.0, schedule="cosine")
    assert rates(lr=1.0, warmup=4, schedule="cosine") == pytest.approx([0.25, 0.5, 0.75, 1.0, *rest], abs=1e-12)


@pytest.mark.parametrize(("steps", "warm"), [(6, 2), (24, 8), (2, 0)])
def test_a_training_of_other_steps_warms_up_for_the_same_share_of_them(steps, warm):
    found = rates(steps=steps, lr=1.0, warmup=4, schedule="cosine")
    assert found[:warm] == pytest.approx([(step + 1) / warm for step in range(warm)])
    assert found[warm] == pytest.approx(1.0)
    assert found[-1] == pytest.approx(0.0, abs=1e-12)


def arm(when, **options):
    return replace(cell("magnitude", **options), method=choice(registry.methods, "magnitude", when=when))


def test_after_a_rewind_the_learning_rate_warms_up_anew(monkeypatch):
    found = Seen(monkeypatch, arm("rewind", warmup=6, schedule="cosine")).rates
    assert len(found) == 60
    assert found[:30] == found[30:]
    assert found[:3] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01])


@pytest.mark.parametrize("when", ["during", "after"])
def test_without_a_rewind_the_learning_rate_warms_up_once(monkeypatch, when):
    found = Seen(monkeypatch, arm(when, warmup=6)).rates
    assert found == pytest.approx([0.01 * (step + 1) / 6 for step in range(6)] + [0.01] * 54)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_biases_and_norms_can_be_left_out_of_the_weight_decay(optimizer):
    model = network()
    before = copy.deepcopy(model.state_dict())
    decaying = optimizer_of(model, recipe(optimizer=optimizer, weight_decay=0.1, weight_decay_of="matrices"))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    decaying.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"0.weight", "3.weight"}


@pytest.mark.parametrize("when", ["during", "after", "rewind"])
def test_what_decays_and_its_state_are_the_same_after_compressions(monkeypatch, when):
    planned = arm(when, optimizer="adamw", weight_decay=0.1, weight_decay_of="matrices", schedule="cosine", warmup=6)
    seen = Seen(monkeypatch, planned)
    model, optimizer = seen.run.model, seen.run.compressor.optimizer
    assert seen.result.widths == {"hidden0": 16}
    groups = [[id(parameter) for parameter in group["params"]] for group in optimizer.param_groups]
    wanted = [[id(p) for p in model.parameters() if (p.ndim > 1) == is_matrix] for is_matrix in (True, False)]
    assert groups == wanted
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    for parameter in model.parameters():
        assert optimizer.state[parameter]["exp_avg"].shape == parameter.shape
        assert int(optimizer.state[parameter]["step"]) == (30 if when == "rewind" else 60)


def test_the_smoothed_loss_takes_a_share_of_each_label_from_all_classes_alike():
    logits, labels = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 5
    wanted = 0.9 * functional.one_hot(labels, 5) + 0.1 / 5
    expected = -(wanted * logits.log_softmax(-1)).sum(-1).mean()
    torch.testing.assert_close(loss_of(recipe(label_smoothing=0.1))(logits, labels), expected)


def text():
    x = np.random.default_rng(0).integers(0, 20, size=(80, 8), dtype=np.uint8)
    y = np.roll(x, -1, axis=1)
    return Splits(x, y, x[:20], y[:20], num_classes=20, pixels=None)


def test_smoothing_changes_the_training_loss_and_nothing_that_is_evaluated():
    # At such a learning rate the weights stay as they are.
    planned = [cell("dense", 0.0, lr=1e-30, **options) for options in ({}, {"label_smoothing": 0.2})]
    tiny = choice(registry.models, "gpt-nano", depth=1, heads=2, width=8)
    plain, smoothed = (run(context(replace(one, model=tiny), text())) for one in planned)
    assert plain.cycles[0].loss != smoothed.cycles[0].loss
    assert plain.bits_per_character == smoothed.bits_per_character
    assert plain.accuracy == smoothed.accuracy


def test_a_method_that_asks_for_gradients_gets_those_of_the_loss_that_is_trained_by(monkeypatch):
    losses, real = [], observations.sensitivities

    def look(model, groups, batches, samples, loss):
        losses.append(loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0])).item())
        return real(model, groups, batches, samples, loss)

    monkeypatch.setattr(observations, "sensitivities", look)
    run(context(cell("taylor", label_smoothing=0.5)))
    assert losses
    assert losses == pytest.approx([0.5 + math.log1p(math.exp(-2))] * len(losses))


@pytest.mark.parametrize("augment", ["dataset", "crop-flip", "none"])
def test_batches_are_augmented_as_the_data_set_does_it_or_as_the_recipe_says(augment):
    images = np.zeros((4, 1, 8, 8), dtype=np.uint8)
    labels = np.arange(4, dtype=np.uint8) % 2
    splits = Splits(images, labels, images, labels, 2, Pixels(1, 0, 1), augment=lambda x, generator: x + 1)
    expected = {"dataset": splits.augment, "crop-flip": crop_flip, "none": None}
    assert augmentation(recipe(augment=augment), splits) is expected[augment]


def test_another_augmentation_is_another_training():
    plain, cropped = (run(context(cell("dense", 0.0, augment=augment))) for augment in ("dataset", "crop-flip"))
    assert plain.cycles[0].loss != cropped.cycles[0].loss


@pytest.mark.parametrize("kind", ["text", "features"])
def test_what_is_no_image_is_not_cropped(kind):
    features = np.zeros((4, 6, 1, 1), dtype=np.float32)
    labels = np.arange(4, dtype=np.uint8) % 2
    splits = text() if kind == "text" else Splits(features, labels, features, labels, 2, Pixels(1, 0, 1))
    with pytest.raises(UserError, match=r"protocol\.augment crop-flip is for images, and a sample has shape \["):
        run(context(cell("dense", 0.0, augment="crop-flip"), splits))


def test_in_bf16_the_network_computes_in_it_only_while_it_trains_and_its_weights_stay_in_float32(monkeypatch):
    computed = set()

    def look(layer, given, output):
        if output.device.type == "cpu":  # FLOPs are counted on a copy
            computed.add((output.dtype, layer.training))

    looked_at(monkeypatch, look)
    seen = Seen(monkeypatch, cell("dtc", precision="bf16"))
    assert computed == {(torch.bfloat16, True), (torch.float32, False)}
    assert {parameter.dtype for parameter in seen.run.model.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in seen.run.model.parameters()} == {torch.float32}
    assert run(seen.context).cycles[-1].loss == seen.result.cycles[-1].loss


@pytest.mark.parametrize("fails", [False, True])
def test_a_step_in_tf32_leaves_the_precision_of_the_rest_as_it_was(fails):
    def look():
        parts = torch.backends.cuda.matmul, torch.backends.cudnn
        return [part.allow_tf32 for part in parts], torch.get_float32_matmul_precision()

    def loss(logits, labels):
        seen.append(look())
        logits.register_hook(lambda gradient: seen.append(look()))
        if fails:
            raise MemoryError
        return functional.cross_entropy(logits, labels)

    seen, before = [], look()
    if fails:
        with pytest.raises(MemoryError):
            stepped(precision="tf32", loss=loss)
    else:
        stepped(precision="tf32", loss=loss)
    assert seen == [([True, True], "high")] * (1 if fails else 2)
    assert look() == before == ([False, False], "highest")


def test_the_recipe_s_options_do_not_change_how_long_a_cell_trains():
    options = {"accumulate": 2, "warmup": 7, "clip": 1.0, "label_smoothing": 0.1, "weight_decay": 0.1}
    plain, whole = run(context(cell("dtc"))), run(context(cell("dtc", weight_decay_of="matrices", **options)))
    assert whole.training_flops == plain.training_flops
    assert whole.widths == plain.widths
    assert math.isfinite(whole.cycles[-1].loss)
