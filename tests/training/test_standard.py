"""Protocol `standard`: the same steps, batches, order and initial weights for every method."""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pytest
import torch
from cells import cell, choice, context, timeless
from pydantic import Field

from dtcbench import registry
from dtcbench.datasets.splits import Splits
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.errors import CompressionError, NonFiniteError, UserError
from dtcbench.hits import unpacked
from dtcbench.plan.protocol import Standard
from dtcbench.registry import Entry
from dtcbench.training import protocols, training_run
from dtcbench.training.loop import Samples, ShuffledBatches, hold_out
from dtcbench.training.protocols import run

LARS = registry.solvers.get("lars")


@dataclass(frozen=True, kw_only=True)
class InSteps:
    """LARS, with options that JSON holds otherwise."""

    steps: Annotated[tuple[int, ...], Field(strict=False)] = (10, 20)

    def __call__(self, theta, y, lam):
        assert isinstance(self.steps, tuple)
        return LARS(theta, y, lam, max_iterations=sum(self.steps))


METHODS = [name for name in registry.methods.names() if registry.methods.get(name).removal == "scored"]
METHODS.remove("slimming")  # which needs a normalisation


def test_the_same_cell_gives_the_same_result_to_the_last_bit():
    first, second = (run(context(cell("dtc"))) for _ in range(2))
    timeless = {"train_s", "compress_s", "evaluate_s", "energy", "cycles"}
    assert first.model_dump(exclude=timeless) == second.model_dump(exclude=timeless)
    kept = [[layer.kept_sha256 for c in result.cycles for layer in c.layers] for result in (first, second)]
    assert kept[0] == kept[1] != []


@pytest.mark.parametrize("solver", [InSteps, checked_solver(Tolerance(gap=1e-9))(InSteps)], ids=["plain", "stated"])
@pytest.mark.parametrize("options", [{}, {"steps": [500, 500]}], ids=str)
def test_a_solver_that_is_a_class_solves_in_a_cell_with_its_options_checked(monkeypatch, solver, options):
    expected = run(context(cell("dtc")))
    monkeypatch.setitem(registry.solvers._entries, "in-steps", Entry(solver))
    planned = replace(cell("dtc"), solver=choice(registry.solvers, "in-steps", **options))
    assert run(context(planned)).accuracy == expected.accuracy


def test_the_global_generators_neither_matter_nor_move():
    expected = run(context(cell("dtc"))).accuracy
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    before = torch.get_rng_state()
    assert run(context(cell("dtc"))).accuracy == expected
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sparsity", [0.5, 0.85])
def test_every_method_ends_on_exactly_the_rounded_width(method, sparsity):
    result = run(context(cell(method, sparsity)))
    assert result.widths == {"hidden0": round(32 * (1 - sparsity))}
    assert result.steps == 60


def test_groups_of_different_widths_lose_the_same_share():
    result = run(context(cell("magnitude", 0.75, widths=[40, 16, 3])))
    assert result.widths == {"hidden0": 10, "hidden1": 4, "hidden2": round(3 * 0.25)}


def seen_by(monkeypatch, the_cell):
    """Initial weights, and the labels of every batch trained on."""
    batches, initial = [], {}
    real_train, real_start = training_run.train, protocols.start

    def train(model, step, given):
        kept = list(given)
        batches.extend(batch.y.tolist() for batch in kept)
        return real_train(model, step, kept)

    def start(work):
        begun = real_start(work)
        initial.update({name: p.detach().clone() for name, p in begun.model.named_parameters()})
        return begun

    with monkeypatch.context() as patch:
        patch.setattr(training_run, "train", train)
        patch.setattr(protocols, "start", start)
        run(context(the_cell))
    return initial, batches


def test_dense_and_compressed_cells_share_initial_weights_batches_and_order(monkeypatch):
    dense_weights, dense_batches = seen_by(monkeypatch, cell("dense", 0.0))
    weights, batches = seen_by(monkeypatch, cell("dtc", 0.85))
    assert len(batches) == 60
    assert batches == dense_batches
    assert all(torch.equal(weights[name], dense_weights[name]) for name in dense_weights)


def test_another_seed_changes_weights_and_order(monkeypatch):
    weights, batches = seen_by(monkeypatch, cell("dense", 0.0))
    other_weights, other_batches = seen_by(monkeypatch, cell("dense", 0.0, seed=1))
    assert batches != other_batches
    assert not torch.equal(weights["hidden0.weight"], other_weights["hidden0.weight"])


