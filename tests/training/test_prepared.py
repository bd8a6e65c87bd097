"""Samples that are converted once for the cells of a process, and never those of other data."""

from dataclasses import replace

import pytest
import torch
from cells import cell, task, timeless

from dtcbench import registry
from dtcbench.execution.worker import attempt
from dtcbench.record import CellRecord
from dtcbench.training import prepared as room
from dtcbench.training.prepared import prepared

CPU = torch.device("cpu")
DIGITS = registry.datasets.bind("digits", {})()


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(room, "_kept", [])


def test_the_same_content_is_converted_once():
    first, again = (prepared(replace(DIGITS), DIGITS.sha256, CPU) for _ in range(2))
    assert again[0] is first[0] and again[1] is first[1]


def test_other_content_is_converted_and_takes_the_place():
    inverted = replace(DIGITS, train_x=255 - DIGITS.train_x)
    first, other = prepared(DIGITS, DIGITS.sha256, CPU), prepared(inverted, inverted.sha256, CPU)
    assert not torch.equal(other[0].x, first[0].x)
    assert [kept.sha256 for kept in room._kept] == [inverted.sha256]


@pytest.mark.parametrize("split", [0, 1])
def test_samples_that_a_network_wrote_to_are_converted_again(split):
    written = prepared(DIGITS, DIGITS.sha256, CPU)[split].x
    whole = written.clone()
    written[:8].view(-1).mul_(2)
    assert torch.equal(prepared(DIGITS, DIGITS.sha256, CPU)[split].x, whole)


def test_data_above_the_bound_are_not_kept(monkeypatch):
    monkeypatch.setattr(room, "LARGEST", 1000)
    train, _ = prepared(DIGITS, DIGITS.sha256, CPU)
    assert len(train) == len(DIGITS.train_x)
    assert room._kept == []


def test_a_process_that_did_other_cells_before_gives_the_same_record():
    def result(of):
        return timeless(CellRecord.model_validate(attempt(task(of)).record).result)

    fresh = result(cell("dtc", seed=1))
    for other in (cell("taylor"), cell("dtc", widths=(16,)), cell("dense", 0.0)):
        result(other)
    assert result(cell("dtc", seed=1)) == fresh
