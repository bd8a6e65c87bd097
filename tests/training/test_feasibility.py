"""A plan knows which cells cannot be run, before the first one is."""

import pytest
import torch
from cells import cell, context, published_cell, task
from suites_for_tests import TINY, edited

from dtcbench import registry
from dtcbench.errors import CompressionError, UserError
from dtcbench.execution.worker import attempt
from dtcbench.models.packages import Package, needs, refuse_unknown
from dtcbench.plan import shipped
from dtcbench.plan.grid import expand
from dtcbench.plan.suite import load, parse
from dtcbench.registry import Entry
from dtcbench.training.feasibility import impossible, misnamed, obstacle
from dtcbench.training.protocols import run

NO_SOLVER = ("    solvers: [lars]\n", "")


def found(*edits):
    return impossible(expand(parse(edited(TINY, *edits), "suite.yaml")))


def test_an_ordinary_suite_has_nothing_against_it():
    assert found() == []


def test_a_layer_that_would_be_left_without_a_neuron_is_named_with_the_cycle():
    lines = found(("[16]", "[16, 4]"), ("[0.5]", "[0.5, 0.9]"), ("[dtc, magnitude]", "[magnitude]"), NO_SOLVER)
    assert lines == [
        "magnitude mlp(widths=[16,4]) digits 0.9: cycle 4, group hidden1, width 1, 0 to keep: "
        "0 of 1 neurons would be kept; lower the sparsity or widen the layer"
    ]


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
    (line,) = impossible(expand(parse(suite, "suite.yaml")))
    assert "cycle 2, group hidden0, width 2, keep 0.4: 0 of 2 neurons would be kept; raise keep or stop_width" in line


@pytest.mark.parametrize("name", shipped.names())
def test_every_shipped_suite_can_be_run(name):
    assert impossible(expand(load(name))) == []


def test_every_exclusion_for_measurements_in_the_shipped_suites_is_needed():
    suite = load("lenet")
    unexcluded = suite.model_copy(update={"exclude": []})
    (line,) = impossible(expand(unexcluded))
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


def test_of_a_network_that_cannot_be_built_here_nothing_is_said(model):
    def away(*_, generator, widths=None):
        raise UserError("not here")

    model(away)
    assert found() == []


@pytest.mark.parametrize(("package", "lines"), [("json", 1), ("a_library_that_nobody_has", 0)])
def test_an_architecture_that_an_installed_library_lacks_is_refused_with_near_names(model, package, lines):
    library = Package(package, {})

    @needs(library)
    def build(*_, generator, widths=None):
        library.module()
        refuse_unknown("mlp", "resnet81", ["resnet18", "vgg11"])

    model(build)
    refused = misnamed(expand(parse(TINY, "suite.yaml")))
    assert refused == ["model mlp: unknown architecture 'resnet81'; did you mean 'resnet18'?"][:lines]


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
