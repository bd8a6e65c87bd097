"""Where and with what a record was obtained. No host name, no user name, no path."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

import threadpoolctl
import torch

import dtcbench
from dtcbench import cores
from dtcbench.energy import nvml
from dtcbench.energy.nvml import assigned_gpu
from dtcbench.execution.installation import source_sha256
from dtcbench.record import Provenance
from dtcbench.unavailable import Unavailable

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "cvxpy", "scs", "clarabel", "ray")
"""Whose versions decide numbers."""
NO_VERSION = "not installed"
GIT_TIMEOUT_S = 10
HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
NOT_LOADED = "the data set was not loaded"
NO_LOCK = "there is no requirements.lock beside the package"


@dataclass(frozen=True)
class Checkout:
    """State of the git checkout that the package's source lies in."""

    commit: str | None
    clean: bool | None
    reasons: dict[str, str]
    """Why commit and clean are None, where they are."""

    @classmethod
    def unknown(cls, reason: str) -> Checkout:
        """Nothing known, for this reason."""
        return cls(None, None, dict.fromkeys(("commit", "commit_clean"), reason))


@dataclass(frozen=True)
class Hardware:
    """What the cell's energy and time depend on."""

    hardware_class: str
    gpu: str | None
    driver: str | None
    reasons: dict[str, str]
    """Why gpu and driver are None, where they are."""


def collect(device: str, threads: int, plugins: dict[str, str]) -> Provenance:
    """Provenance of a cell that this process runs on `device`. Never raises: unknown is None, with a reason.

    Parameters
    ----------
    device : torch device, `cpu` or a CUDA device such as `cuda`
    threads : threads that torch and BLAS may use
    plugins : SHA-256 of each plug-in file's source, by name
    """
    package = Path(dtcbench.__file__).resolve().parent
    source, locked = checkout(package.parent), lock_sha256(package.parent)
    installed, why_not = source_sha256(package)
    on_cpu = device == "cpu"
    hardware = cpu_hardware() if on_cpu else gpu_hardware(device)
    return Provenance(
        hardware_class=hardware.hardware_class,
        device="cpu" if on_cpu else "cuda",
        cpu=cpu_model(),
        cores=cores.usable(),
        memory_gib=_memory_gib(),
        gpu=hardware.gpu,
        driver=hardware.driver,
        threads=threads,
        platform=platform.platform(),
        python=platform.python_version(),
        packages=package_versions(),
        kernels=kernels(),
        dtcbench=dtcbench.__version__,
        commit=source.commit,
        commit_clean=source.clean,
        lock_sha256=locked,
        source_sha256=installed,
        plugins=plugins,
        dataset_sha256=None,
        reasons=hardware.reasons
        | source.reasons
        | {"dataset_sha256": NOT_LOADED}
        | ({} if locked else {"lock_sha256": NO_LOCK})
        | ({} if installed else {"source_sha256": why_not}),
    )


def with_dataset(provenance: Provenance, sha256: str) -> Provenance:
    """The provenance of a cell whose data set has been loaded; `sha256` is its decoded content's digest."""
    reasons = {name: reason for name, reason in provenance.reasons.items() if name != "dataset_sha256"}
    return provenance.model_copy(update={"dataset_sha256": sha256, "reasons": reasons})


def cpu_hardware() -> Hardware:
    """Of a cell on the CPU, such as `CPU AMD EPYC 7763 (family 25, model 1), 8 cores, 32 GiB`: logical processors
    that a run may use, memory.
    """
    reason = "the cell ran on the CPU"
    return Hardware(
        hardware_class=f"CPU {cpu_model()}, {cores.usable()} cores, {_memory_gib():.0f} GiB",
        gpu=None,
        driver=None,
        reasons={"gpu": reason, "driver": reason},
    )


def gpu_hardware(device: str) -> Hardware:
    """Of a cell on a GPU, such as `NVIDIA H200, 139 GiB, 700 W`: memory torch can use, power limit in force.

    Name and memory are torch's, because they tell a MIG instance from its board.
    """
    seen = nvml.torch_gpu(device)
    if isinstance(seen, Unavailable):
        return _simulated_hardware() or Hardware(
            "GPU unknown", None, None, dict.fromkeys(("gpu", "driver"), seen.reason)
        )
    name, uuid, memory_gib = seen
    board = nvml.gpu(uuid)
    if isinstance(board, Unavailable):
        return Hardware(_gpu_class(name, memory_gib, board), name, None, {"driver": board.reason})
    return Hardware(_gpu_class(name, memory_gib, board.power_limit_w), name, board.driver, {})


