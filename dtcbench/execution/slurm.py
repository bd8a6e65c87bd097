"""A run as a batch job of Slurm: the script that a user reads, edits and submits; and what a Slurm offers."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

from dtcbench.errors import UserError
from dtcbench.plan.request import Request

NOTICE_S = 600
"""Seconds before a job's limit at which it takes no new cells, if the limit leaves twice as many."""
_LAST_S = 30
"""Seconds before the limit at which the script stops what still runs."""
_LIVES = 20
"""How often a job is queued again: cells that are longer than its limit must not go on for ever."""
_TIME = re.compile(r"(?:(?P<days>\d+)-(?P<hours>\d+)(?::(?P<minutes>\d+)(?::(?P<seconds>\d+))?)?|(?P<plain>[\d:]+))")
_ANSWER_S = 20.0


@dataclass(frozen=True)
class Allocation:
    """What a job asks Slurm for."""

    nodes: int
    cpus: int
    """On each node."""
    gpus: int
    """On each node."""
    time: str
    """The job's limit, as Slurm writes it: 12:00:00, 2-12 or 90 (minutes)."""
    notice_s: int
    """Seconds before the limit at which the job takes no new cells."""
    shards: int | None = None
    """Of a job array, whose jobs share the cells and have a run's folder each."""
    options: tuple[str, ...] = ()
    """Further options of `sbatch`, as NAME=VALUE or NAME."""

    @classmethod
    def of(
        cls,
        request: Request,
        *,
        nodes: int,
        gpus: int,
        time: str,
        cpus: int | None = None,
        notice_s: int | None = None,
        shards: int | None = None,
        options: Sequence[str] = (),
    ) -> Allocation:
        """With as many cores as cells fit on the GPUs, if `cpus` is None. UserError if it cannot run a cell."""
        if cpus is None:
            if not request.gpus:
                raise UserError("--cpus-per-node: say how many cores the job gets on each node; a cell needs no GPU")
            cpus = max(1, int(gpus / request.gpus)) * request.cpus
        limit_s = seconds(time)
        notice_s = min(NOTICE_S, limit_s // 2) if notice_s is None else notice_s
        if not 2 * _LAST_S <= notice_s < limit_s:
            raise UserError(
                f"--notice {notice_s}: give seconds, at least {2 * _LAST_S} and fewer than --time {time} "
                f"({limit_s} s) has; longer than a cell takes"
            )
        one = cls(nodes, cpus, gpus, time, notice_s, shards, tuple(options))
        if one.cells_at_once(request) < 1:
            raise UserError(
                f"a cell asks for {request}, and a node of the job has {cpus} CPUs and {gpus} GPUs; raise "
                "--cpus-per-node or --gpus-per-node, or lower `resources` in the suite"
            )
        return one

    def cells_at_once(self, request: Request) -> int:
        """How many cells all nodes of the job run at the same time."""
        kind = {f"accelerator_type:{request.accelerator}": 1.0} if request.accelerator else {}
        return self.nodes * request.cells_on({"CPU": self.cpus, "GPU": self.gpus, **kind})


def seconds(time: str) -> int:
    """The seconds of a limit as Slurm writes it. UserError if it is none."""
    found = _TIME.fullmatch(time)
    parts = found["plain"].split(":") if found and found["plain"] else []
    if found is None or len(parts) > 3 or not all(part.isdecimal() for part in parts):
        raise UserError(f"--time {time}: give it as Slurm does: HOURS:MINUTES:SECONDS, MINUTES, or DAYS-HOURS")
    if not parts:
        days, hours, minutes, left = (int(found[name] or 0) for name in ("days", "hours", "minutes", "seconds"))
        return ((24 * days + hours) * 60 + minutes) * 60 + left
    minutes_first = [*parts, "0"] if len(parts) == 1 else parts
    total = 0
    for part in minutes_first:
        total = 60 * total + int(part)
    return total


def script(
    suite: str, allocation: Allocation, workers: int, python: str, run: Sequence[str], out: str, command: str
) -> str:
    """The batch script. Pure.

    Parameters
    ----------
    suite : the suite's name, for the job's
    workers : number of cells at once
    python : the interpreter with dtcbench, at the same path on all nodes
    run : the suite, and further options of `dtcbench run`
    out : the run's folder; the shards' have their number behind it
    command : the line that made the script
    """
    asked = {
        "job-name": f"dtcbench-{suite}",
        "nodes": allocation.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": allocation.cpus,
        **({"gpus-per-node": allocation.gpus} if allocation.gpus else {}),
        "time": allocation.time,
        **({"array": f"1-{allocation.shards}"} if allocation.shards else {}),
    }
    options = [
        *(f"{name}={value}" for name, value in asked.items()),
        *allocation.options,
        f"signal=B:USR1@{allocation.notice_s}",
        "requeue",
        "no-kill",  # the cells of a lost node run on the others
        "open-mode=append",
    ]
    words = ["run", run[0], "--workers", str(workers), *run[1:]]  # the user's own options last: they hold
    shard = f' --shard "$SLURM_ARRAY_TASK_ID/{allocation.shards}"' if allocation.shards else ""
    number = f'"-$SLURM_ARRAY_TASK_ID-of-{allocation.shards}"' if allocation.shards else ""
    lines = [
        "#!/bin/bash",
        f"# Made by `{command}`. Edit it as you like, and submit it with sbatch.",
        "# The driver is the batch step on the first node, and each node has a Ray node in a step of its own.",
        *(f"#SBATCH --{option}" for option in options),
        "",
        f"python={shlex.quote(python)}",
        f'run=("$python" -m dtcbench {shlex.join(words)} --out {shlex.quote(out)}{number}{shard})',
        f"cpus={allocation.cpus} gpus={allocation.gpus}  # of each node",
        f"notice={allocation.notice_s}  # seconds from Slurm's signal to the limit",
        f"lives={_LIVES}  # how often the job is queued again",
        "",
    ]
    body = resources.files("dtcbench.execution").joinpath("slurm.sh").read_text(encoding="utf-8")
    return "\n".join(lines) + body


def submit(file: str) -> str:
    """Submit the script; what `sbatch` answers. UserError if it refuses."""
    return _answer(["sbatch", file])


class Partition(NamedTuple):
    """One line of what a Slurm offers: nodes of a partition that are alike."""

    name: str
    nodes: str
    state: str
    cpus: str
    memory_mb: str
    gpus: str
    limit: str


_FORMAT = "%P|%D|%t|%c|%m|%G|%l"


def partitions() -> list[Partition] | None:
    """What the Slurm of this machine offers; None if it has none. UserError if Slurm does not answer."""
    return parsed(_answer(["sinfo", "--noheader", f"--format={_FORMAT}"])) if shutil.which("sinfo") else None


def parsed(text: str) -> list[Partition]:
    """The lines of `sinfo`, in its order."""
    lines = (line.split("|") for line in text.splitlines())
    rows = (Partition(*line) for line in lines if len(line) == len(Partition._fields))
    return [row._replace(gpus=_gpus(row.gpus)) for row in rows]


def _gpus(gres: str) -> str:
    """The GPUs among generic resources, such as `h100:8` of `gpu:h100:8(S:0-1),shard:16`; empty if there are none."""
    found = [re.sub(r"\(.*", "", one.removeprefix("gpu:")) for one in gres.split(",") if one.startswith("gpu:")]
    return ", ".join(found)


def _answer(command: Sequence[str]) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S, check=True)  # noqa: S603
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not on this machine; go to a login node of the Slurm") from None
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise UserError(f"{shlex.join(command)}: {said.strip().splitlines()[-1]}") from error
    return answer.stdout
