"""Where the tests find the real data and the published figures, and why they skip without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


def _reference_folders() -> list[Path]:
    beside = os.environ.get("DTCBENCH_DATA_DIR")
    return [*([Path(beside).parent / "reference"] if beside else []), SHARED / "reference"]
