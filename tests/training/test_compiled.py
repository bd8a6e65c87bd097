"""`compile: true`: what torch compiles for a training, when, and what it leaves alone."""

import importlib.util
import sysconfig
from dataclasses import replace
from itertools import groupby

import pytest
import torch
from cells import cell, context, timeless
from suites_for_tests import TINY, edited
from test_saved_state import Often, arm, outcome
from torch import nn

from dtcbench import registry
from dtcbench.datasets.augmentation import crop_flip
from dtcbench.energy.segments import windows
from dtcbench.errors import UserError
from dtcbench.execution.requirements import refuse_lacking
from dtcbench.execution.task import Job
from dtcbench.plan.suite import parse
from dtcbench.records.store import Store
from dtcbench.registry import Entry
from dtcbench.training import saved_state
from dtcbench.training.compiled import CompiledPasses
from dtcbench.training.loop import Samples, ShuffledBatches
from dtcbench.training.network import ModelError
from dtcbench.training.protocols import trained

SHORT = {"steps": 12, "cycle_steps": 4, "compile": True}


@pytest.fixture
def traced_only(monkeypatch):
    """Torch traces and divides the passes as it does for compiling, and then computes them by its own kernels."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda code, options, **given: real(code, backend="aot_eager", **given))


@pytest.fixture
def model(monkeypatch):
    """Registers a network under the name `mine`."""

    def register(forward):
        class Mine(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden, self.norm, self.output = nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 10)
                self.calls = 0

            def forward(self, x):
                return self.output(forward(self, self.norm(self.hidden(x.flatten(1))).relu()))

        def make(shape, classes, *, generator):
            torch.manual_seed(0)
            return Mine()

        monkeypatch.setitem(registry.models._entries, "mine", Entry(make, 1, None))

    return register


def test_a_compiled_cell_goes_on_from_a_checkpoint_to_the_same_bits():
    planned, files = arm("dense", sparsity=0.0, options=SHORT), []
    whole = outcome(replace(context(planned), saving=Often(files, 5)))
    assert outcome(replace(context(planned), saved=saved_state.read(files[0]))) == whole
    eager, _ = trained(context(arm("dense", sparsity=0.0, options={**SHORT, "compile": False})))
    assert whole[0]["cycles"][-1]["loss"] == pytest.approx(eager.cycles[-1].loss, rel=1e-5)
    assert (eager.compile_s, eager.reasons["compile_s"]) == (None, "the protocol compiles nothing (compile: false)")


@pytest.mark.usefixtures("traced_only")
def test_passes_are_compiled_before_steps_of_new_shapes_and_never_in_what_is_measured():
    work = context(arm("magnitude", options={**SHORT, "keep": 0.5}))
    result, _ = trained(work)
    phases = [segment.phase for segment in work.phases.segments if segment.phase != "evaluate"]
    assert [phase for phase, _ in groupby(phases)] == ["compile", "train", "compress", "compile", "train"]
    assert result.compile_s == work.phases.seconds("compile") > 0
    work.phases.train_again()
    repeat, _ = trained(work.repeat())
    assert timeless(repeat) == timeless(result)
    assert len(windows([segment for segment in work.phases.segments if segment.training == 1])) == 1


@pytest.mark.usefixtures("traced_only")
@pytest.mark.parametrize("options", [{}, {"precision": "bf16", "accumulate": 2}], ids=["fp32", "bf16 in parts"])
def test_compiling_changes_nothing_that_the_training_goes_on_with(model, options):
    """Statistics of batch norm, generators and gradients: one change of them would change the bits. Dropout draws."""
    model(lambda self, hidden: nn.functional.dropout(hidden, 0.2, self.training))
    steps = {"steps": 24, "cycle_steps": 12, "samples": 330, "clip": 1.0, **options}  # 10 batches, the last one smaller
    eager, compiling = (
        outcome(context(arm("dtc", "mine", options={**steps, "compile": is_on}))) for is_on in (False, True)
    )
    assert compiling[1:] == eager[1:]
    assert compiling[0]["cycles"] == eager[0]["cycles"]


def test_the_batch_to_compile_with_is_none_that_comes_and_draws_nothing_of_theirs():
    def batches():
        samples = Samples(torch.rand(10, 1, 8, 8), torch.zeros(10, dtype=torch.int64))
        return ShuffledBatches(samples, 4, 0, crop_flip)

    torch.manual_seed(0)
    plain = batches()
    torch.manual_seed(0)
    seen = batches()
    for _ in range(7):
        assert seen.example(2).x.shape == (2, 1, 8, 8)
        assert next(seen).x.equal(next(plain).x)
    assert [seen.sizes(count) for count in (1, 2, 9)] == [{4}, {2, 4}, {2, 4}]  # the second of an epoch of 4, 4, 2


@pytest.mark.usefixtures("traced_only")
def test_a_network_that_cannot_be_compiled_as_a_whole_is_an_error_with_the_remedy(model):
    def graph_breaking(self, hidden):
        torch._dynamo.graph_break()
        return hidden

    model(graph_breaking)
    with pytest.raises(ModelError, match=r"model mine: torch cannot compile it as a whole: .*remove protocol.compile"):
        trained(context(arm("random", "mine", options=SHORT)))


@pytest.mark.usefixtures("traced_only")
def test_a_network_that_would_be_compiled_anew_in_a_step_is_an_error_and_no_slower_training(model):
    def counting(self, hidden):
        self.calls += self.training
        return hidden * (self.calls > 0)

    model(counting)
    with pytest.raises(ModelError, match="a training step would have to compile it anew"):
        trained(context(arm("random", "mine", options=SHORT)))


@pytest.mark.usefixtures("traced_only")
def test_every_width_has_a_cache_of_its_own_so_that_no_limit_of_torch_is_met():
    passes, x = CompiledPasses(), torch.ones(2, 4)
    for width in range(1, 10):
        network = nn.Linear(4, width)
        assert passes.turn_to(network, {2}) == [2]
        with passes.compiling(cell("dtc").model, [2], x.device):
            passes(network, x)
        another = nn.Linear(4, width)
        assert passes.turn_to(another, {2}) == []
        with passes.computing(cell("dtc").model):
            assert passes(another, x).equal(another(x))


LACKING = {
    "compiler": ("cpu", lambda patch: patch.setenv("CXX", "no-compiler"), "the compiler no-compiler, and it is not on"),
    "headers": ("cpu", lambda patch: patch.setattr(sysconfig, "get_path", lambda _: "/nowhere"), "python3-dev"),
    "Triton": ("cuda", lambda patch: patch.setattr(importlib.util, "find_spec", lambda _: None), "pip install triton"),
}


@pytest.mark.parametrize(("device", "remove", "told"), LACKING.values(), ids=LACKING)
def test_a_run_says_what_compiling_lacks_before_its_first_training(monkeypatch, tmp_path, device, remove, told):
    suite = parse(edited(TINY, ("cycle_steps: 5", "cycle_steps: 5, compile: true")), "suite.yaml")
    job = replace(Job.of(suite), device=device)
    remove(monkeypatch)
    with pytest.raises(UserError, match=f"suite tiny compiles its training.*{told}.*or remove protocol.compile"):
        refuse_lacking(suite, None, job, Store(tmp_path))
