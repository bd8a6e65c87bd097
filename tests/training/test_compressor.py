"""The Compressor in a user's own training loop: what the bench's cells run on, without the bench."""

import copy
import io
import itertools
import pickle
import re
import subprocess
import sys
from collections import UserDict

import numpy as np
import pytest
import torch
from cells import cell, context
from torch import nn

from dtcbench import registry
from dtcbench.dtc.selection import Method, Scores
from dtcbench.errors import CompressionError, SolverError, UserError
from dtcbench.training.compressor import Compressor
from dtcbench.training.loop import ShuffledBatches, gradient_step, hold_out
from dtcbench.training.protocols import run
from dtcbench.training.training_run import start
from dtcbench.unavailable import Unavailable

SCORED = [name for name in registry.methods.names() if registry.methods.get(name).removal == "scored"]
IN_CYCLES = [name for name in SCORED if name != "slimming"]  # which needs a normalisation
OTHERS = sorted(set(registry.methods.names()) - set(SCORED))
X, Y = torch.randn(64, 8, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 3


def network(*widths):
    torch.manual_seed(0)
    sizes, layers = [8, *widths], []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 3))


def compressor_of(model, method="dtc", **arguments):
    return Compressor(model, torch.zeros(1, 8), method, **arguments)


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), Y).backward()
        optimizer.step()


