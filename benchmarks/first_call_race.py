"""How often a process computes other bits when two threads make MKL's first call at once.

    python benchmarks/first_call_race.py [PROCESSES]

Forks processes that take square roots with 2 threads, as they come and after `make_deterministic`, and
counts the distinct results. Without the set-up one differs now and then (2 of 4,900 were seen on two
cores); with it none may.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch

from dtcbench.training.determinism import make_deterministic

THREADS = 2
VALUES = np.random.default_rng(0).random(400_000).astype(np.float32)


def digest_of_a_new_process(prepare: Callable[[int], None]) -> str:
    """What a process that has computed nothing yet makes of the square roots."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        prepare(THREADS)
        roots = torch.from_numpy(VALUES).sqrt().numpy().tobytes()
        os.write(writer, hashlib.sha256(roots).hexdigest()[:8].encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        digest = pipe.read()
    os.wait()
    return digest


def main() -> None:
    processes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for prepare in (torch.set_num_threads, make_deterministic):
        counts = Counter(digest_of_a_new_process(prepare) for _ in range(processes))
        print(f"{prepare.__name__}: {processes} processes, {len(counts)} distinct results, {dict(counts)}")


if __name__ == "__main__":
    main()