def _simulated_hardware() -> Hardware | None:
    """The simulated GPU that the cell was assigned, which torch cannot see; None if it was not."""
    assigned = assigned_gpu(os.environ)
    if isinstance(assigned, Unavailable) or not assigned.board.simulated:
        return None
    board = assigned.board
    return Hardware(_gpu_class(board.name, board.memory_gib, board.power_limit_w), board.name, board.driver, {})


def _gpu_class(name: str, memory_gib: float, limit_w: float | Unavailable) -> str:
    power = "power limit unknown" if isinstance(limit_w, Unavailable) else f"{limit_w:.0f} W"
    return f"{name}, {int(memory_gib)} GiB, {power}"


@functools.cache
def cpu_model() -> str:
    """The processor's marketing name and its maker's numbers, or its architecture where the system tells no name."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")
    except OSError:
        first = ""
    lines = (line.partition(":") for line in first.splitlines())
    told = {name.strip(): value.strip() for name, _, value in lines}
    name = told.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{word} {told[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if told.get(key)]
    return f"{name} ({', '.join(numbers)})" if numbers else name


@functools.cache
def package_versions() -> dict[str, str]:
    """Installed version of each of `PACKAGES`, or `not installed`; and that of zlib, which decides compressed sizes."""
    return {**{name: _version(name) for name in PACKAGES}, "zlib": zlib.ZLIB_RUNTIME_VERSION}


def kernels() -> dict[str, str]:
    """Whose code torch and the OpenBLAS of NumPy and SciPy run here. It depends on the processor and on variables of
    the environment, and another sums in another order. Torch's MKL tells nothing: the processor's maker decides there.
    """
    pools = (pool for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas")
    blas = {pool.get("architecture") for pool in pools if _serves_numpy(Path(pool["filepath"]))}
    openblas = ", ".join(sorted(filter(None, blas))) or "none loaded"
    return {"torch": torch.backends.cpu.get_cpu_capability(), "OpenBLAS": openblas}


def _serves_numpy(library: Path) -> bool:
    """Whether a loaded library is NumPy's or SciPy's, or the system's: SCS's wheel, say, brings one for itself alone,
    and whether that is loaded depends on what this process did before."""
    folder = library.parent.name
    return not folder.endswith(".libs") or folder in ("numpy.libs", "scipy.libs")


@functools.cache
def checkout(root: Path) -> Checkout:
    """State of the git checkout at `root`, as it was when this process first asked.

    A git checkout that merely contains `root`, such as one with a virtual environment in it,
    says nothing about this source and is not taken.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return Checkout.unknown("the source is not in a git checkout of its own that git can read")
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return Checkout.unknown("the git checkout has no commit")
    changes = _git(root, "status", "--porcelain")
    if changes is None:
        return Checkout(commit, None, {"commit_clean": "git cannot tell the state of the checkout"})
    return Checkout(commit, not changes, {})


@functools.cache
def lock_sha256(root: Path) -> str | None:
    """SHA-256 of the checkout's requirements.lock; None where there is none."""
    try:
        return hashlib.sha256((root / "requirements.lock").read_bytes()).hexdigest()
    except OSError:
        return None


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return NO_VERSION


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where it is missing, fails or hangs.

    Why it failed is not passed on: git's messages hold paths.
    """
    git = shutil.which("git")
    if git is None:
        return None
    # Inside a git hook these variables point git to the hook's repository, whatever -C says.
    environment = {name: value for name, value in os.environ.items() if name not in HOOK_VARIABLES}
    # Without optional locks: many workers ask at once, beside a user who may be committing.
    command = [git, "--no-optional-locks", "-C", str(root), *arguments]
    try:
        answer = subprocess.run(  # noqa: S603 - fixed arguments
            command, env=environment, capture_output=True, text=True, check=True, timeout=GIT_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