def test_a_plain_loop_with_adam_reaches_exact_widths_and_trains_on():
    model = network(20, 12)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    compressor = compressor_of(model, optimizer=optimizer)
    for sparsity in (0.2, 0.5):
        train(model, optimizer, 5)
        compressed = compressor.compress(sparsity)
    assert [group.width for group in compressor.groups] == [10, 6]
    assert compressor.sparsity == 0.5
    assert {name: (layer.width_before, layer.width_after) for name, layer in compressed.items()} == {
        "0": (16, 10),
        "2": (10, 6),
    }
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {id(p) for p in model.parameters()}
    before = [p.detach().clone() for p in model.parameters()]
    train(model, optimizer, 1)
    assert not any(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_the_original_indices_say_where_each_neuron_comes_from():
    model = network(20)
    original = model[0].weight.detach().clone()
    compressor = compressor_of(model, "magnitude")
    compressor.compress(0.3)
    compressor.compress(0.6)
    torch.testing.assert_close(model[0].weight.detach(), original[compressor.original_indices["0"]])


def test_it_keeps_the_neurons_that_a_cell_of_the_bench_keeps():
    planned = cell("dtc", 0.5)
    result = run(context(planned))
    expected = [layer.kept_sha256 for cycle in result.cycles for layer in cycle.layers]

    work = context(planned)
    training, _ = hold_out(work.train, planned.protocol.values["validation"], planned.seed)
    model = start(work).model
    optimizer = torch.optim.Adam(model.parameters(), lr=planned.protocol.values["lr"])
    compressor = Compressor(model, work.example, "dtc", solver="lars", optimizer=optimizer, seed=planned.seed)
    step, batches = gradient_step(model, optimizer), ShuffledBatches(training, 32, planned.seed)
    found = []
    for count in [cycle.layers[0].width_after for cycle in result.cycles if cycle.layers]:
        for _ in range(5):
            step(next(batches))
        found.append(compressor.compress(counts=count)["hidden0"].record(compressed_bits=0.0, lempel_ziv=0.0))
    assert [layer.kept_sha256 for layer in found] == expected != []
    assert found[0].entropy_in_bits == result.cycles[0].layers[0].entropy_in_bits


def test_training_goes_on_from_a_saved_state_as_if_it_had_not_stopped():
    def begun():
        model = network(20, 12)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        return model, optimizer, compressor_of(model, optimizer=optimizer, seed=3)

    model, optimizer, compressor = parts = begun()
    train(model, optimizer, 5)
    compressor.compress(0.4)
    train(model, optimizer, 5)
    saved = io.BytesIO()
    torch.save([part.state_dict() for part in parts], saved)

    saved.seek(0)
    of_model, of_optimizer, of_compressor = torch.load(saved, weights_only=True)
    other, its_optimizer, its_compressor = begun()
    its_compressor.load_state_dict(of_compressor)
    other.load_state_dict(of_model)
    its_optimizer.load_state_dict(of_optimizer)
    for one, its, the_compressor in ((model, optimizer, compressor), (other, its_optimizer, its_compressor)):
        train(one, its, 5)
        the_compressor.compress(0.7)
        train(one, its, 1)
    assert [group.width for group in its_compressor.groups] == [6, 4]
    for name, indices in compressor.original_indices.items():
        np.testing.assert_array_equal(its_compressor.original_indices[name], indices)
    assert all(torch.equal(one, same) for one, same in zip(model.parameters(), other.parameters(), strict=True))


def test_a_state_of_another_network_or_of_neurons_that_are_gone_is_refused():
    saved = compressor_of(network(20)).state_dict()
    with pytest.raises(CompressionError, match="build the network as it was"):
        compressor_of(network(21)).load_state_dict(saved)
    cut = compressor_of(network(20))
    cut.compress(0.5)
    with pytest.raises(CompressionError, match="group 0, width 10: 10 neurons of the state are already removed"):
        cut.load_state_dict(saved)


@pytest.mark.parametrize("method", IN_CYCLES)
def test_every_method_that_removes_in_cycles_works(method):
    model = network(40)
    compressor = compressor_of(model, method, solver="scs" if method == "dtc-published" else None)
    compressor.compress(0.5, batches=[(X, Y)])
    assert model[0].out_features == model[2].in_features == 20
    assert model(X).shape == (64, 3)


@pytest.mark.parametrize("method", OTHERS)
def test_a_method_that_removes_nothing_in_cycles_is_refused_clearly(method):
    compressor = compressor_of(network(20), method)
    with pytest.raises(CompressionError, match=f"method {method} removes no neurons in cycles; use another method"):
        compressor.compress(0.5)
    assert compressor.sparsity == 0


def test_counts_are_for_every_group_or_for_those_that_they_name():
    compressor = compressor_of(network(20, 12), "magnitude")
    compressor.compress(counts={"2": 5})
    assert [group.width for group in compressor.groups] == [20, 5]
    compressor.compress(counts=4)
    assert [group.width for group in compressor.groups] == [4, 4]


def test_keep_without_a_count_is_the_published_rule():
    compressor = compressor_of(network(40), "random-published")
    compressor.compress(keep=0.9)
    assert compressor.groups[0].width == 36
    assert list(compressor.original_indices["0"]) != sorted(compressor.original_indices["0"]), "the published order"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give compress"),
        ({"sparsity": 0.5, "counts": 3}, "give compress"),
        ({"sparsity": 1.0}, "sparsity 1 is not at least 0 and below 1"),
        ({"counts": {"1": 3}}, "unknown group '1'"),
        ({"counts": 21}, "group 0, width 20: cannot keep 21 neurons; .* lower the count"),
        ({"sparsity": 0.99}, r"cycle 0, group 0, width 20, 0 to keep, solver interior-point: .*lower the sparsity"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_remedy_and_leaves_the_network_as_it_was(arguments, message):
    model = network(20)
    before = copy.deepcopy(model.state_dict())
    compressor = compressor_of(model)
    with pytest.raises((UserError, CompressionError), match=message):
        compressor.compress(**arguments)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert compressor.cycle == 0


def test_taylor_without_batches_says_what_to_give():
    with pytest.raises(CompressionError, match=r"batches=\[\(x, y\)"):
        compressor_of(network(20), "taylor").compress(0.5)


def test_taylor_uses_the_loss_that_it_is_given_also_under_no_grad_and_takes_only_the_samples_it_needs():
    taken = []

    def batches():
        for x, y in zip(X.split(16), Y.split(16), strict=True):
            taken.append(len(x))
            yield x, y

    def loss(output, y):
        return (output.sum(dim=1) - y).square().mean()

    chosen = []
    for how in (loss, nn.functional.cross_entropy):
        compressor = compressor_of(network(20), "taylor", samples=20)
        with torch.no_grad():
            compressor.compress(0.5, batches=batches(), loss=how)
        chosen.append(list(compressor.original_indices["0"]))
    assert chosen[0] != chosen[1]
    assert taken == [16, 16] * 2


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2.0


class ByName(nn.Module):
    """Calls its layers by the name of their argument, and takes a second one that is no sample."""

    def __init__(self):
        super().__init__()
        self.hidden, self.output = network(20)[0], network(20)[2]

    def forward(self, x, scale):
        return self.output(input=torch.relu(self.hidden(input=x)) * scale)


@pytest.mark.parametrize("method", ["taylor", "hrank", "dtc"])
@pytest.mark.parametrize(
    "inputs",
    [
        lambda x: {"x": x, "scale": torch.tensor([2.0])},
        lambda x: (x, torch.tensor(2.0)),
        lambda x: [x, 2.0],
        lambda x: UserDict(x=x, scale=2.0),
    ],
    ids=["dict", "tuple", "list, as a DataLoader has it", "mapping"],
)
def test_batches_have_the_form_of_the_example(method, inputs):
    options = {} if method == "dtc" else {"samples": 20}
    plain = compressor_of(nn.Sequential(network(20)[0], nn.ReLU(), Doubled(), network(20)[2]), method, **options)
    named = Compressor(ByName(), inputs(torch.zeros(1, 8)), method, **options)
    plain.compress(0.5, batches=[(X, Y)])
    named.compress(0.5, batches=[(inputs(X), Y)])
    np.testing.assert_array_equal(named.original_indices["hidden"], plain.original_indices["0"])


@pytest.mark.parametrize("method", ["dtc", "taylor"])
@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_what_is_frozen_stay_as_they_were(method, training):
    model = nn.Sequential(nn.Linear(8, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 3)).train(training)
    model[1].eval()
    model[0].weight.requires_grad_(False)
    compressor_of(model, method).compress(0.5, batches=[(X, Y)])
    assert (model.training, model[1].training) == (training, False)
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["0.weight"]
    assert model[1].num_features == 10


def test_entropies_are_values_or_say_why_there_is_none():
    compressor = compressor_of(network(40, 12))
    assert compressor.entropy == {}
    compressor.compress(counts={"0": 20})
    first, second = compressor.entropy["0"], compressor.entropy["2"]
    assert all(isinstance(value, float) for value in first.values())
    assert second["entropy_in_bits"] == Unavailable("no neuron of this group was due in this cycle")
    compressor.compress(counts={"2": 6})
    assert compressor.entropy["0"] == first, "the group's last compression"
    one = Unavailable("one measurement bounds the entropy by log2 1 = 0")
    assert compressor.entropy["2"]["entropy_in_normalised"] == one


def test_a_method_and_a_solver_may_be_objects_of_ones_own():
    class Last(Method):
        drop = "smallest"
        uses_solver = True

        def scores(self, group):
            assert group.solve(np.array([[1.0, 2.0]]), np.ones((1, 1)), 0.3).shape == (2, 1)
            return Scores(np.arange(group.width, dtype=float))

    called = []

    def solve(theta, y, lam):
        called.append(lam)
        return registry.solvers.get("lars")(theta, y, lam)

    compressor = compressor_of(network(20), Last(), solver=solve)
    compressor.compress(0.5)
    assert list(compressor.original_indices["0"]) == list(range(10, 20))
    assert called == [0.3]
    with pytest.raises(UserError, match="options lam of a method that is an object"):
        compressor_of(network(20), Last(), lam=0.1)
    with pytest.raises(CompressionError, match="solver mine: "):
        compressor_of(network(20), "dtc", solver=mine).compress(0.5)


def mine(theta, y, lam):
    return np.zeros((1, 1))


def test_a_network_without_a_prunable_group_is_refused():
    with pytest.raises(CompressionError, match="no prunable group of kind simple; give groups='coupled' or"):
        compressor_of(nn.Sequential(nn.Linear(8, 3)))


def test_a_network_without_a_prunable_group_can_be_trained_dense():
    assert compressor_of(nn.Sequential(nn.Linear(8, 3)), "dense").sparsity == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", IN_CYCLES)
def test_it_works_on_cuda_tensors(method):
    model = network(40).cuda()
    optimizer = torch.optim.Adam(model.parameters())
    compressor = Compressor(model, torch.zeros(1, 8, device="cuda"), method, optimizer=optimizer)
    compressor.compress(0.5, batches=[(X.cuda(), Y.cuda())])
    assert model[0].weight.device.type == "cuda"
    assert model(X.cuda()).shape == (64, 3)


def test_importing_it_loads_none_of_the_benchs_heavy_rooms():
    heavy = "[m for m in ('ray', 'pandas', 'jinja2') if m in sys.modules]"
    program = f"import sys, dtcbench.training.compressor; print({heavy})"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_its_example_runs():
    import doctest

    from dtcbench.training import compressor

    assert doctest.testmod(compressor) == (0, 10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_it_takes_weights_of_other_precisions(dtype):
    model = network(20).to(dtype)
    Compressor(model, torch.zeros(1, 8, dtype=dtype)).compress(0.5)
    assert (model[0].out_features, model[0].weight.dtype) == (10, dtype)


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Unflatten(1, (1, 4, 4))),
        *(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)),
    )


