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

    `counter` lists the values (mJ) of one reading after another; an error in it is raised. The
    last value stays.
    """

    def __init__(self):
        super().__init__("pynvml")
        errors = {n: getattr(pynvml, n) for n in dir(pynvml) if n.startswith("NVMLError")}
        self.__dict__.update(errors)
        self.counter = [0]
        self.uuids = ["GPU-aaaa"]
        self.fails = {}
        self.mig_mode = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        self.asked_for = []

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
        self.asked_for.append(uuid)
        if uuid not in self.uuids:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def nvmlDeviceGetName(self, handle):
        return "NVIDIA H200"

    def nvmlDeviceGetUUID(self, handle):
        return handle

    def nvmlDeviceGetMemoryInfo(self, handle):
        return types.SimpleNamespace(total=140 * GIB)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return self._answer("power limit", 700_000)

    def nvmlDeviceGetMigMode(self, handle):
        if isinstance(self.mig_mode, Exception):
            raise self.mig_mode
        return self.mig_mode

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        value = self.counter.pop(0) if len(self.counter) > 1 else self.counter[0]
        if isinstance(value, Exception):
            raise value
        return value


@pytest.fixture
def fake_nvml(monkeypatch):
    """NVML with one GPU, which torch knows as `cuda`."""
    fake = FakeNvml()
    properties = types.SimpleNamespace(uuid="aaaa", name="NVIDIA H200", total_memory=139.7 * GIB)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return fake
