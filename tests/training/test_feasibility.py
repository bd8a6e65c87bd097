"""A plan knows which cells cannot be run, before the first one is."""

import re

import pytest
import torch
from cells import cell, context, published_cell, task
from suites_for_tests import TINY, edited

from dtcbench import registry
from dtcbench.datasets.splits import DatasetError
from dtcbench.errors import AbsentError, CompressionError
from dtcbench.execution.worker import attempt
from dtcbench.models.packages import Package, fit_images, needs, refuse_unknown
from dtcbench.plan import shipped
from dtcbench.plan.document import SuiteError
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import load, parse
from dtcbench.registry import Entry
from dtcbench.training.feasibility import feasible, obstacle
from dtcbench.training.protocols import run

NO_SOLVER = ("    solvers: [lars]\n", "")


OR_EXCLUDE = ", or name these cells under `exclude`"


def refusals(plan):
    """What is refused of the plan, a line each."""
    try:
        feasible(plan, "suite.yaml")
    except SuiteError as error:
        return [line.removeprefix("suite.yaml: ").removesuffix(OR_EXCLUDE) for line in str(error).splitlines()]
    return []


def found(*edits):
    return refusals(expand(parse(edited(TINY, *edits), "suite.yaml")))


def test_an_ordinary_suite_has_nothing_against_it():
    assert found() == []


def test_a_layer_that_would_be_left_without_a_neuron_is_named_with_the_cycle():
    lines = found(("[16]", "[16, 4]"), ("[0.5]", "[0.5, 0.9]"), ("[dtc, magnitude]", "[magnitude]"), NO_SOLVER)
    assert lines == [
        "magnitude mlp(widths=[16,4]) digits 0.9: cycle 4, group hidden1, width 1, 0 to keep: "
        "0 of 1 neurons would be kept; lower the sparsity or widen the layer "
        "(group hidden1 has 4 neurons, and sparsity 0.87 is the highest of whole per cents that fits)"
    ]
    assert found(("[16]", "[16, 4]"), ("[0.5]", "[0.87]"), ("[dtc, magnitude]", "[magnitude]"), NO_SOLVER) == []


def test_heads_are_called_heads(monkeypatch):
    text = edited(TINY, ("{name: mlp, widths: [16]}", "{name: gpt-nano, depth: 1, width: 16, heads: 4}"), NO_SOLVER)
    text = edited(text, ("[digits]", "[{name: tinyshakespeare, context: 8}]"), ("[0.5]", "[0.9]"))
    suite = edited(text, ("[dtc, magnitude]", "[{name: magnitude, groups: coupled}]"))
    (line,) = refusals(expand(parse(suite, "suite.yaml")))
    assert re.search(r": 0 of \d heads would be kept; .* has 4 heads, and sparsity 0\.\d+ is the highest", line)


@pytest.mark.parametrize(
    ("method", "width"), [("scratch", 4), ("{name: scratch, budget: flops}", 1), ("dense-matched", 1)]
)
def test_so_is_one_of_a_baseline_that_begins_small_or_shares_the_flops(method, width):
    (line,) = found(
        ("[16]", "[4]"), ("[0.5]", "[0.9]"), ("[dtc, magnitude]", f"[{method}]"), ("    solvers: [lars]\n", "")
    )
    assert f"0.9: group hidden0, width {width}: 0 of {width} neurons would be kept" in line


def test_the_published_rule_measures_nothing_of_a_narrow_layer():
    (line,) = found(("[16]", "[8]"), ("[dtc, magnitude]", "[dtc-published]"))
    assert line.startswith("dtc-published mlp(widths=[8]) digits 0.5: cycle 1, group hidden0, width 7, ")
    assert "= 0 measurements" in line


def test_a_kind_of_cell_is_named_once_for_all_its_solvers_so_that_one_exclusion_mends_it():
    (line,) = found(
        ("[16]", "[8]"), ("[dtc, magnitude]", "[dtc-published]"), ("solvers: [lars]", "solvers: [lars, scs, ssnal]")
    )
    assert line.startswith("dtc-published mlp(")


def test_protocol_published_is_followed_down_to_its_last_cycle():
    suite = edited(
        TINY,
        ("{name: standard, steps: 30, cycle_steps: 5}", "{name: published, keep: 0.4, stop_width: 1, cycle_steps: 1}"),
        ("    sparsities: [0.5]\n", ""),
        ("[dtc, magnitude]", "[random-published]"),
        NO_SOLVER,
    )
    (line,) = refusals(expand(parse(suite, "suite.yaml")))
    assert "cycle 2, group hidden0, width 2, keep 0.4: 0 of 2 neurons would be kept; raise keep or stop_width" in line