def state_of(model, compressor):
    return {**copy.deepcopy(model.state_dict()), "": (compressor.cycle, str(compressor.original_indices))}


def assert_it_changes_nothing(model, compressor, error, message, **targets):
    before = state_of(model, compressor)
    with pytest.raises(error, match=message):
        compressor.compress(**targets)
    after = state_of(model, compressor)
    assert after.pop("") == before.pop("")
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_order_that_a_method_keeps_neurons_in_is_theirs_in_convolutions_too():
    model, whole = convolutional(), convolutional()
    whole.load_state_dict(model.state_dict())
    compressor = compressor_of(model, "random-published")
    compressor.compress(keep=0.7)
    kept = compressor.original_indices["0"]
    assert list(kept) != sorted(kept)
    assert torch.equal(model[0].weight, whole[0].weight[kept])


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([0, 6], "group 5, width 6, 2 to keep: the method kept neurons 0 to 6; the group has 0 to 5"),
        ([-1, 3], "the method kept neurons -1 to 3"),
        ([3, 3], "the method kept 2 neurons, 1 of them different"),
        ([0.0, 1.0], "not a list of whole numbers"),
        ([[0], [1]], "not a list of whole numbers"),
        ([0, 1, 2], "the method kept 3 neurons, not 2"),
    ],
)
def test_a_method_that_chooses_neurons_that_there_are_not_changes_nothing(chosen, message):
    class Wrong(Method):
        drop = "smallest"

        def scores(self, group):
            return Scores(np.zeros(group.width))

        def select(self, scores, group):
            return np.array(chosen if group.width == 6 else [0, 1])

    model = convolutional()
    assert_it_changes_nothing(model, compressor_of(model, Wrong()), CompressionError, message, counts=2)


