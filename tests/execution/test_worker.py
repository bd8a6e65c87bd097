import os
import pickle
import random
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import cell, choice, context, task
from threadpoolctl import threadpool_info
from torch import nn

from dtcbench import registry
from dtcbench.datasets.digits import digits
from dtcbench.datasets.splits import DatasetError
from dtcbench.energy.meter import EnergyMeter
from dtcbench.execution import worker
from dtcbench.execution.worker import attempt
from dtcbench.plan.metering import Metering
from dtcbench.record import CellRecord
from dtcbench.registry import Entry, Plugin
from dtcbench.training import flops, training_run
from dtcbench.training.prepared import prepared
from dtcbench.training.protocols import run, trained
from dtcbench.training.training_run import warm_up


def record_of(the_cell, device="cpu", plugins=()):
    return CellRecord.model_validate(attempt(task(the_cell, device, plugins)).record)


def test_an_ok_cell_leaves_a_whole_record_with_provenance_and_no_joules():
    record = record_of(cell("dtc"))
    assert record.status == "ok"
    assert record.energy.energy_j is None
    assert record.energy.method == "none"
    assert record.energy.window_s == pytest.approx(record.result.train_s + record.result.compress_s)
    assert record.provenance.device == "cpu"
    assert record.provenance.dataset_sha256 == digits().sha256


def test_a_cell_that_would_get_no_required_joules_is_refused_before_it_trains(monkeypatch):
    monkeypatch.setattr(worker, "trained", lambda work: pytest.fail("it trained"))
    metered = task(cell("random"), "cuda", metering=Metering(required=True))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    record = CellRecord.model_validate(attempt(metered).record)
    assert record.status == "error" and record.detail == ""
    assert record.reason.endswith("would get none: CUDA_VISIBLE_DEVICES hides every GPU from the cell")


