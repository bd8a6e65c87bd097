"""The fake NVML as pynvml sees it: what every test that uses it relies on.

The library is found when a process starts, so that each test asks a process of its own.
"""

import contextlib
import json
import subprocess
import sys
import time
from fractions import Fraction
from itertools import pairwise

import pytest
from fake_nvml.boards import (
    COUNTER_BASE_MJ,
    QUANTITIES,
    FakeGpu,
    built,
    environment,
    gpu_uuid,
    write_scenario,
)

HOURS_S = 5 * 3600 + 0.37
REFRESH_US = 100_000

PROBE = """
import functools, json, sys, time
import pynvml as nvml

@functools.cache
def gpu(index=0):
    return nvml.nvmlDeviceGetHandleByIndex(index)

def field(gpu, number):
    value, = nvml.nvmlDeviceGetFieldValues(gpu, [number])
    if value.nvmlReturn:
        raise nvml.NVMLError(value.nvmlReturn)
    assert value.valueType == nvml.NVML_VALUE_TYPE_UNSIGNED_INT
    return value.value.uiVal

def counter(gpu):
    return nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)

def pids(gpu):
    return [process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(gpu)]

def answer(call):
    try:
        return call()
    except nvml.NVMLError as error:
        return type(error).__name__

def timed(*calls):  # [ns before, the answer of each call, ns after]
    return [time.monotonic_ns(), *map(answer, calls), time.monotonic_ns()]

def sampled(seconds, *calls):
    rows, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        rows.append(timed(*calls))
        time.sleep(0.005)
    return rows + [timed(*calls)]

def by_ray():
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager as manager
    from ray._private.thirdparty import pynvml as vendored
    vendored.nvmlInit()
    name = vendored.nvmlDeviceGetName(vendored.nvmlDeviceGetHandleByIndex(0))
    return [manager.get_current_node_num_accelerators(), name, manager.get_current_node_accelerator_type()]

for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
"""

CALLS = {
    "counter": ["counter(g)"],
    "fields": ["field(g, 185)", "field(g, 186)"],
    "usage": ["nvml.nvmlDeviceGetPowerUsage(g)"],
    "temperature": ["nvml.nvmlDeviceGetTemperature(g, 0)", "nvml.nvmlDeviceGetTemperatureV(g, 0)"],
    "clocks": ["nvml.nvmlDeviceGetClockInfo(g, 1)", "nvml.nvmlDeviceGetClockInfo(g, 2)"],
    "limit": ["nvml.nvmlDeviceGetEnforcedPowerLimit(g)", "nvml.nvmlDeviceGetPowerManagementLimit(g)"],
    "throttle": [
        "nvml.nvmlDeviceGetCurrentClocksThrottleReasons(g)",
        "nvml.nvmlDeviceGetCurrentClocksEventReasons(g)",
    ],
    "utilisation": ["nvml.nvmlDeviceGetUtilizationRates(g).gpu"],
    "processes": ["pids(g)", "len(nvml.nvmlDeviceGetComputeRunningProcesses_v2(g))"],
    "mig": ["nvml.nvmlDeviceGetMigMode(g)"],
    "memory": ["nvml.nvmlDeviceGetMemoryInfo(g).used", "nvml.nvmlDeviceGetMemoryInfo(g, nvml.nvmlMemory_v2).used"],
}
ESSENTIALS = [
    "nvml.nvmlDeviceGetName(g)",
    "nvml.nvmlDeviceGetUUID(g)",
    "nvml.nvmlDeviceGetIndex(g)",
    "nvml.nvmlDeviceGetMinorNumber(g)",
    "nvml.nvmlDeviceGetPciInfo(g).busId",
    "nvml.nvmlDeviceGetCudaComputeCapability(g)",
]


@pytest.fixture
def scenario(tmp_path):
    return tmp_path / "scenario"


@pytest.fixture
def process(scenario):
    """`ask = process()`: a new process; `ask("expression")` is its value there."""
    with contextlib.ExitStack() as processes:

        def start():
            child = processes.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROBE],
                    env=environment(built(), scenario),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )

            def ask(expression):
                child.stdin.write(expression + "\n")
                child.stdin.flush()
                return json.loads(child.stdout.readline() or pytest.fail(f"no answer to {expression}"))

            return ask

        yield start  # the end of their input ends the processes


@pytest.fixture
def boards(scenario, process):
    """`ask = boards(FakeGpu(), …, age_s=100)`: a process where NVML shows these boards."""

    def start(*gpus, age_s=100.0):
        write_scenario(scenario, gpus, time.monotonic() - age_s)
        ask = process()
        ask("nvml.nvmlInit()")
        return ask

    return start


