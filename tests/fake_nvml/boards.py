"""Builds the fake NVML of nvml.c and writes its scenarios, for tests without a GPU.

A process must start with `environment(...)` to find the fake library, as the dynamic linker reads LD_LIBRARY_PATH
once:

    scenario = write_scenario(tmp_path / "scenario", [FakeGpu(power_w=250), FakeGpu(gpu_uuid(1))])
    subprocess.run([sys.executable, "-c", "..."], env=environment(built(), scenario))
"""

from __future__ import annotations

import atexit
import functools
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

SONAME = "libnvidia-ml.so.1"
QUANTITIES = (
    "counter",
    "fields",
    "usage",
    "temperature",
    "clocks",
    "limit",
    "throttle",
    "utilisation",
    "processes",
    "mig",
    "memory",
)
"""Quantities that a GPU may lack. `fields` are the powers read as field values, `usage` is the older call for power,
`limit` is the power limit."""
COUNTER_BASE_MJ = 1_000_000
"""The value of an energy counter at the epoch."""
REFRESH_S = 0.1
"""Power and energy change only at whole multiples of this after the epoch."""
NEVER_S = 1e9


def gpu_uuid(index: int) -> str:
    """The UUID `GPU-00000000-0000-0000-0000-…` that ends in `index`, in hexadecimal."""
    return f"GPU-00000000-0000-0000-0000-{index:012x}"


@dataclass(frozen=True)
class FakeGpu:
    """One board. All times are seconds after the scenario's epoch; before it, the power is 0."""

    uuid: str = gpu_uuid(0)
    name: str = "FAKE H100"
    """The library adds `FAKE ` to a name that does not begin with it."""
    power_w: float = 300.0
    """The constant power, or the power in the first half of a square wave's period."""
    low_w: float | None = None
    """The power in the second half; None makes the power constant."""
    period_s: float = 1.0
    trace: Path | None = None
    """A file that replaces both powers: lines `seconds watts`, each valid until the next line's seconds. The last line
    only ends the trace, which then begins anew."""
    limit_w: float = 700.0
    temperature_c: int = 45
    memory_gib: int = 80
    mig: bool = False
    hidden_mib: int = 0
    """Memory of processes that the driver leaves out of its list. Those in the list have 1 GiB each."""
    utilisation_pct: int = 0
    unsupported: tuple[str, ...] = ()
    """Some of QUANTITIES."""
    forbidden: tuple[str, ...] = ()
    """Some of QUANTITIES, which the caller has no permission to read."""
    zero_every: int = 0
    """Every n-th call for power in a process returns 0: nvmlDeviceGetPowerUsage and nvmlDeviceGetFieldValues
    together. With 0 no call does."""
    counter_reset_at_s: float | None = None
    """From the next refresh on, the counter shows the energy used since this moment."""
    lost_from_s: float | None = None
    """From then on every call about this board fails with GPU_IS_LOST, but the board is still counted."""
    processes: tuple[tuple[int, float, float], ...] = ()
    """Compute processes: (pid, from, until); `until` may be infinite."""
    module_w: float | None = None
    """The constant power of the processor and the memory that share a module with the GPU, as on a GH200: the energy
    counter then covers the module. None: it is a board of its own."""
    tells_module: bool = True
    """Whether it tells the module's power."""
    throttle_from_s: float | None = None
    """From then on heat slows its clocks down."""

    def __post_init__(self) -> None:
        unknown = {*self.unsupported, *self.forbidden} - set(QUANTITIES)
        if unknown:
            raise ValueError(f"refused: {', '.join(sorted(unknown))}: not among {', '.join(QUANTITIES)}")