def out_of_memory():
    """What torch raises when the host has no more."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**15)
    return raised.value


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (MemoryError("host"), "oom", "MemoryError: host"),
        (out_of_memory(), "oom", "RuntimeError: [enforce fail"),
        (torch.cuda.OutOfMemoryError("tried to allocate\nmore"), "oom", "OutOfMemoryError: tried to allocate"),
        (DatasetError("mnist: file x is truncated"), "error", "mnist: file x is truncated"),
        (ZeroDivisionError("by zero"), "error", "ZeroDivisionError: by zero"),
    ],
)
def test_an_exception_comes_back_as_a_status_and_a_reason(monkeypatch, error, status, reason):
    def fail(work):
        raise error

    monkeypatch.setattr(worker, "trained", fail)
    record = record_of(cell("random"))
    assert record.status == status
    assert record.reason.startswith(reason)
    assert record.result is None


def test_a_programming_error_keeps_its_traceback_and_a_users_mistake_needs_none(monkeypatch):
    def fail(work):
        raise KeyError("oops")

    assert record_of(cell("magnitude", 0.99, widths=[8])).detail == ""
    monkeypatch.setattr(worker, "trained", fail)
    detail = record_of(cell("random")).detail
    assert "KeyError: 'oops'" in detail
    assert 'File "dtcbench/execution/worker.py"' in detail
    assert 'File "/' not in detail


def test_what_a_model_raises_is_told_in_one_line_and_its_author_has_the_traceback(monkeypatch):
    def raises(*_, widths=None, bias=None, **__):
        raise TypeError("oops\nand more")

    monkeypatch.setitem(registry.models._entries, "mlp", Entry(raises))
    record = record_of(cell("random"))
    assert record.status == "error"
    assert record.reason.startswith("model mlp(widths=[32]) on samples of shape 1×8×8: TypeError: oops; ")
    assert "\n" not in record.reason
    assert "TypeError: oops" in record.detail


def test_logits_of_another_shape_end_a_cell_with_what_came_out(monkeypatch):
    wrong = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))
    monkeypatch.setitem(registry.models._entries, "mlp", Entry(lambda *_, widths=None, bias=None, **__: wrong))
    record = record_of(cell("random"))
    assert "forward gave a tensor [1, 4] and not logits [1, 10]" in record.reason
    assert record.detail == ""


class Looking(nn.Module):
    """Looks at values, and keeps what it computed."""

    def __init__(self, width=32):
        super().__init__()
        self.hidden, self.output = nn.Linear(64, width), nn.Linear(width, 10)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        self.kept = self.hidden(x.flatten(1)).relu()
        return self.output(self.kept) / (1 + x.max().item())


def in_place_of_mlp(monkeypatch, network):
    monkeypatch.setitem(registry.models._entries, "mlp", Entry(lambda *_, widths=None, bias=None, **__: network()))


@pytest.mark.parametrize("method", ["dense", "random", "scratch", "dense-matched"])
def test_a_network_that_looks_at_values_and_keeps_activations_has_the_flops_of_its_layers(monkeypatch, method):
    expected = record_of(cell(method)).result
    in_place_of_mlp(monkeypatch, Looking)
    result = record_of(cell(method)).result
    for count in ("training_flops", "inference_flops", "steps"):
        assert getattr(result, count) == getattr(expected, count)


def test_a_network_of_any_class_is_counted_once_for_each_of_its_widths(monkeypatch):
    counted = []

    def counting(network, example):
        counted.append(network.output.in_features)
        return 1

    monkeypatch.setattr(flops, "_training_flops", counting)
    in_place_of_mlp(monkeypatch, Looking)
    cycles = record_of(cell("random")).result.cycles
    widths = [32, *(layer.width_after for cycle in cycles for layer in cycle.layers)]
    assert counted == sorted(set(widths), reverse=True)
    assert len(cycles) > len(counted)


class Unlearned(Looking):
    def forward(self, x):
        if not torch.is_grad_enabled():
            raise TypeError("only in training\nand more")
        return super().forward(x)


class Frozen(Looking):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Unlearned, "model mlp(widths=[32]) on samples of shape 1×8×8: Unlearned: TypeError: only in training; "),
        (Frozen, "model mlp: no gradient reaches its parameters; give forward an output that depends on a trainable"),
    ],
)
def test_a_network_that_cannot_be_counted_is_refused_before_it_trains(monkeypatch, network, reason):
    in_place_of_mlp(monkeypatch, network)
    monkeypatch.setattr(training_run, "train", lambda *_: pytest.fail("it trained"))
    record = record_of(cell("random"))
    assert record.status == "error"
    assert record.reason.startswith(reason)


def test_a_model_beyond_the_memory_is_out_of_memory_and_no_mistake(monkeypatch):
    def large(*_, widths=None, bias=None, **__):
        raise MemoryError

    monkeypatch.setitem(registry.models._entries, "mlp", Entry(large))
    assert record_of(cell("random")).status == "oom"


def state_of_the_process():
    """Everything that a cell sets, or that what it calls may set."""
    backends, tiny = torch.backends, torch.tensor(sys.float_info.min, dtype=torch.float64)
    return {
        "environment": dict(os.environ),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "BLAS": {pool["filepath"]: pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"},
        "denormals are zero": (tiny / 2).item() == 0,
        "matrix products": torch.get_float32_matmul_precision(),
        "TF32": (backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32),
        "precisions": [
            part.fp32_precision
            for part in (
                *(backends, backends.cuda.matmul, backends.cudnn, backends.cudnn.conv, backends.cudnn.rnn),
                *(backends.mkldnn, backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn),
            )
        ],
        "cuDNN": (backends.cudnn.benchmark, backends.cudnn.deterministic, backends.cudnn.enabled),
        "torch's generator": torch.get_rng_state().tolist(),
        "NumPy's generator": pickle.dumps(np.random.get_state()),  # noqa: NPY002 - of a caller who uses it
        "Python's generator": random.getstate(),
    }


@pytest.fixture(params=["torch's defaults", "a caller's own settings"])
def caller(request, monkeypatch):
    """A process with settings of either kind; as torch starts it, afterwards."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    threads = torch.get_num_threads()
    if request.param == "a caller's own settings":
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = False


RUDE = Plugin(
    "rude",
    """
import random
import numpy, torch
from dtcbench.methods.random import Random
from dtcbench.registry import register_method

@register_method("rude")
class Rude(Random):
    "Sets what is its caller's."
    def scores(self, group):
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)
        torch.manual_seed(1), numpy.random.seed(1), random.seed(1)
        return super().scores(group)
""",
)


