"""A real Slurm of two nodes, n1 and n2, on this machine, with a controller and a munge of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
CORES = 4
"""Of each node, whatever the machine has: cells of a test need little."""
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2
SchedulerType=sched/builtin
KillWait=5
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs={cores} RealMemory=2000 Gres=gpu:2 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs={cores} RealMemory=2000 Gres=gpu:2 State=UNKNOWN
PartitionName=test Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
_START_S = 30.0


def missing() -> list[str]:
    """The programs of Slurm and munge that this machine lacks; `apt-get install slurm-wlm munge` brings them."""
    return [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]


@contextmanager
def two_nodes(folder: Path) -> Iterator[dict[str, str]]:
    """A Slurm that runs inside; the environment for its commands. It needs root, and no cgroups."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state").mkdir()
    for node in ("n1", "n2"):
        (folder / f"spool-{node}").mkdir()
    controller, first, second = _free_ports(3)
    host = socket.gethostname().partition(".")[0]
    conf = CONF.format(host=host, folder=folder, controller=controller, first=first, second=second, cores=CORES)
    (folder / "slurm.conf").write_text(conf)
    (folder / "gres.conf").write_text("AutoDetect=off\nName=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
    files = (f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed"))
    daemons = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", "n1"],
        ["slurmd", "-D", "-N", "n2"],
    ]
    with contextlib.ExitStack() as running:
        for number, daemon in enumerate(daemons):
            running.enter_context(_daemon(daemon, environment, folder / f"{number}-{daemon[0]}.log"))
            if daemon[0] == "munged":
                wait_until((folder / "munge.socket").exists, _START_S, "munged makes no socket")
        states = ["sinfo", "--noheader", "--format=%t"]
        wait_until(lambda: asked(states, environment).split() == ["idle"], _START_S, "the nodes are not idle")
        yield environment


def asked(command: list[str], environment: dict[str, str]) -> str:
    """What a command of Slurm's prints; empty if it fails."""
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def wait_until(holds: Callable[[], bool], within_s: float, otherwise: str) -> None:
    """Return once it holds; AssertionError if it does not within so many seconds."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, otherwise
        time.sleep(0.1)


@contextmanager
def _daemon(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as written:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_ones:
        servers = [open_ones.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def _path() -> str:
    """Where commands are found: the daemons are outside of many users' own."""
    return f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