def test_a_cut_to_neurons_or_groups_that_there_are_not_changes_nothing():
    model = convolutional()
    compressor = compressor_of(model)
    before = state_of(model, compressor)
    for indices, message in ({"0": [0], "5": [6]}, "group 5, width 6: "), ({"0": [0], "6": [1]}, "unknown group '6'"):
        with pytest.raises(ValueError, match=message):
            compressor.cut(indices)
    assert str(state_of(model, compressor)) == str(before)


def test_an_optimiser_that_keeps_its_own_list_of_parameters_is_refused():
    model = network(20)
    with pytest.raises(UserError, match="optimizer LBFGS also keeps its parameters in _params; use another one"):
        compressor_of(model, optimizer=torch.optim.LBFGS(model.parameters()))


@pytest.mark.parametrize("make", [torch.optim.Adafactor, lambda parameters: Listing(parameters)])
def test_an_optimiser_whose_state_has_another_shape_is_refused_before_anything_is_cut(make):
    model = network(20)
    optimizer = make(model.parameters())
    compressor = compressor_of(model, optimizer=optimizer)
    train(model, optimizer, 1)
    message = r"optimizer \w+ keeps (row_var \[\d+, 1\]|halves) for a parameter .*; use another one"
    assert_it_changes_nothing(model, compressor, UserError, message, sparsity=0.5)