@pytest.mark.parametrize("name", shipped.names())
def test_every_shipped_suite_can_be_run(name):
    assert refusals(expand(load(name))) == []


def test_every_exclusion_for_measurements_in_the_shipped_suites_is_needed():
    suite = load("lenet")
    unexcluded = suite.model_copy(update={"exclude": []})
    (line,) = refusals(expand(unexcluded))
    assert line.startswith("dtc-published lenet-300-100 mnist 0.95: cycle 22, group hidden1, width 10, 9 to keep: ")


@pytest.mark.parametrize("verb", [["plan"], ["run", "--inline"], ["run", "--inline", "--smoke"]])
def test_plan_and_run_refuse_before_the_first_cell_and_an_exclusion_mends_it(tmp_path, monkeypatch, dtcbench, verb):
    monkeypatch.chdir(tmp_path)
    suite = edited(TINY, ("[16]", "[4]"), ("[0.5]", "[0.5, 0.9]"), ("[dtc, magnitude]", "[magnitude]"))
    (tmp_path / "tiny.yaml").write_text(edited(suite, NO_SOLVER))
    ended = dtcbench(*verb, "tiny.yaml")
    assert ended.code == 2
    assert "tiny.yaml: magnitude mlp(widths=[4]) digits 0.9: cycle 4, group hidden0, width 1, " in ended.err
    assert "exclude" in ended.err
    assert not (tmp_path / "runs").exists()
    (tmp_path / "tiny.yaml").write_text(edited(suite, NO_SOLVER) + "exclude: [{sparsity: 0.9, reason: too narrow}]\n")
    assert dtcbench(*verb, "tiny.yaml").code == 0


class Residual(torch.nn.Module):
    """A stream that a layer is added to: no simple group, and a coupled one."""

    def __init__(self):
        super().__init__()
        self.first, self.layer, self.last = torch.nn.Linear(64, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 10)

    def forward(self, x):
        stream = self.first(x.flatten(1))
        return self.last(stream + self.layer(stream))


@pytest.fixture
def model(monkeypatch):
    """`model(build)` registers it as the model `mlp`."""
    return lambda build: monkeypatch.setitem(registry.models._entries, "mlp", Entry(build))


def test_what_has_nothing_to_remove_is_told_with_the_suites_remedy_which_mends_it(model):
    model(lambda *_, generator, widths=None: Residual())
    (line,) = found(("[dtc, magnitude]", "[magnitude]"), NO_SOLVER)
    assert line == (
        "magnitude mlp(widths=[16]) digits 0.5: model mlp: the network has no prunable group of kind simple; "
        "write {name: magnitude, groups: coupled} or {name: magnitude, groups: approximate}; "
        "see `dtcbench list --groups`"
    )
    assert attempt(task(cell("magnitude"))).record["reason"].endswith(line.partition(": ")[2])
    assert found(("[dtc, magnitude]", "[{name: magnitude, groups: coupled}]"), NO_SOLVER) == []
    assert found(("[dtc, magnitude]", "[{name: dense, stream: 1}]"), NO_SOLVER) == []


ABSENT = Package("a_package_that_nobody_has", {})


@needs(ABSENT)
def of_a_package(*_, generator, widths=None):
    ABSENT.module()


def away(*_, generator, widths=None):
    raise AbsentError("not here")


@pytest.mark.parametrize(("build", "what"), [(of_a_package, ABSENT.missing), (away, "not here")])
def test_of_a_network_that_cannot_be_built_here_a_note_says_so_as_a_node_may_have_it(model, build, what):
    model(build)
    note = feasible(expand(parse(TINY, "suite.yaml")), "suite.yaml").notes[-1]
    assert what in note and note.endswith("; whether its cells can be run is not known before")


def test_an_architecture_that_an_installed_library_lacks_is_refused_with_near_names(model):
    @needs(Package("json", {}))
    def build(*_, generator, widths=None):
        refuse_unknown("mlp", "resnet81", ["resnet18", "vgg11"])

    model(build)
    assert found() == ["model mlp: unknown architecture 'resnet81'; did you mean 'resnet18'?"]


MISTAKES = {
    "of its constructor": (lambda: int("two"), "ValueError: invalid literal for int() with base 10: 'two'"),
    "of a layer": (
        lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.Linear(9, 10)),
        "layer 2 (Linear): RuntimeError: ",
    ),
    "of the answer": (lambda: torch.nn.Flatten(), "forward gave a tensor [1, 64] and not logits [1, 10]"),
}