def library(folder: Path) -> Path:
    """Compile the fake library into `folder`; skip the test without a C compiler ($CC or cc)."""
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"the fake NVML needs a C compiler; {compiler[0]} is not installed")
    target = folder / SONAME
    options = ["-std=c11", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-pthread", f"-Wl,-soname,{SONAME}"]
    source = Path(__file__).with_name("nvml.c")
    ended = subprocess.run([*compiler, *options, str(source), "-o", str(target)], capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{source} does not compile:\n{ended.stderr}")
    return target


@functools.cache
def built() -> Path:
    """The fake library, compiled once per test session."""
    folder = Path(tempfile.mkdtemp(prefix="dtcbench-fake-nvml-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return library(folder)


def environment(built: Path, scenario: Path) -> dict[str, str]:
    """This process's environment with the library `built`, which reads `scenario`."""
    others = os.environ.get("LD_LIBRARY_PATH")
    path = os.pathsep.join([str(built.parent), *([others] if others else [])])
    return {**os.environ, "LD_LIBRARY_PATH": path, "DTCBENCH_FAKE_NVML": str(scenario)}


def write_scenario(path: Path, gpus: Sequence[FakeGpu], epoch_s: float | None = None) -> Path:
    """Write the scenario that nvml.c reads and return `path`. NVML lists the boards in the order of `gpus`.

    epoch_s : the boards' time 0 on the clock of time.monotonic(); by default now
    """
    uuids = [gpu.uuid for gpu in gpus]
    if len(set(uuids)) < len(uuids):
        raise ValueError(f"several GPUs have one UUID: {', '.join(uuids)}; give each its own gpu_uuid(index)")
    epoch = time.monotonic() if epoch_s is None else epoch_s
    lines = [f"epoch_us {_micro(epoch)}", *(line for gpu in gpus for line in _lines(gpu))]
    path.write_text("\n".join(lines) + "\n")
    return path


def _lines(gpu: FakeGpu) -> Iterator[str]:
    """One board: its UUID, then a line per setting."""
    yield f"gpu {gpu.uuid}"
    yield f"name {gpu.name}"
    for length_us, mw in _steps(gpu):
        yield f"step {length_us} {mw}"
    yield f"limit_mw {_milli(gpu.limit_w)}"
    yield f"temperature_c {gpu.temperature_c}"
    yield f"memory_gib {gpu.memory_gib}"
    yield f"mig {int(gpu.mig)}"
    yield f"zero_every {gpu.zero_every}"
    yield f"hidden_mib {gpu.hidden_mib}"
    yield f"utilisation_pct {gpu.utilisation_pct}"
    for word in ("unsupported", "forbidden"):
        yield from (f"{word} {quantity}" for quantity in getattr(gpu, word))
    for pid, from_s, until_s in gpu.processes:
        yield f"process {pid} {_micro(from_s)} {_micro(until_s)}"
    if gpu.module_w is not None:
        yield f"module_mw {_milli(gpu.module_w)}"
        yield f"tells_module {int(gpu.tells_module)}"
    moments = {
        "counter_reset_us": gpu.counter_reset_at_s,
        "lost_from_us": gpu.lost_from_s,
        "throttle_from_us": gpu.throttle_from_s,
    }
    for word, moment in moments.items():
        if moment is not None:
            yield f"{word} {_micro(moment)}"


def _steps(gpu: FakeGpu) -> list[tuple[int, int]]:
    """The power over one cycle as steps (µs, mW)."""
    if gpu.trace is not None:
        rows = [line.split() for line in gpu.trace.read_text().splitlines() if line.strip()]
        points = [(_micro(float(seconds)), _milli(float(watts))) for seconds, watts in rows]
        steps = [(end - begin, mw) for (begin, mw), (end, _) in pairwise(points)]
        if not steps or any(length_us <= 0 for length_us, _ in steps):
            raise ValueError(f"{gpu.trace}: needs two lines or more 'seconds watts', with growing seconds")
        return steps
    if gpu.low_w is not None:
        return [(_micro(gpu.period_s / 2), _milli(watts)) for watts in (gpu.power_w, gpu.low_w)]
    return [(1_000_000, _milli(gpu.power_w))]


def _micro(seconds: float) -> int:
    return round(min(seconds, NEVER_S) * 1e6)


def _milli(watts: float) -> int:
    return round(watts * 1e3)