class Listing(torch.optim.SGD):
    """Keeps tensors in a list, as Shampoo does."""

    def step(self):
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["halves"] = list(parameter.detach().chunk(2))


@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Rprop", "RMSprop", "ASGD"])
def test_the_state_of_every_optimiser_that_works_by_element_is_carried_over(name):
    model = network(20, 12)
    optimizer = getattr(torch.optim, name)(model.parameters())
    compressor = compressor_of(model, "magnitude", optimizer=optimizer)
    train(model, optimizer, 2)
    compressor.compress(0.5)
    for parameter in model.parameters():
        shapes = {value.shape for value in optimizer.state[parameter].values() if torch.is_tensor(value)}
        assert shapes <= {parameter.shape, torch.Size([])} and parameter.shape in shapes
    train(model, optimizer, 1)


def test_it_works_in_inference_mode_and_the_network_trains_on():
    model = network(20)
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer, 1)
    with torch.inference_mode():
        compressor = compressor_of(model, "magnitude", optimizer=optimizer)
        compressor.compress(0.5)
    train(model, optimizer, 1)
    assert compressor.sparsity == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": "0.5"}, "sparsity '0.5' is not at least 0"),
        ({"sparsity": True}, "sparsity true is not at least 0"),
        ({"sparsity": float("nan")}, "sparsity nan is not at least 0"),
        ({"keep": 1.5}, "keep 1.5 of group 0 is not above 0 and at most 1"),
        ({"keep": 0}, "keep 0 of group 0 is not above 0"),
        ({"keep": float("nan")}, "keep nan of group 0"),
        ({"keep": {"2": "half"}}, "keep 'half' of group 2"),
        ({"sparsity": 0.5, "keep": -1}, "keep -1 of group 0"),
        ({"counts": 7.5}, "counts 7.5 of group 0 is not a whole number of at least 1"),
        ({"counts": True}, "counts true of group 0"),
        ({"counts": "7"}, "counts '7' of group 0"),
        ({"counts": {"2": -3}}, "counts -3 of group 2"),
        ({"counts": {"2": None}}, "counts nothing of group 2"),
        ({"counts": {0: 7}}, "unknown group 0; did you mean '0'?"),
        ({"counts": {"0": 7}, "keep": {"2": 0.5}}, "keep names group 2, which counts does not name; give a count"),
    ],
)
def test_targets_that_cannot_be_meant_are_refused_with_their_group(arguments, message):
    model = network(20, 12)
    assert_it_changes_nothing(model, compressor_of(model), UserError, re.escape(message), **arguments)


