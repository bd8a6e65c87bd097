"""Where and with what a record was obtained: hardware, versions, code. No host name, no user name, no path."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import zlib
from collections.abc import Iterable
from pathlib import Path

import threadpoolctl
import torch

import dtcbench
from dtcbench import cores
from dtcbench.energy import nvml
from dtcbench.record import Provenance
from dtcbench.unavailable import Unavailable

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "cvxpy", "scs", "clarabel", "ray")
"""Packages whose versions decide the numbers of every cell."""
NO_VERSION = "not installed"
ON_CPU = Unavailable("the cell ran on the CPU")
NOT_LOADED = Unavailable("the data set was not loaded")
NO_LOCK = Unavailable("the package has no requirements.lock next to it")
NO_CHECKOUT = Unavailable("the source is not in a git checkout of its own that git can read")
NOT_INSTALLED = Unavailable("the code is not an installed release: no installer listed its files")
_GIT_TIMEOUT_S = 10
_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


def collect(
    device: str, threads: int, plugins: dict[str, str], boards: int = 1, building: Iterable[str] = ()
) -> Provenance:
    """Provenance of a cell that this process runs on `device`. Never raises: what is unknown has a reason.

    Parameters
    ----------
    device : torch device, `cpu` or a CUDA device such as `cuda`
    threads : threads that torch and BLAS may use
    plugins : SHA-256 of each plug-in file's source, by name
    boards : how many GPUs compute; several are a hardware class of their own
    building : further packages, which build the cell's network
    """
    package = Path(dtcbench.__file__).resolve().parent
    hardware_class, gpu, driver = (cpu_class(), ON_CPU, ON_CPU) if device == "cpu" else gpu_hardware(device)
    if boards > 1:
        hardware_class = f"{boards} × {hardware_class}"
    commit, commit_clean = checkout(package.parent)
    return Provenance.of(
        hardware_class=hardware_class,
        device="cpu" if device == "cpu" else "cuda",
        cpu=cpu_model(),
        cores=cores.usable(),
        memory_gib=cores.memory() / 2**30,
        gpu=gpu,
        driver=driver,
        threads=threads,
        platform=platform.platform(),
        python=platform.python_version(),
        packages=package_versions() | {name: version(name) for name in building},
        kernels=kernels(),
        dtcbench=dtcbench.__version__,
        commit=commit,
        commit_clean=commit_clean,
        lock_sha256=lock_sha256(package.parent),
        source_sha256=source_sha256(package),
        plugins=plugins,
        dataset_sha256=NOT_LOADED,
    )


def with_dataset(provenance: Provenance, sha256: str) -> Provenance:
    """The provenance of a cell whose data set has been loaded; `sha256` is the digest of its decoded content."""
    return Provenance.of(**{**dict(provenance), "dataset_sha256": sha256})


# Hardware


def cpu_class() -> str:
    """The hardware class of a cell on the CPU, such as `CPU AMD EPYC 7763 (family 25, model 1), 8 cores, 32 GiB`. The
    cores are the logical processors that this process may use.
    """
    return f"CPU {cpu_model()}, {cores.usable()} cores, {cores.memory() / 2**30:.0f} GiB"


def gpu_hardware(device: str) -> tuple[str, str | Unavailable, str | Unavailable]:
    """Hardware class of a cell on a GPU, and the names of the GPU and of its driver.

    The class is such as `NVIDIA H200, 139 GiB, 700 W`: the memory torch can use, the power limit in force. Name and
    memory are torch's, which distinguish a MIG instance from its board.
    """
    seen = nvml.torch_gpu(device)
    if isinstance(seen, Unavailable):
        return _simulated_hardware() or ("GPU unknown", seen, seen)
    name, uuid, memory_gib = seen
    board = nvml.gpu(uuid)
    if isinstance(board, Unavailable):
        return _gpu_class(name, memory_gib, board), name, board
    return _gpu_class(name, memory_gib, board.power_limit_w), name, board.driver


def _simulated_hardware() -> tuple[str, str | Unavailable, str | Unavailable] | None:
    """The simulated GPU that the cell was assigned, which torch cannot see; None if it was not."""
    assigned = nvml.assigned_gpu(os.environ)
    if isinstance(assigned, Unavailable) or not assigned.board.simulated:
        return None
    board = assigned.board
    return _gpu_class(board.name, board.memory_gib, board.power_limit_w), board.name, board.driver


def _gpu_class(name: str, memory_gib: float | Unavailable, limit_w: float | Unavailable) -> str:
    memory = "memory unknown" if isinstance(memory_gib, Unavailable) else f"{int(memory_gib)} GiB"
    power = "power limit unknown" if isinstance(limit_w, Unavailable) else f"{limit_w:.0f} W"
    return f"{name}, {memory}, {power}"


@functools.cache
def cpu_model() -> str:
    """The processor's marketing name and its maker's numbers; its architecture if the system gives no name."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")
    except OSError:
        first = ""
    lines = (line.partition(":") for line in first.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in lines}
    name = facts.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{word} {facts[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if facts.get(key)]
    return f"{name} ({', '.join(numbers)})" if numbers else name


# Versions


@functools.cache
def package_versions() -> dict[str, str]:
    """Installed version of each of `PACKAGES`, or `not installed`; and that of zlib, which decides compressed sizes."""
    return {**{name: version(name) for name in PACKAGES}, "zlib": zlib.ZLIB_RUNTIME_VERSION}


def version(package: str) -> str:
    """The installed version of a package; `NO_VERSION` if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return NO_VERSION


def kernels() -> dict[str, str]:
    """Instruction set or processor for which torch's code here, and that of the OpenBLAS of NumPy and SciPy, is made.

    It depends on the processor and on environment variables, and decides the order of summation. Torch's MKL does not
    say; it goes by the processor's maker.
    """
    pools = (pool for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas")
    blas = {pool.get("architecture") for pool in pools if _serves_numpy(Path(pool["filepath"]))}
    openblas = ", ".join(sorted(filter(None, blas))) or "none loaded"
    return {"torch": torch.backends.cpu.get_cpu_capability(), "OpenBLAS": openblas}


def _serves_numpy(library: Path) -> bool:
    """Whether a loaded library is NumPy's, SciPy's or the system's. Some wheels, such as SCS's, bring one of their
    own, and whether that is loaded depends on what this process did before."""
    folder = library.parent.name
    return not folder.endswith(".libs") or folder in ("numpy.libs", "scipy.libs")


# Code


@functools.cache
def checkout(root: Path) -> tuple[str | Unavailable, bool | Unavailable]:
    """Commit of the git checkout at `root`, and whether it has no uncommitted change, when this process first asked.

    A git checkout around `root`, such as one that contains a virtual environment, does not count: it says nothing
    about this source.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return NO_CHECKOUT, NO_CHECKOUT
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        no_commit = Unavailable("the git checkout has no commit")
        return no_commit, no_commit
    changes = _git(root, "status", "--porcelain")
    return commit, Unavailable("git cannot tell the state of the checkout") if changes is None else not changes


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None if it is missing, fails or hangs. Its messages contain paths, so none is passed on."""
    git = shutil.which("git")
    if git is None:
        return None
    # In a git hook these variables point git to the hook's repository, whatever -C says.
    environment = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
    # Without optional locks: many workers ask at once, while the user may be committing.
    command = [git, "--no-optional-locks", "-C", str(root), *arguments]
    try:
        answer = subprocess.run(  # noqa: S603 - fixed arguments
            command, env=environment, capture_output=True, text=True, check=True, timeout=_GIT_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


@functools.cache
def lock_sha256(root: Path) -> str | Unavailable:
    """SHA-256 of the checkout's requirements.lock."""
    try:
        return hashlib.sha256((root / "requirements.lock").read_bytes()).hexdigest()
    except OSError:
        return NO_LOCK


@functools.cache
def source_sha256(package: Path) -> str | Unavailable:
    """Digest of the installed release in the folder `package`, which has no commit, when this process first asked.

    Every file must be the one that the installer listed, and none may have been added: a module in the folder of an
    axis is imported because it is there. The digest is the SHA-256 of what
    `find dtcbench -type f -not -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum`
    prints in the folder that contains `package`, or where the wheel was unpacked.
    """
    listed = _installed_files(package)
    if isinstance(listed, Unavailable):
        return listed
    try:
        paths = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        present = {path.relative_to(package.parent).as_posix(): hashlib.sha256(path.read_bytes()) for path in paths}
    except OSError as error:
        return Unavailable(f"the installed files cannot be read: {error.strerror}")
    found = {name: base64.urlsafe_b64encode(sha.digest()).rstrip(b"=").decode() for name, sha in present.items()}
    if found != listed:
        changed = min(name for name, _ in found.items() ^ listed.items())
        return Unavailable(f"the installed files are not those of a release: {changed} was changed, added or removed")
    text = "".join(f"{present[name].hexdigest()}  {name}\n" for name in sorted(present))
    return hashlib.sha256(text.encode()).hexdigest()


def _installed_files(package: Path) -> dict[str, str] | Unavailable:
    """SHA-256 of each file of the package as the installer's RECORD has it."""
    try:
        release = importlib.metadata.distribution(package.name)
    except importlib.metadata.PackageNotFoundError:
        return NOT_INSTALLED
    record = release.read_text("RECORD")
    if record is None or Path(str(release.locate_file(package.name))).resolve() != package:
        return NOT_INSTALLED
    # Not release.files: since Python 3.12 it leaves out files that do not exist.
    return {
        name: digest.removeprefix("sha256=")
        for name, digest, *_ in csv.reader(record.splitlines())
        if name.startswith(f"{package.name}/") and "__pycache__" not in name.split("/")
    }
