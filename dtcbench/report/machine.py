"""Tables of this machine and of a cluster's nodes: software, hardware, how energy is measured, Slurm, data."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import torch

from dtcbench import __version__, cores, registry
from dtcbench.datasets import cache
from dtcbench.datasets.description import origin
from dtcbench.energy import nvml, rapl
from dtcbench.errors import UserError
from dtcbench.execution import provenance, slurm
from dtcbench.execution.nodes import MUST_AGREE, Node
from dtcbench.report.blocks import Document, Facts, Table, texts
from dtcbench.training.compiled import lacking
from dtcbench.unavailable import Unavailable

_HIDES = (
    "{}, an unofficial package, provides the module pynvml and may lack what the meter asks for; "
    "`pip uninstall pynvml`, then `pip install --force-reinstall nvidia-ml-py`"
)


def machine_view() -> Document:
    """Software, processors, GPUs, energy and data, one line each."""
    return [Facts([*_software(), *_processors(), *_energy(), *_slurm(), *_data()])]


def _software() -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(provenance.package_versions().items()))
    return [("dtcbench", f"{__version__} on Python {platform.python_version()}"), ("packages", versions)]


def _processors() -> list[tuple[str, str]]:
    parallel = "MKL" if torch.backends.mkl.is_available() else "no MKL"
    kernels = ", ".join(f"{name} {kind}" for name, kind in provenance.kernels().items())
    cpu = f"{provenance.cpu_class()}; {cores.usable()} of {os.cpu_count()} cores usable, {parallel}; kernels: {kernels}"
    boards = [str(gpu) for gpu in nvml.gpus() if isinstance(gpu, nvml.Gpu)]
    visible = (
        f"torch sees {torch.cuda.device_count()}"
        if torch.cuda.is_available()
        else "torch sees none: cells run on the CPU"
    )
    compilers = "; ".join(f"for {device}: {lacking(device) or 'all is here'}" for device in ("cpu", "cuda"))
    return [("processor", cpu), ("GPUs", "; ".join([*boards, visible])), ("protocol.compile", compilers)]


def _energy() -> list[tuple[str, str]]:
    zones = rapl.packages()
    if isinstance(zones, Unavailable):
        processors = f"not measured: {zones}"
    else:
        processors = f"RAPL of {', '.join(zone.name for zone in zones)}, a column of its own"
    return [
        ("energy of GPU cells", "; ".join(map(_how_measured, nvml.gpus()))),
        ("energy of CPU cells", "no joules of a board: tables will say `not measured`"),
        ("processors' energy", processors),
        *([("NVML's binding", _HIDES.format(hiding))] if (hiding := nvml.foreign_binding()) else []),
    ]


def _how_measured(board: nvml.Gpu | Unavailable) -> str:
    """How the board's joules are read, or why they are not."""
    if isinstance(board, Unavailable):
        return f"not measured: {board}"
    if obstacle := board.obstacle(is_whole=True):
        how = f"not measured: {obstacle}"
    elif board.measured_by == "counter":
        how = "measured by its energy counter"
    else:
        how = "measured by power samples, as its counter cannot be read"
    return f"{board.name}: {how}{'; a simulation, not for publication' if board.simulated else ''}"


def _slurm() -> list[tuple[str, str]]:
    """What a job can ask for, a line for each kind of node; nothing where there is no Slurm."""
    try:
        found = slurm.partitions()
    except UserError as error:
        return [("Slurm", f"does not answer: {error}")]
    return [(f"Slurm: {one.name}", _offer(one)) for one in found or []]


def _offer(kind: slurm.Partition) -> str:
    gpus = f"{kind.gpus} GPUs" if kind.gpus else "no GPU"
    return f"{kind.nodes} × {kind.cpus} CPUs, {kind.memory_mb} MB, {gpus}; {kind.state}; limit {kind.limit}"


def _data() -> list[tuple[str, str]]:
    return [("data cache", str(cache.folder())), *((name, origin(name)) for name in registry.datasets.names())]


def cluster_view(nodes: Sequence[Node]) -> Document:
    """One line per node: hardware, GPUs, the data it would have to download, versions."""
    rows = []
    for node in nodes:
        missing = [name for name, where in node.data.items() if where.startswith("download")]
        versions = ", ".join(f"{name} {node.versions[name]}" for name in MUST_AGREE)
        gpus = "; ".join(map(str, node.gpus))
        rows.append((node.name, node.hardware, gpus, ", ".join(missing) or "nothing", versions))
    return [Table(texts(("node", "hardware", "GPUs", "would download", "versions")), rows)]
