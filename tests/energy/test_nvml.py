"""What NVML tells of the GPUs, and what it says where it cannot."""

import sys

import pynvml
import pytest

from dtcbench.energy import nvml
from dtcbench.energy.nvml import NvmlError


def error(code):
    return pynvml.NVMLError(code)


def test_gpus_are_described(fake_nvml):
    fake_nvml.uuids = ["GPU-aaaa", "GPU-bbbb"]
    state = nvml.gpus()
    assert state.reason is None
    assert [g.uuid for g in state.gpus] == ["GPU-aaaa", "GPU-bbbb"]
    assert state.gpus[0] == nvml.gpu("GPU-aaaa")
    first = state.gpus[0]
    assert (first.name, first.memory_gib, first.power_limit_w) == ("NVIDIA H200", 140.0, 700.0)
    assert (first.driver, first.counter_problem, first.power_problem) == ("570.1", None, None)
    assert not first.mig
    assert not first.simulated


def test_a_gpu_tells_why_its_counter_cannot_be_used(fake_nvml):
    fake_nvml.fails = {"counter": error(pynvml.NVML_ERROR_NO_PERMISSION), "usage": error(pynvml.NVML_ERROR_UNKNOWN)}
    [found] = nvml.gpus().gpus
    assert (found.counter_problem, found.power_problem) == ("Insufficient Permissions", "Unknown Error")


def test_an_unknown_power_limit_is_none(fake_nvml):
    fake_nvml.fails["power limit"] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert nvml.gpu("GPU-aaaa").power_limit_w is None


def test_a_lost_gpu_does_not_hide_the_others(fake_nvml):
    fake_nvml.uuids = ["GPU-aaaa", "GPU-bbbb"]
    fake_nvml.fails["index 0"] = error(pynvml.NVML_ERROR_GPU_IS_LOST)
    state = nvml.gpus()
    assert [g.uuid for g in state.gpus] == ["GPU-bbbb"]
    assert state.reason == "GPU 0: GPU is lost"


def test_no_gpu_at_all_has_a_reason(fake_nvml):
    fake_nvml.uuids = []
    assert nvml.gpus() == nvml.NvmlState((), "NVML shows no GPU")


@pytest.mark.parametrize("call", ["init", "count"])
def test_nvml_that_fails_gives_no_gpus_and_the_reason(fake_nvml, call):
    fake_nvml.fails[call] = pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    state = nvml.gpus()
    assert state.gpus == ()
    assert "Driver Not Loaded" in state.reason


def test_an_unknown_gpu_is_an_nvml_error_that_names_it(fake_nvml):
    with pytest.raises(NvmlError, match="NVML cannot describe the GPU GPU-cccc: Not Found"):
        nvml.gpu("GPU-cccc")


def test_a_gpu_in_mig_mode_says_so_and_one_that_could_be_does_not(fake_nvml):
    fake_nvml.mig_mode = [1, 1]
    assert nvml.gpu("GPU-aaaa").mig
    fake_nvml.mig_mode = [0, 1]
    assert not nvml.gpu("GPU-aaaa").mig


def test_a_gpu_that_does_not_tell_whether_mig_divides_it_is_not_taken_for_a_whole_one(fake_nvml):
    fake_nvml.mig_mode = error(pynvml.NVML_ERROR_UNKNOWN)
    assert nvml.gpus() == nvml.NvmlState((), "GPU 0: Unknown Error")
    for without in (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND):
        fake_nvml.mig_mode = error(without)
        assert not nvml.gpu("GPU-aaaa").mig


def test_a_mig_instance_leads_to_its_board(fake_nvml):
    fake_nvml.instances = {"MIG-1234": "GPU-aaaa"}
    assert nvml.board_of_instance("MIG-1234").uuid == "GPU-aaaa"


def test_a_simulated_gpu_is_known_by_its_name(fake_nvml):
    fake_nvml.names = {"GPU-aaaa": "FAKE H100"}
    assert nvml.gpu("GPU-aaaa").simulated


def test_temperature_and_processes_are_told_or_are_nvml_errors(fake_nvml):
    fake_nvml.processes = [12, 13]
    assert nvml.temperature_c("GPU-aaaa") == 45
    assert nvml.compute_processes("GPU-aaaa") == {12, 13}
    fake_nvml.fails = dict.fromkeys(("temperature", "processes"), error(pynvml.NVML_ERROR_NOT_SUPPORTED))
    with pytest.raises(NvmlError, match="temperature GPU-aaaa: Not Supported"):
        nvml.temperature_c("GPU-aaaa")
    with pytest.raises(NvmlError, match="compute processes GPU-aaaa: Not Supported"):
        nvml.compute_processes("GPU-aaaa")


def test_a_gpu_that_torch_lacks_is_an_nvml_error():
    with pytest.raises(NvmlError, match="torch has no GPU cuda:99"):
        nvml.torch_gpu("cuda:99")


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.gpus().reason == "the package nvidia-ml-py is not installed"
