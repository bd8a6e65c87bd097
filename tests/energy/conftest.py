"""A machine with NVIDIA GPUs, as far as pynvml and torch tell of it."""
# ruff: noqa: N802 - the names are pynvml's

import sys
import types

import pynvml
import pytest
import torch

GIB = 2**30


class FakeNvml(types.ModuleType):
    """pynvml with the library's calls replaced and its errors kept.

    Every question may be made to fail by an error in `fails`.
    """

    def __init__(self):
        super().__init__("pynvml")
        self.NVML_FI_DEV_POWER_INSTANT = pynvml.NVML_FI_DEV_POWER_INSTANT
        self.NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
        errors = {n: getattr(pynvml, n) for n in dir(pynvml) if n.startswith("NVMLError")}
        self.__dict__.update(errors)
        self.uuids = ["GPU-aaaa"]
        self.fails = {}
        self.mig_mode = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        self.names = {}
        self.instances = {}
        self.processes = []

    def _answer(self, call, value):
        answer = self.fails.get(call, value)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def nvmlInit(self):
        self._answer("init", None)

    def nvmlSystemGetDriverVersion(self):
        return "570.1"

    def nvmlDeviceGetCount(self):
        return self._answer("count", len(self.uuids))

    def nvmlDeviceGetHandleByIndex(self, index):
        return self._answer(f"index {index}", self.uuids[index])

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid not in (*self.uuids, *self.instances):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def nvmlDeviceGetIndex(self, handle):
        return self.uuids.index(handle)

    def nvmlDeviceGetName(self, handle):
        return self.names.get(handle, "NVIDIA H200")

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle):
        return self.instances[handle]

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._answer("usage", 300_000)

    def nvmlDeviceGetFieldValues(self, handle, fields):
        milliwatts = self._answer("fields", None)
        refused = pynvml.NVML_SUCCESS if milliwatts else pynvml.NVML_ERROR_NOT_SUPPORTED
        return [types.SimpleNamespace(nvmlReturn=refused, value=types.SimpleNamespace(uiVal=milliwatts))]

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return self._answer("temperature", 45)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [types.SimpleNamespace(pid=pid) for pid in self._answer("processes", self.processes)]

    def nvmlDeviceGetUUID(self, handle):
        return handle

    def nvmlDeviceGetMemoryInfo(self, handle):
        return self._answer("memory", types.SimpleNamespace(total=140 * GIB))

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return self._answer("power limit", 700_000)

    def nvmlDeviceGetMigMode(self, handle):
        if isinstance(self.mig_mode, Exception):
            raise self.mig_mode
        return self.mig_mode

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._answer("counter", 5_000_000)


@pytest.fixture
def fake_nvml(monkeypatch):
    """NVML with one GPU, which torch knows as `cuda`."""
    fake = FakeNvml()
    properties = types.SimpleNamespace(uuid="aaaa", name="NVIDIA H200", total_memory=139.7 * GIB)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return fake