def test_numbers_of_numpy_and_torch_are_numbers():
    for arguments in (
        {"sparsity": np.float32(0.5)},
        {"sparsity": torch.tensor(0.5)},
        {"counts": np.int64(10)},
        {"counts": {"0": torch.tensor(10)}},
        {"keep": np.array(0.5)},
    ):
        compressor = compressor_of(network(20), "magnitude")
        compressor.compress(**arguments)
        assert compressor.groups[0].width == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": type(registry.methods.bind("magnitude", {}))}, "method is the class .*; give an object of it"),
        ({"method": None}, "method None is neither a registered name nor"),
        ({"method": "magnitude", "solver": "nonsense"}, "unknown solver 'nonsense'"),
        ({"solver": ""}, "unknown solver ''"),
        ({"solver": 3}, "solver 3 is neither a registered name nor a function"),
        ({"seed": -1}, "seed -1 is not a whole number of at least 0"),
        ({"seed": None}, "seed None is not a whole number"),
        ({"seed": 0.5}, "seed 0.5 is not a whole number"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_at_once(arguments, message):
    with pytest.raises(UserError, match=message):
        compressor_of(network(20), **arguments)


@pytest.mark.parametrize("method", ["dtc", "dtc-published"])
@pytest.mark.parametrize("answer", [None, 1.0, "text"])
def test_a_solver_that_returns_no_array_is_named(method, answer):
    def broken(theta, y, lam):
        return answer

    model = network(20)
    compressor = compressor_of(model, method, solver=broken)
    assert_it_changes_nothing(model, compressor, SolverError, r"group 0, .*solver broken: .*, not \(20, 2\)", counts=10)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, CompressionError, r"give compress\(…, batches="),
        ({"batches": (X, Y)}, UserError, r"batches holds a Tensor, not a pair; give batches=\[\(x, y\)"),
        ({"batches": [({"x": [1.0]}, Y)]}, UserError, "batches holds a dict without a tensor as x"),
        ({"batches": [(X, Y)], "loss": nn.CrossEntropyLoss(reduction="none")}, UserError, r"gave shape \[64\]"),
        ({"batches": [(X, Y)], "loss": lambda *_: 0.5}, UserError, "the loss gave a float"),
        ({"batches": [(X, Y)], "loss": lambda y, _: y.detach().sum()}, CompressionError, "the loss has no gradient"),
    ],
)
def test_gradients_that_cannot_be_had_are_explained_and_those_of_the_network_stay(arguments, error, message):
    model = network(20)
    nn.functional.cross_entropy(model(X), Y).backward()
    before = [parameter.grad.clone() for parameter in model.parameters()]
    assert_it_changes_nothing(model, compressor_of(model, "taylor"), error, message, sparsity=0.5, **arguments)
    assert all(torch.equal(parameter.grad, old) for parameter, old in zip(model.parameters(), before, strict=True))


def test_taylor_on_a_frozen_network_says_so():
    model = network(20).requires_grad_(False)
    message = "all layers are frozen"
    compressor = compressor_of(model, "taylor")
    assert_it_changes_nothing(model, compressor, CompressionError, message, sparsity=0.5, batches=[(X, Y)])


def test_taylor_works_in_inference_mode():
    model = network(20)
    with torch.inference_mode():
        compressor_of(model, "taylor").compress(0.5, batches=[(X.clone(), Y.clone())])
    assert model[0].out_features == 10


def test_the_last_entropies_are_part_of_the_state():
    compressor = compressor_of(network(40, 12))
    compressor.compress(counts={"0": 20})
    saved = io.BytesIO()
    torch.save(compressor.state_dict(), saved)
    saved.seek(0)
    other = compressor_of(network(40, 12))
    other.load_state_dict(torch.load(saved, weights_only=True))
    assert other.entropy == compressor.entropy != {}
    for one in (compressor, other):
        one.compress(counts={"2": 6})
    assert other.entropy == compressor.entropy


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "magnitude"}, "of method dtc(.*) and this compressor has magnitude(norm="),
        ({"lam": 0.4}, "of method dtc(.*lam=0.3.*) and this compressor has dtc(.*lam=0.4"),
        ({"seed": 2}, "of seed 1 and this compressor has 2; build it with those of the state"),
    ],
)
def test_a_state_of_another_method_or_seed_is_refused(arguments, message):
    saved = compressor_of(network(20), seed=1).state_dict()
    model = network(20)
    compressor = compressor_of(model, **{"seed": 1, **arguments})
    with pytest.raises(CompressionError, match=message.replace("(", r"\(").replace(")", r"\)")):
        compressor.load_state_dict(saved)
    assert compressor.sparsity == 0


def test_what_is_no_state_is_refused():
    with pytest.raises(CompressionError, match=r"the state lacks cycle, .*; give what Compressor.state_dict"):
        compressor_of(network(20)).load_state_dict({})


@pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_compressor_is_not_copied_or_pickled_and_says_how_to(attempt):
    with pytest.raises(TypeError, match=r"build a second one and load state_dict\(\) into it"):
        attempt(compressor_of(network(20)))
