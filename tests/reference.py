"""Where the tests find the real data and the published figures, and why they skip without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[2] / "shared"


def data_dir() -> Path:
    """The folder with `mnist/*.gz`: DTCBENCH_DATA_DIR, else ../shared/data; skips without either."""
    folder = Path(os.environ.get("DTCBENCH_DATA_DIR", SHARED / "data"))
    if not (folder / "mnist" / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"no MNIST files in {folder}: set DTCBENCH_DATA_DIR")
    return folder


def power_file(name: str) -> Path:
    """A recording of power from `power/`, where `data_dir` looks too; skips where it is absent."""
    file = Path(os.environ.get("DTCBENCH_DATA_DIR", SHARED / "data")) / "power" / name
    if not file.is_file():
        pytest.skip(f"no {file}: set DTCBENCH_DATA_DIR to a folder with power/{name}")
    return file


def reference_file(name: str) -> Path:
    """A file of published figures, beside the data folder; skips where it is absent."""
    found = [root / name for root in _reference_folders() if (root / name).is_file()]
    if not found:
        pytest.skip(f"no reference/{name} beside DTCBENCH_DATA_DIR or in ../shared")
    return found[0]


def skip_unless_rounding_as_the_reference() -> None:
    """Skips where products round otherwise than where the published figures were computed again: torch 2.13.0 with
    AVX-512 on a processor of Intel's. MKL takes other code on other makers' processors, whatever they can do.
    """
    if not torch.__version__.startswith("2.13.0"):
        pytest.skip(f"the reference was computed by torch 2.13.0, not {torch.__version__}")
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not _is_intels():
        pytest.skip("the reference was computed with AVX-512 on a processor of Intel's; others round differently")


def _is_intels() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def _reference_folders() -> list[Path]:
    beside = os.environ.get("DTCBENCH_DATA_DIR")
    return [*([Path(beside).parent / "reference"] if beside else []), SHARED / "reference"]