@pytest.mark.parametrize("method", ["dtc", "rude"])
@pytest.mark.parametrize("error", [None, KeyError("oops")])
def test_a_cell_leaves_its_callers_process_as_it_was(caller, monkeypatch, method, error):
    def train(work):
        result = trained(work)
        assert torch.are_deterministic_algorithms_enabled()
        if error:
            raise error
        return result

    RUDE.load()
    record_of(cell("dtc"))  # what is imported on first use has been
    before = state_of_the_process()
    monkeypatch.setattr(worker, "trained", train)
    assert record_of(cell(method)).status == ("error" if error else "ok")
    assert state_of_the_process() == before


def test_divergence_is_its_own_status():
    record = record_of(cell("dense", 0.0, lr=1e30))
    assert record.status == "diverged"
    assert "lower the learning rate" in record.reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_cell_without_a_gpu_says_so():
    record = record_of(cell("random"), device="cuda")
    assert record.status == "error"
    assert "resources.gpus: 0" in record.reason


def test_a_plugins_method_works_and_its_source_is_in_the_provenance(monkeypatch):
    source = (
        "import numpy as np\nfrom dtcbench.dtc.selection import Method, Scores\n"
        "from dtcbench.registry import register_method\n\n\n"
        "@register_method('first')\nclass First(Method):\n    drop = 'largest'\n\n"
        "    def scores(self, group):\n        return Scores(np.arange(group.width, dtype=float))\n"
    )
    plugin = registry.Plugin("first_neurons", source)
    plugin.load()
    record = record_of(cell("first"), plugins=(plugin,))
    assert record.status == "ok"
    assert list(record.provenance.plugins) == ["first_neurons"]


def test_a_plugins_network_that_uses_the_global_generator_is_reproducible_and_paired():
    source = (
        "from torch import nn\nfrom dtcbench.registry import register_model\n\n\n"
        "@register_model('careless')\ndef careless(input_shape, num_classes, *, generator):\n"
        '    """Initialises itself."""\n'
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, num_classes))\n"
    )
    plugin = registry.Plugin("careless_networks", source)
    plugin.load()
    careless = replace(cell("random"), model=choice(registry.models, "careless"))
    before = torch.get_rng_state()
    accuracies = {record_of(careless, plugins=(plugin,)).result.accuracy for _ in range(3)}
    assert len(accuracies) == 1
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("scores", "select"),
    [
        ("np.ones(group.width - 1)", ""),
        ("np.full(group.width, np.nan)", ""),
        ("np.ones(group.width)", "    def select(self, scores, group):\n        return np.zeros(16, dtype=np.int64)\n"),
    ],
)
def test_a_method_that_breaks_its_contract_ends_the_cell_and_is_never_recorded(scores, select):
    name = f"broken-{abs(hash((scores, select)))}"
    source = (
        "import numpy as np\nfrom dtcbench.dtc.selection import Method, Scores\n"
        f"from dtcbench.registry import register_method\n\n\n@register_method('{name}')\nclass Broken(Method):\n"
        f"    drop = 'largest'\n\n    def scores(self, group):\n        return Scores({scores})\n\n{select}"
    )
    plugin = registry.Plugin(name.replace("-", "_"), source)
    plugin.load()
    record = record_of(cell(name), plugins=(plugin,))
    assert record.status == "error"
    assert "cycle 0, group hidden0, width 32" in record.reason
    assert "the method" in record.reason


def test_a_broken_plugin_ends_the_cell_with_its_name():
    record = record_of(cell("random"), plugins=(registry.Plugin("broken", "1/0"),))
    assert record.status == "error"
    assert "broken.py:1: ZeroDivisionError" in record.reason


class Patient:
    """A meter that has seen enough after so many trainings, and keeps what it was shown."""

    def __init__(self, trainings):
        self.trainings, self.phases, self.flags, self.closed = trainings, None, None, False
        self.asked = 0

    def settle(self):
        assert not torch.cuda.is_initialized()

    def idle_with_context(self):
        assert self.asked == 0, "the network was trained before it"

    def enough(self, phases):
        self.asked += 1
        assert self.asked <= self.trainings, "asked again after it had seen enough"
        return len({segment.training for segment in phases.segments}) >= self.trainings

    def reading(self, phases, flags):
        self.phases, self.flags = phases, flags
        return EnergyMeter.without("a meter made for a test").reading(phases, flags)

    def close(self):
        self.closed = True


@pytest.fixture
def patient(monkeypatch):
    def patient(trainings):
        meter = Patient(trainings)
        monkeypatch.setattr(worker, "open_meter", lambda *_: meter)
        return meter

    return patient


