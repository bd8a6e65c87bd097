"""Samples that are converted batch by batch: the same numbers as all at once, without holding them."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cells import cell, choice, context, timeless

from dtcbench import registry
from dtcbench.datasets.splits import Splits
from dtcbench.training import prepared as room
from dtcbench.training.loop import stored, to_device
from dtcbench.training.prepared import prepared
from dtcbench.training.protocols import run

CPU = torch.device("cpu")
DIGITS = registry.datasets.bind("digits", {})()
TEXT = np.random.default_rng(0).integers(0, 600, 4000).astype(np.uint16)
TOKENS = Splits.from_tokens(TEXT[:3000], TEXT[3000:], 16, 600)


@pytest.mark.parametrize("splits", [DIGITS, TOKENS], ids=["images", "tokens"])
def test_every_batch_is_what_it_would_be_if_all_were_converted(splits):
    index = torch.tensor([3, 0, 7, 7])
    for whole, part in zip(to_device(splits, CPU), stored(splits, CPU), strict=True):
        pairs = [(whole.take(index), part.take(index))]
        pairs += zip(whole.first(50).batches(20), part.first(50).batches(20), strict=True)
        for one, other in pairs:
            assert torch.equal(one.x, other.x) and torch.equal(one.y, other.y)
            assert one.x.dtype == other.x.dtype and one.y.dtype == other.y.dtype


@pytest.mark.parametrize("method", ["dtc", "taylor"])
def test_a_cell_has_the_same_result_to_the_last_bit(method):
    held = context(cell(method, course=100))
    train, test = stored(held.splits, CPU)
    batchwise = replace(held, train=train, test=test, evaluated=[])
    assert timeless(run(held)) == timeless(run(batchwise))


def test_tokens_of_a_vocabulary_have_an_accuracy_and_no_bits_per_character():
    model = choice(registry.models, "gpt-nano", depth=1, heads=2, width=8)
    result = run(context(replace(cell("dense", 0.0), model=model), TOKENS))
    assert 0 <= result.accuracy < 0.1  # random ids of 600
    assert result.bits_per_character is None
    assert result.reasons["bits_per_character"] == "the text's tokens are not characters"


def test_samples_above_the_bound_are_converted_batch_by_batch(monkeypatch):
    size = sum(tensor.nbytes for samples in to_device(DIGITS, CPU) for tensor in (samples.x, samples.y))
    for bound, is_held in ((size, True), (size - 1, False)):
        monkeypatch.setattr(room, "LARGEST", bound)
        monkeypatch.setattr(room, "_kept", [])
        prepared(DIGITS, DIGITS.sha256, CPU)
        assert bool(room._kept) is is_held


IN_LITTLE_MEMORY = """
import re, resource, sys
from dataclasses import replace
from pathlib import Path
from cells import cell, choice, task
from dtcbench import registry
from dtcbench.datasets.own import resolve
from dtcbench.execution.worker import attempt
from dtcbench.training import prepared

folder, prepared.LARGEST = Path(sys.argv[1]), int(sys.argv[2])
attempt(task(cell("magnitude")))  # torch loads much when it is first used
in_use = int(re.search(r"VmData:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (in_use + (100 << 20),) * 2)  # mapped files do not count
data = choice(registry.datasets, "file", **resolve(folder, {}))
report = attempt(task(replace(cell("magnitude", widths=(8,)), dataset=data)))
print(report.record["status"], report.record["reason"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts what a process holds on Linux only")
@pytest.mark.parametrize(("largest", "status"), [(1 << 30, "oom"), (1 << 26, "ok")], ids=["all at once", "batches"])
def test_a_cell_trains_on_more_data_than_its_memory_holds(tmp_path, monkeypatch, largest, status):
    monkeypatch.setenv("DTCBENCH_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for name, count in {"train": 500, "test": 20}.items():  # 131 MB as float32, in a file with a hole
        images = np.lib.format.open_memmap(tmp_path / f"data/{name}_x.npy", "w+", np.uint8, (count, 1, 256, 256))
        images[:, :, :2] = np.arange(count)[:, None, None, None] % 251
        np.save(tmp_path / f"data/{name}_y.npy", np.arange(count) % 2)
    script = [sys.executable, "-c", IN_LITTLE_MEMORY, str(tmp_path / "data"), str(largest)]
    done = subprocess.run(script, capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=200)
    assert done.stdout.split()[:1] == [status], done.stdout + done.stderr