def samples(count):
    return Samples(torch.arange(count, dtype=torch.float32)[:, None], torch.arange(count))


def test_validation_is_held_out_of_training_and_nothing_is_lost():
    train, validation = hold_out(samples(50), 0.2, seed=3)
    assert len(validation) == 10
    (all_of_it,), (held_out,) = train.batches(50), validation.first(None).batches(50)
    assert sorted([*all_of_it.y.tolist(), *held_out.y.tolist()]) == list(range(50))
    assert train.take(torch.tensor([3, 1])).y.tolist() == [all_of_it.y[index].item() for index in (3, 1)]
    assert [batch.x.tolist() for batch in train.first(3).batches(2)] == [
        all_of_it.x[:2].tolist(),
        all_of_it.x[2:3].tolist(),
    ]


def test_each_epoch_sees_every_sample_once_in_a_new_order():
    batches = ShuffledBatches(samples(10), 4, seed=0)
    epochs = [[label for _ in range(3) for label in next(batches).y.tolist()] for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]


def test_accuracy_is_recorded_before_just_after_and_at_the_end():
    result = run(context(cell("random", 0.55)))
    assert None not in (result.accuracy_before, result.accuracy_after, result.validation_accuracy)
    assert result.accuracy_after < result.accuracy_before  # two of sixteen neurons just went
    assert result.accuracy > result.accuracy_after
    assert all(c.validation_before is not None for c in result.cycles)
    assert all(c.validation_after is not None for c in result.cycles if c.layers)


def test_accuracy_is_the_mean_of_the_hits_and_the_final_network_says_which_those_are(monkeypatch):
    runs = []
    monkeypatch.setattr(protocols, "start", lambda context: runs.append(training_run.start(context)) or runs[-1])
    of_cell = context(cell("dtc"))
    result = run(of_cell)
    hits = unpacked(result.hits, result.test_samples)
    assert hits.mean() == result.accuracy
    with torch.no_grad():
        right = runs[0].model(of_cell.test.x).argmax(1) == of_cell.test.y
    assert hits.tolist() == right.tolist()


def test_a_text_has_no_hits_and_says_why():
    text = Splits(*(np.arange(80, dtype=np.uint8).reshape(20, 4) % 7 for _ in range(4)), num_classes=7, pixels=None)
    tiny = replace(cell("dense", 0.0), model=choice(registry.models, "gpt-nano", depth=1, heads=2, width=8))
    result = run(context(tiny, text))
    assert (result.hits, result.test_samples) == (None, None)
    assert result.reasons["hits"] == "a text is not right or wrong as a whole: its tokens are predicted one by one"


def test_cycles_tell_the_flops_of_training_so_far():
    dense, compressed = run(context(cell("dense", 0.0))), run(context(cell("taylor", 0.8)))
    steps_of_all, steps = 60, dense.cycles[0].step
    assert dense.cycles[0].training_flops * steps_of_all == pytest.approx(dense.training_flops * steps, rel=0.05)
    assert compressed.cycles[0].training_flops == dense.cycles[0].training_flops
    rises = np.diff([c.training_flops for c in dense.cycles]), np.diff([c.training_flops for c in compressed.cycles])
    assert len(set(rises[0])) <= 2  # the last batch of an epoch is smaller
    assert rises[1][0] > rises[0][0]  # the gradients that taylor asked for in the first compression
    assert rises[1][-1] < rises[0][-1]
    assert compressed.cycles[-1].training_flops < compressed.training_flops


def test_a_course_on_fewer_validation_samples_changes_nothing_but_the_course():
    plain = cell("dtc")
    values = Standard(name="standard", **{**plain.protocol.values, "course": 40})
    short = replace(plain, protocol=values.choice)
    whole, part = run(context(plain)), run(context(short))
    assert short.key != plain.key
    assert all((40 * c.validation_before).is_integer() for c in part.cycles)
    assert [c.validation_before for c in part.cycles] != [c.validation_before for c in whole.cycles]
    drawn = {"validation_before", "validation_after"}
    assert [timeless(c.model_copy(update=dict.fromkeys(drawn))) for c in part.cycles] == [
        timeless(c.model_copy(update=dict.fromkeys(drawn))) for c in whole.cycles
    ]
    assert timeless(part.model_copy(update={"cycles": []})) == timeless(whole.model_copy(update={"cycles": []}))


