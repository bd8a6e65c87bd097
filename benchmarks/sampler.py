"""What the energy sampler costs: processor time in per cent of one core, and how evenly it polls.

    python benchmarks/sampler.py [GPU-UUID]

Without a UUID it polls the GPU that is CUDA's first device; it needs NVML. For several intervals it prints the
processor time of the sampler, the time between two polls (median and longest), and how much longer a fixed piece
of work takes while the sampler runs. The rule: at most 2 % of a core at the interval in use.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TypeVar

import numpy as np

from dtcbench.energy.nvml import assigned_gpu
from dtcbench.energy.trace import INTERVAL_S, Sampler
from dtcbench.unavailable import Unavailable

SECONDS = 5.0
T = TypeVar("T")


def work() -> float:
    """Seconds that a fixed piece of work takes on all cores."""
    a = np.random.default_rng(0).normal(size=(1024, 1024))
    begin = time.perf_counter()
    for _ in range(30):
        a @ a
    return time.perf_counter() - begin


def available(value: T | Unavailable) -> T:
    """The value; the script ends with the reason if it is unavailable."""
    if isinstance(value, Unavailable):
        sys.exit(value.reason)
    return value


def main() -> None:
    uuid = sys.argv[1] if len(sys.argv) > 1 else available(assigned_gpu(os.environ)).board.uuid
    work()
    for interval_s in (0.01, INTERVAL_S, 0.05):
        alone = [work()]
        sampler = available(Sampler.start([uuid], (), interval_s))
        during = [work()]
        time.sleep(SECONDS)
        during.append(work())
        trace = available(sampler.finish())
        alone.append(work())
        polls = np.diff(trace.t_s)
        print(
            f"every {1000 * interval_s:.0f} ms: {trace.sampler_cpu_pct:.2f} % of a core, "
            f"polls {1000 * np.median(polls):.1f} ms apart (longest {1000 * polls.max():.1f}), "
            f"work takes {min(during) / min(alone):.3f} of its time without the sampler"
        )


if __name__ == "__main__":
    main()
