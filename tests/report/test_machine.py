"""What `dtcbench doctor` tells of the data: every dataset's origin, read from none."""

import os

import pytest
from renderings import on_terminal

from dtcbench import cores, registry
from dtcbench.energy import nvml
from dtcbench.errors import UserError
from dtcbench.execution import slurm
from dtcbench.report.machine import machine_view


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The table's text, where the cache is empty and there is no data folder."""
    monkeypatch.setenv("DTCBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("DTCBENCH_DATA_DIR", raising=False)
    registry.datasets.discover()
    monkeypatch.setattr(registry.datasets, "_entries", dict(registry.datasets._entries))

    def told():
        return {line.split("  ")[0]: line for line in on_terminal(machine_view(), 200).splitlines()}

    return told


def test_every_dataset_tells_where_it_would_come_from(told):
    lines = told()
    assert set(registry.datasets.names()) <= set(lines)
    assert "inside scikit-learn" in lines["digits"]
    assert "download from www.cs.toronto.edu" in lines["cifar-10"]


def test_a_plug_in_s_dataset_without_an_origin_is_listed_too(told):
    registry.datasets.register("own")(lambda: None)
    assert f"as {__name__} has it" in told()["own"]


def test_cores_that_this_process_may_not_use_are_told(told, monkeypatch):
    monkeypatch.setattr(cores, "usable", lambda: 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    line = told()["processor"]
    assert ", 3 cores, " in line
    assert "3 of 8 cores usable" in line


def test_an_unofficial_binding_of_nvml_is_told_with_the_remedy(told, monkeypatch):
    assert "NVML's binding" not in told()
    monkeypatch.setattr(nvml, "foreign_binding", lambda: "pynvml 11.5.3")
    assert "pynvml 11.5.3, an unofficial package, provides the module pynvml" in told()["NVML's binding"]


def test_a_login_node_tells_what_its_slurm_offers(told, monkeypatch):
    offer = slurm.parsed("gpu*|4|idle|64|512000|gpu:h100:8|2-00:00:00\n")
    monkeypatch.setattr(slurm, "partitions", lambda: offer)
    assert "4 × 64 CPUs, 512000 MB, h100:8 GPUs; idle; limit 2-00:00:00" in told()["Slurm: gpu*"]


def test_a_slurm_that_does_not_answer_is_said_and_none_is_no_line(told, monkeypatch):
    def silent():
        raise UserError("sinfo: unable to contact the controller")

    monkeypatch.setattr(slurm, "partitions", silent)
    assert "does not answer: sinfo: unable" in told()["Slurm"]
    monkeypatch.setattr(slurm, "partitions", lambda: None)
    assert not any("Slurm" in line for line in told().values())