def phases_of(meter, training):
    return [s.phase for s in meter.phases.segments if s.training == training]


def test_repeats_train_and_compress_as_the_first_training_did_and_evaluate_nothing(patient):
    meter = patient(3)
    record_of(cell("dtc"))
    first = phases_of(meter, 0)
    assert "evaluate" in first
    of_training = [phase for phase in first if phase != "evaluate"]
    assert phases_of(meter, 1) == phases_of(meter, 2) == of_training
    assert meter.flags == []
    assert meter.closed


def test_repeats_change_nothing_of_the_result(patient):
    alone = record_of(cell("dtc")).result
    patient(3)
    repeated = record_of(cell("dtc")).result
    timeless = {"train_s", "compress_s", "evaluate_s", "cycles"}
    assert repeated.model_dump(exclude=timeless) == alone.model_dump(exclude=timeless)
    assert worker.same_training(repeated, alone)
    assert repeated.evaluate_s > 0  # the first training's, as all seconds are


def test_a_repeat_counts_no_flops_between_its_phases_which_would_cut_its_window(monkeypatch):
    counted, count = [], flops._counter
    monkeypatch.setattr(flops, "_structure", lambda *_: None)  # as of a class that may do anything
    monkeypatch.setattr(flops, "_counter", lambda *given: counted.append(given) or count(*given))
    work = context(cell("random"))
    run(work)
    before = len(counted)
    assert before > 2  # once for each width
    run(work.repeat())
    assert len(counted) == before


def test_a_repeat_that_takes_another_course_is_flagged(patient, monkeypatch):
    meter, alike = patient(3), iter([False, True])
    monkeypatch.setattr(worker, "same_training", lambda one, other: next(alike))
    record_of(cell("random"))
    assert meter.flags == ["not-repeatable"]  # though the second repeat was as the first training


def test_another_loss_or_another_neuron_is_another_course():
    one = record_of(cell("random")).result
    first, *later = one.cycles
    other_loss = first.model_copy(update={"loss": first.loss + 1e-9})
    other_layer = first.layers[0].model_copy(update={"kept_sha256": "0" * 64})
    other_neurons = first.model_copy(update={"layers": [other_layer]})
    assert worker.same_training(one, one)
    for cycle in (other_loss, other_neurons):
        assert not worker.same_training(one, one.model_copy(update={"cycles": [cycle, *later]}))


def test_a_failed_cell_closes_its_meter_and_has_no_energy(patient):
    meter = patient(1)
    record = record_of(cell("dtc", lr=1e30))
    assert record.status == "diverged"
    assert record.energy is None
    assert record.reasons["energy"].startswith("the cell ended before: ")
    assert meter.closed


def test_a_network_that_warms_up_changes_nothing_of_the_cell():
    work = context(cell("dtc"))
    before = run(work)
    warm_up(work)
    assert worker.same_training(run(context(cell("dtc"))), before)


def test_on_a_gpu_a_network_warms_up_first_and_both_edges_of_every_segment_wait_for_the_device(patient, monkeypatch):
    meter, log, cpu = patient(2), [], torch.device("cpu")
    monkeypatch.setattr(worker, "_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(worker, "prepared", lambda splits, sha256, device: prepared(splits, sha256, cpu))
    monkeypatch.setattr(worker, "warm_up", lambda work: log.append("warm-up"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append("waited"))
    assert record_of(cell("random")).status == "ok"
    assert log == ["warm-up", "waited", *["waited"] * 2 * len(meter.phases.segments)]


def test_warming_up_takes_steps_of_the_cells_batch_size_outside_of_any_phase(monkeypatch):
    work, steps = context(cell("dtc")), []
    monkeypatch.setattr(training_run, "step_of", lambda *recipe: lambda batch: steps.append(len(batch)))
    warm_up(work)
    assert steps == [32, 32, 32]
    assert work.phases.segments == ()


def test_the_gpu_is_measured_idle_before_anything_of_the_cell_looks_at_it(patient, monkeypatch):
    meter, order, collect = patient(1), [], worker.collect
    monkeypatch.setattr(meter, "settle", lambda: order.append("settled"))
    monkeypatch.setattr(worker, "collect", lambda *facts: order.append("looked") or collect(*facts))
    record_of(cell("random"))
    assert order == ["settled", "looked"]
