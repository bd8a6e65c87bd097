"""The command in a process that sees simulated GPUs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fake_nvml.boards import FakeGpu, built, environment, gpu_uuid, write_scenario

from dtcbench import cli

WATTS = {gpu_uuid(0): 250.0, gpu_uuid(1): 400.0}
"""By board, what it draws."""
TWO_BOARDS = tuple(FakeGpu(uuid, power_w=watts) for uuid, watts in WATTS.items())


def on_boards(folder: Path, gpus: Sequence[FakeGpu] = TWO_BOARDS) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`dtcbench` with these arguments, run in the folder."""
    scenario = write_scenario(folder / "scenario", gpus, epoch_s=time.monotonic() - 100)
    surroundings = environment(built(), scenario) | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}

    def dtcbench(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dtcbench", *arguments]
        return subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)

    return dtcbench