@pytest.mark.parametrize(("build", "what"), MISTAKES.values(), ids=MISTAKES.keys())
@pytest.mark.parametrize("methods", ["[magnitude]", "[dense]"])
def test_a_network_that_cannot_be_built_or_traced_is_refused_with_the_layer(model, build, what, methods):
    model(lambda *_, generator, widths=None: build())
    (line,) = found(("[dtc, magnitude]", methods), NO_SOLVER)
    assert line.startswith(f"model mlp(widths=[16]) on samples of shape 1×8×8: {what}")
    assert line.endswith("or mend the model: `dtcbench selftest mlp` tries it")


def test_a_network_that_cannot_be_followed_is_refused_and_not_raised(model, monkeypatch):
    def endless(*_):
        raise CompressionError("a forward pass of more than 200000 operations is not followed")

    monkeypatch.setattr("dtcbench.training.surgery.propagate", endless)
    (line,) = found()
    assert line == "model mlp: a forward pass of more than 200000 operations is not followed"


def test_images_that_are_too_small_for_a_packages_network_get_the_size_that_fits(model):
    @needs(Package("json", {}))
    def build(*_, generator, widths=None, size: int = 0):
        network = torch.nn.Sequential(torch.nn.Conv2d(1, 10, 33), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        fit_images(network, size)
        return network

    model(build)
    (line,) = found()
    assert "layer 0 (Conv2d): RuntimeError: " in line
    assert line.endswith("; write size: 48, to which the network's images are then brought")


def test_a_network_larger_than_the_machine_is_refused_with_numbers_before_it_is_built(monkeypatch):
    monkeypatch.setattr("dtcbench.cores.memory", lambda: 5_000_000)
    assert found(("[16]", "[100, 20000]")) == [
        "model mlp(widths=[100,20000]): its first 3 parameter tensors have 2,006,500 numbers and take 8.0 MB, without "
        "gradients and the optimiser's state; this machine has 5.0 MB; make the network smaller"
    ]


def test_a_method_that_reads_scales_is_refused_on_a_network_that_has_none():
    (line,) = found(("[dtc, magnitude]", "[slimming]"), NO_SOLVER)
    assert line == (
        "slimming mlp(widths=[16]) digits 0.5: model mlp: group hidden0, width 16: "
        "no normalisation of the group has scales; use a network with batch norm"
    )


def test_mistaken_data_are_refused_and_absent_ones_noted(monkeypatch):
    def loading(error):
        def load():
            raise error

        monkeypatch.setitem(registry.datasets._entries, "digits", Entry(load))
        return found()

    assert loading(DatasetError("vocabulary 4 has no token 6")) == ["digits: vocabulary 4 has no token 6"]
    assert loading(KeyError("x")) == ["digits: KeyError: 'x'"]
    assert loading(FileNotFoundError("no such file")) == []


def refusal(planned):
    """How the cell ends when it is run, without the solver's name; None where it comes through."""
    try:
        run(context(planned))
    except CompressionError as error:
        return str(error).replace(", solver lars:", ":").replace(", solver scs:", ":")
    return None


@pytest.mark.parametrize("width", [4, 10, 25, 26, 32])
@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("method", ["random", "scratch", "dense-matched", "dtc-published"])
def test_under_standard_exactly_what_fails_when_run_is_refused_and_in_its_words(method, sparsity, width):
    planned = cell(method, sparsity, widths=[width])
    assert refusal(planned) == obstacle(planned, {"hidden0": width})


@pytest.mark.parametrize(("keep", "stop_width"), [(0.9, 10), (0.95, 8), (0.3, 1), (0.5, 1), (0.99, 8)])
@pytest.mark.parametrize("method", ["random-published", "magnitude-published", "dtc-published"])
def test_under_published_exactly_what_fails_when_run_is_refused_and_in_its_words(method, keep, stop_width):
    planned = published_cell(method, "digits", widths=[24], keep=keep, cycle_steps=1, stop_width=stop_width)
    assert refusal(planned) == obstacle(planned, {"hidden0": 24})


def test_what_is_refused_is_what_the_cell_itself_would_have_met():
    doomed = cell("magnitude", 0.99, widths=[8])
    record = attempt(task(doomed)).record
    assert record["status"] == "error"
    assert obstacle(doomed, {"hidden0": 8}) in record["reason"]