def test_every_cell_is_trained_and_validated_in_the_same_pieces():
    dense, compressed = run(context(cell("dense", 0.0))), run(context(cell("dtc", 0.5)))
    assert [c.step for c in dense.cycles] == [c.step for c in compressed.cycles] == [5 * k for k in range(1, 12)]
    last = compressed.cycles[-1]
    assert last.layers == []
    assert last.validation_after is None
    assert last.reasons["validation_after"] == "nothing was due to be removed"


def test_dense_has_a_curve_too_and_says_why_it_has_no_compression():
    result = run(context(cell("dense", 0.0)))
    assert [c.step for c in result.cycles] == [5 * k for k in range(1, 12)]
    assert result.reasons == {
        "accuracy_before": "nothing is removed while training",
        "accuracy_after": "nothing is removed while training",
        "bits_per_character": "the dataset holds no text",
        "r2": "R2 is of a regression",
        "target_scale": "R2 is of a regression",
        "compile_s": "the protocol compiles nothing (compile: false)",
    }
    assert result.sparsity == 0
    assert result.parameters == result.parameters_dense


def test_compressed_training_costs_fewer_flops_than_dense():
    dense, compressed = run(context(cell("dense", 0.0))), run(context(cell("random", 0.85)))
    assert compressed.training_flops < dense.training_flops
    assert compressed.inference_flops < dense.inference_flops / 4


def test_entropies_are_recorded_where_something_was_measured_and_explained_elsewhere():
    measured = run(context(cell("dtc", 0.85))).cycles[0].layers[0]
    assert measured.measurements == 3
    assert measured.entropy_in_bits is not None
    unmeasured = run(context(cell("random", 0.85))).cycles[0].layers[0]
    assert unmeasured.measurements is None
    assert unmeasured.reasons["entropy_in_bits"] == "the method makes no measurement"


def test_a_loss_that_is_not_finite_ends_the_cell_as_diverged():
    with pytest.raises(NonFiniteError, match=r"the loss is (nan|inf) after step"):
        run(context(cell("dense", 0.0, lr=1e30)))


@pytest.mark.parametrize("method", ["dense", "random"])
def test_weights_that_end_as_nan_end_the_cell_though_the_last_loss_was_finite(monkeypatch, method):
    real_train = training_run.train

    def train(model, *arguments):
        trained = real_train(model, *arguments)
        with torch.no_grad():
            model.output.weight[0, 0] = torch.nan
        return trained

    monkeypatch.setattr(training_run, "train", train)
    with pytest.raises(NonFiniteError, match=r"output\.weight is not finite after step 5"):
        run(context(cell(method, 0.0 if method == "dense" else 0.5)))


def test_a_validation_share_that_leaves_a_split_empty_is_refused():
    with pytest.raises(UserError, match=r"protocol\.validation 0\.01 of 50 samples"):
        hold_out(samples(50), 0.01, seed=0)  # round(0.5) is 0


def test_a_sparsity_that_leaves_nobody_names_the_group_and_its_width():
    with pytest.raises(CompressionError, match=r"group hidden0, width \d+, 0 to keep"):
        run(context(cell("magnitude", 0.99, widths=[8])))


def test_a_width_too_small_for_the_published_measurement_names_cycle_group_keep_and_solver():
    with pytest.raises(CompressionError, match=r"group hidden0, width \d+, .* solver lars: .*0 measurements"):
        run(context(cell("dtc-published", 0.85, widths=[12])))


def test_augmentation_is_decided_by_the_seed_and_differs_between_epochs():
    def augment(x, generator):
        return x + 0.5 * torch.rand(len(x), 1, generator=generator)

    def epochs(seed):
        batches = ShuffledBatches(samples(8), 4, seed, augment)
        return [torch.cat([next(batches).x for _ in range(2)]).flatten() for _ in range(2)]

    first, again, other = epochs(0), epochs(0), epochs(1)
    assert all(torch.equal(one, same) for one, same in zip(first, again, strict=True))
    assert not torch.equal(first[0].sort().values, first[1].sort().values)
    assert not torch.equal(first[0].sort().values, other[0].sort().values)
    assert [sorted(int(x) for x in epoch) for epoch in first] == [list(range(8))] * 2


def test_a_network_without_a_prunable_group_is_refused_with_the_remedy(monkeypatch):
    planned = cell("magnitude")
    monkeypatch.setitem(
        registry.models._entries,
        "mlp",
        Entry(
            lambda *_, widths=None, bias=None, **__: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        ),
    )
    words = r"model mlp: the network has no prunable group.*write {name: magnitude, groups: coupled} or .*list --groups"
    with pytest.raises(CompressionError, match=words):
        run(context(planned))
