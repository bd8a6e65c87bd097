"""What NVML tells of the GPUs, and what it says where it cannot."""

import sys
import types
from pathlib import PurePosixPath

import pynvml
import pytest

from dtcbench.energy import nvml
from dtcbench.execution.provenance import gpu_hardware
from dtcbench.unavailable import Unavailable


def error(code):
    return pynvml.NVMLError(code)


def test_gpus_are_described(fake_nvml):
    fake_nvml.uuids = ["GPU-aaaa", "GPU-bbbb"]
    first, second = nvml.gpus()
    assert (first.uuid, second.uuid) == ("GPU-aaaa", "GPU-bbbb")
    assert first == nvml.gpu("GPU-aaaa")
    assert (first.name, first.memory_gib, first.power_limit_w) == ("NVIDIA H200", 140.0, 700.0)
    assert (first.driver, first.counter_mj, first.power_w) == ("570.1", 5e6, 300.0)
    assert not first.mig
    assert not first.simulated


def test_a_gpu_tells_why_its_counter_cannot_be_used(fake_nvml):
    fake_nvml.fails = {"counter": error(pynvml.NVML_ERROR_NO_PERMISSION), "usage": error(pynvml.NVML_ERROR_UNKNOWN)}
    [found] = nvml.gpus()
    assert found.counter_mj == Unavailable("Insufficient Permissions")
    assert found.power_w == Unavailable("Unknown Error")
    assert found.measured_by == Unavailable("no energy counter (Insufficient Permissions), no power (Unknown Error)")
    fake_nvml.fails["fields"] = 250_000
    assert (nvml.gpu("GPU-aaaa").power_w, nvml.gpu("GPU-aaaa").measured_by) == (250.0, "power")


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION])
def test_a_gpu_that_refuses_its_memory_and_its_limit_is_described_all_the_same(fake_nvml, code):
    fake_nvml.names = {"GPU-aaaa": "NVIDIA GB10"}
    fake_nvml.fails = dict.fromkeys(("memory", "power limit"), error(code))
    [found] = nvml.gpus()
    assert found.memory_gib == found.power_limit_w == Unavailable(str(error(code)))
    assert (found.counter_mj, found.measured_by) == (5e6, "counter")
    assert str(found) == "NVIDIA GB10, memory unknown, driver 570.1"
    assert gpu_hardware("cuda")[0] == "NVIDIA H200, 139 GiB, power limit unknown"  # torch's memory


def test_the_unofficial_binding_is_recognised_by_what_its_distribution_provides(monkeypatch):
    def installed(version, *files):
        found = types.SimpleNamespace(version=version, files=[PurePosixPath(file) for file in files])
        monkeypatch.setattr(nvml.metadata, "distribution", lambda name: {"pynvml": found}[name])

    installed("11.5.3", "pynvml/__init__.py", "pynvml/nvml.py")
    assert nvml.foreign_binding() == "pynvml 11.5.3"
    installed("13.0.1", "pynvml.py", "pynvml_utils/smi.py")
    assert nvml.foreign_binding() == "pynvml 13.0.1"
    installed("12.0.0", "pynvml_utils/smi.py")
    assert nvml.foreign_binding() is None
    monkeypatch.undo()
    assert nvml.foreign_binding() is None  # as it is not a dependency


def test_a_lost_gpu_does_not_hide_the_others(fake_nvml):
    fake_nvml.uuids = ["GPU-aaaa", "GPU-bbbb"]
    fake_nvml.fails["index 0"] = error(pynvml.NVML_ERROR_GPU_IS_LOST)
    lost, other = nvml.gpus()
    assert lost == Unavailable("GPU 0: GPU is lost")
    assert other.uuid == "GPU-bbbb"


def test_no_gpu_at_all_has_a_reason(fake_nvml):
    fake_nvml.uuids = []
    assert nvml.gpus() == [Unavailable("NVML shows no GPU")]


@pytest.mark.parametrize("call", ["init", "count"])
def test_nvml_that_fails_gives_no_gpus_and_the_reason(fake_nvml, call):
    fake_nvml.fails[call] = pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    [found] = nvml.gpus()
    assert "Driver Not Loaded" in found.reason


def test_the_reason_for_an_unknown_gpu_names_it(fake_nvml):
    assert nvml.gpu("GPU-cccc") == Unavailable("NVML cannot describe the GPU GPU-cccc: Not Found")


def test_a_gpu_in_mig_mode_says_so_and_one_that_could_be_does_not(fake_nvml):
    fake_nvml.mig_mode = [1, 1]
    assert nvml.gpu("GPU-aaaa").mig
    fake_nvml.mig_mode = [0, 1]
    assert not nvml.gpu("GPU-aaaa").mig


def test_a_gpu_that_does_not_tell_whether_mig_divides_it_is_not_taken_for_a_whole_one(fake_nvml):
    fake_nvml.mig_mode = error(pynvml.NVML_ERROR_UNKNOWN)
    assert nvml.gpus() == [Unavailable("GPU 0: Unknown Error")]
    for without in (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND):
        fake_nvml.mig_mode = error(without)
        assert not nvml.gpu("GPU-aaaa").mig


def test_a_mig_instance_leads_to_its_board(fake_nvml):
    fake_nvml.instances = {"MIG-1234": "GPU-aaaa"}
    assert nvml.board_of_instance("MIG-1234").uuid == "GPU-aaaa"


def test_a_simulated_gpu_is_known_by_its_name(fake_nvml):
    fake_nvml.names = {"GPU-aaaa": "FAKE H100"}
    assert nvml.gpu("GPU-aaaa").simulated


def test_temperature_and_processes_are_read_or_have_a_reason(fake_nvml):
    fake_nvml.processes = [12, 13]
    assert nvml.temperature_c("GPU-aaaa") == 45
    assert nvml.compute_processes("GPU-aaaa") == {12, 13}
    fake_nvml.fails = dict.fromkeys(("temperature", "processes"), error(pynvml.NVML_ERROR_NOT_SUPPORTED))
    assert "temperature GPU-aaaa: Not Supported" in nvml.temperature_c("GPU-aaaa").reason
    assert "compute processes GPU-aaaa: Not Supported" in nvml.compute_processes("GPU-aaaa").reason


def test_a_gpu_that_torch_lacks_has_a_reason():
    assert "torch has no GPU cuda:99" in nvml.torch_gpu("cuda:99").reason


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.gpus() == [Unavailable("the package nvidia-ml-py is not installed")]