def answers_of(ask, index, calls):
    """What each call tells, or the name of its error."""
    return ask("[" + ", ".join(f"answer(lambda g=gpu({index}): {call})" for call in calls) + "]")


def energy_nj(steps, us):
    """The integral of power (steps of µs and mW, repeated) from 0 to `us`, step by step."""
    cycle_us = sum(length for length, _ in steps)
    cycles, left = divmod(max(us, 0), cycle_us)
    total = cycles * sum(length * mw for length, mw in steps)
    for length, mw in steps:
        total += min(left, length) * mw
        left = max(left - length, 0)
    return total


def power_mw(steps, us):
    left = us % sum(length for length, _ in steps)
    for length, mw in steps:
        if left < length:
            return mw
        left -= length


def refreshes(epoch_us, before_ns, after_ns):
    """The refreshes (µs after the epoch) that may have been the latest at some time between."""
    first, last = ((ns // 1000 - epoch_us) // REFRESH_US for ns in (before_ns, after_ns))
    return [k * REFRESH_US for k in range(first, last + 1)]


def test_pynvml_finds_every_board_and_no_name_passes_for_a_real_one(boards):
    ask = boards(FakeGpu(), FakeGpu(gpu_uuid(10), name="H200", memory_gib=140, limit_w=650.5, temperature_c=61))
    assert ask("nvml.nvmlDeviceGetCount()") == 2
    names = ask("[nvml.nvmlDeviceGetName(gpu(i)) for i in (0, 1)]")
    assert names == ["FAKE H100", "FAKE H200"]
    uuids = ask("[nvml.nvmlDeviceGetUUID(gpu(i)) for i in (0, 1)]")
    assert uuids == ["GPU-00000000-0000-0000-0000-000000000000", "GPU-00000000-0000-0000-0000-00000000000a"]
    by_uuid = ask(f"[nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByUUID(u)) for u in {uuids}]")
    by_bus = ask("[nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByPciBusId(f'0000:0{i}:00.0')) for i in (1, 2)]")
    assert by_uuid == by_bus == [0, 1]
    assert ask("[answer(lambda: nvml.nvmlDeviceGetHandleByUUID('GPU-x')), answer(lambda: gpu(2))]") == [
        "NVMLError_NotFound",
        "NVMLError_InvalidArgument",
    ]
    assert answers_of(ask, 1, ESSENTIALS[2:]) == [1, 1, "00000000:02:00.0", [9, 0]]
    assert ask("nvml.nvmlDeviceGetMemoryInfo(gpu(1)).total") == 140 * 2**30
    assert answers_of(ask, 1, CALLS["limit"] + CALLS["temperature"]) == [650_500, 650_500, 61, 61]
    assert answers_of(ask, 1, [*CALLS["clocks"], *CALLS["utilisation"]]) == [1980, 2619, 0]
    versions = ask("[nvml.nvmlSystemGetDriverVersion(), nvml.nvmlSystemGetNVMLVersion()]")
    assert versions == ["FAKE 1.0", "FAKE 1.0"]


@pytest.mark.parametrize("age_s", [HOURS_S, 0.0])
@pytest.mark.parametrize("shape", ["constant", "square wave", "trace"])
def test_power_and_energy_are_those_of_the_latest_refresh(boards, scenario, tmp_path, shape, age_s):
    (tmp_path / "trace").write_text("10 120.5\n10.03 333.333\n10.4 80\n10.9 0\n")
    gpu, steps = {
        "constant": (FakeGpu(power_w=333.333), [(1_000_000, 333_333)]),
        "square wave": (FakeGpu(power_w=600, low_w=90.25, period_s=0.34), [(170_000, 600_000), (170_000, 90_250)]),
        "trace": (FakeGpu(trace=tmp_path / "trace"), [(30_000, 120_500), (370_000, 333_333), (500_000, 80_000)]),
    }[shape]
    ask = boards(gpu, age_s=age_s)
    epoch_us = int(scenario.read_text().split()[1])
    calls = CALLS["fields"] + CALLS["usage"] + CALLS["counter"]
    rows = ask(f"sampled(0.35, {', '.join(f'lambda g=gpu(): {call}' for call in calls)})")
    assert rows[0][-2] < rows[-1][-2]
    for before, average, instant, usage, counter, after in rows:
        possible = refreshes(epoch_us, before, after)
        assert average in [(energy_nj(steps, r) - energy_nj(steps, r - 1_000_000)) // 1_000_000 for r in possible]
        assert {instant, usage} <= {power_mw(steps, r) for r in possible}
        assert counter in [COUNTER_BASE_MJ + energy_nj(steps, r) // 1_000_000 for r in possible]


def test_the_counter_grows_by_power_times_time_within_a_refresh(boards):
    constant, wave = FakeGpu(power_w=300), FakeGpu(gpu_uuid(1), power_w=500, low_w=100, period_s=0.02)
    rows = boards(constant, wave)("sampled(0.3, lambda: counter(gpu(0)), lambda: counter(gpu(1)))")
    (begun, *first, _), (_, *last, ended) = rows[0], rows[-1]
    longest_s = Fraction(ended - begun, 10**9)
    tolerance_mj = 300_000 * (Fraction(1, 10) + Fraction(rows[0][3] - begun + ended - rows[-1][0], 10**9))
    for opened, closed in zip(first, last, strict=True):
        assert abs(closed - opened - 300_000 * longest_s) <= tolerance_mj


def test_two_processes_see_the_same_counter_at_the_same_refresh(scenario, process):
    epoch_s = time.monotonic() - HOURS_S
    write_scenario(scenario, [FakeGpu(power_w=312.7, low_w=71.3, period_s=0.77)], epoch_s)
    one, other = process(), process()
    one("nvml.nvmlInit()")
    other("nvml.nvmlInit()")
    epoch_us = round(epoch_s * 1e6)
    shared = 0
    for _ in range(200):
        before, first, _ = one("timed(lambda: counter(gpu()))")
        _, second, after = other("timed(lambda: counter(gpu()))")
        if len(refreshes(epoch_us, before, after)) == 1:  # else a refresh may lie between the two
            assert first == second
            shared += 1
        if shared == 5:
            return
    pytest.fail("no refresh lasted long enough to be read twice")


def test_each_quantity_can_be_unsupported_by_itself(boards):
    ask = boards(*(FakeGpu(gpu_uuid(i), unsupported=(q,)) for i, q in enumerate(QUANTITIES)))
    refused = {
        (q, other)
        for i, q in enumerate(QUANTITIES)
        for other in QUANTITIES
        for answer in answers_of(ask, i, CALLS[other])
        if answer == "NVMLError_NotSupported"
    }
    assert refused == {(q, q) for q in QUANTITIES}
    other_field, other_scope = ask("[answer(lambda: field(gpu(), 150)), answer(lambda: field(gpu(), (186, 1)))]")
    assert other_field == other_scope == "NVMLError_NotSupported"


def test_an_unknown_quantity_is_refused_when_the_board_is_described():
    with pytest.raises(ValueError, match="tempreature"):
        FakeGpu(unsupported=("tempreature",))


def test_every_nth_call_for_power_gives_zero(boards):
    ask = boards(FakeGpu(power_w=200, zero_every=3), FakeGpu(gpu_uuid(1), power_w=200))
    calls = (CALLS["usage"] + CALLS["fields"]) * 2
    assert answers_of(ask, 0, calls) == [200_000, 200_000, 0] * 2
    assert answers_of(ask, 1, calls) == [200_000] * 6
    both = "[[v.value.uiVal for v in nvml.nvmlDeviceGetFieldValues(gpu(), [185, 186])] for _ in range(3)]"
    assert ask(both) == [[200_000, 200_000], [200_000, 200_000], [0, 0]]


def test_as_time_passes_a_counter_starts_again_and_a_gpu_gets_lost(scenario, process):
    ask = process()
    ask("'ready'")  # a process takes a while to start, so let the boards' time begin after that
    write_scenario(
        scenario,
        [FakeGpu(counter_reset_at_s=0.5), FakeGpu(gpu_uuid(1), lost_from_s=0.5), FakeGpu(gpu_uuid(2))],
    )
    ask("nvml.nvmlInit()")
    rows = ask("sampled(0.8, *[lambda i=i: counter(gpu(i)) for i in (0, 1, 2)])")
    _, reset, lost, steady, _ = zip(*rows, strict=True)
    assert reset[0] >= COUNTER_BASE_MJ > reset[-1]
    assert sum(later < earlier for earlier, later in pairwise(reset)) == 1
    assert isinstance(lost[0], int)
    assert lost[-1] == "NVMLError_GpuIsLost"
    assert list(steady) == sorted(steady)
    calls = ESSENTIALS + [call for quantity in QUANTITIES for call in CALLS[quantity]]
    assert set(answers_of(ask, 1, calls)) == {"NVMLError_GpuIsLost"}
    assert "NVMLError_GpuIsLost" not in answers_of(ask, 2, calls)
    assert ask("answer(lambda: nvml.nvmlDeviceGetHandleByIndex(1))") == "NVMLError_GpuIsLost"
    assert ask("nvml.nvmlDeviceGetCount()") == 3


def test_a_counter_that_started_again_tells_the_energy_since_then(boards):
    gpus = FakeGpu(power_w=300, counter_reset_at_s=40.05), FakeGpu(gpu_uuid(1), power_w=300)
    ask = boards(*gpus)
    for _ in range(50):
        counters = ask("[counter(gpu(0)), counter(gpu(1)), counter(gpu(0))]")
        if counters[0] == counters[2]:  # no refresh lay between
            assert counters[1] - counters[0] == COUNTER_BASE_MJ + 300_000 * Fraction("40.05")
            return
    pytest.fail("a refresh lay between the readings each time")


def test_before_the_epoch_no_power_is_drawn(boards):
    ask = boards(FakeGpu(), age_s=-1000)
    assert ask("[counter(gpu()), field(gpu(), 185), field(gpu(), 186)]") == [COUNTER_BASE_MJ, 0, 0]


def test_processes_are_listed_within_their_time(boards):
    running = ((11, 0, 50), (12, 50, float("inf")), (13, 5000, 6000), (14, 0, 5000))
    ask = boards(FakeGpu(processes=running), FakeGpu(gpu_uuid(1)))
    assert ask("[pids(gpu(0)), pids(gpu(1))]") == [[12, 14], []]
    assert ask("[p.usedGpuMemory for p in nvml.nvmlDeviceGetComputeRunningProcesses(gpu())]") == [2**30, 2**30]


def test_throttling_begins_when_the_scenario_says(boards):
    ask = boards(FakeGpu(throttle_from_s=50), FakeGpu(gpu_uuid(1), throttle_from_s=5000), FakeGpu(gpu_uuid(2)))
    assert ask("nvml.nvmlClocksEventReasonHwThermalSlowdown") == 0x40
    assert [answers_of(ask, i, CALLS["throttle"]) for i in (0, 1, 2)] == [[0x40, 0x40], [0, 0], [0, 0]]


def test_mig_mode_is_set_per_board(boards):
    ask = boards(FakeGpu(mig=True), FakeGpu(gpu_uuid(1)))
    assert ask("[nvml.nvmlDeviceGetMigMode(gpu(i)) for i in (0, 1)]") == [[1, 1], [0, 0]]


def test_ray_counts_the_boards_and_reads_their_name_along_with_pynvml(boards):
    ask = boards(FakeGpu(), FakeGpu(gpu_uuid(1)), FakeGpu(gpu_uuid(2)))
    assert ask("by_ray()") == [3, "FAKE H100", "H100"]
    assert ask("nvml.nvmlDeviceGetCount()") == 3  # Ray's shutdown ended only its own use


def test_after_the_last_shutdown_every_call_fails(boards):
    ask = boards(FakeGpu())
    ask("[gpu(0).contents is None, nvml.nvmlShutdown()]")
    assert answers_of(ask, 0, CALLS["counter"]) == ["NVMLError_Uninitialized"]
    assert ask("answer(nvml.nvmlShutdown)") == "NVMLError_Uninitialized"


def test_memory_in_use_is_that_of_the_listed_processes_and_of_the_hidden_ones(boards):
    ask = boards(
        FakeGpu(processes=((11, 0, 1e9), (12, 0, 50)), hidden_mib=300, utilisation_pct=40),
        FakeGpu(gpu_uuid(1), forbidden=("limit", "memory")),
    )
    assert answers_of(ask, 0, [*CALLS["memory"], *CALLS["utilisation"]]) == [2**30 + 300 * 2**20] * 2 + [40]
    assert set(answers_of(ask, 1, CALLS["limit"] + CALLS["memory"])) == {"NVMLError_NoPermission"}


@pytest.mark.parametrize("text", [None, "gpu GPU-x\nstep 1 soon\n", "gpu GPU-x\n", "gpu GPU-x\nstep 1 1\nmig on\n"])
def test_without_a_sound_scenario_nvml_does_not_start(scenario, process, text):
    if text is not None:
        scenario.write_text(text)
    assert process()("answer(nvml.nvmlInit)") == "NVMLError_DriverNotLoaded"


def test_two_boards_cannot_share_a_uuid(scenario):
    with pytest.raises(ValueError, match="gpu_uuid"):
        write_scenario(scenario, [FakeGpu(), FakeGpu()])
