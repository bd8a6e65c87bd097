"""What two records of one cell must agree in: the numbers of a result, without the seconds that it took. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dtcbench.record import Provenance, Result

_SECONDS = {"train_s", "compress_s", "evaluate_s", "solver_s"}


def numbers(result: Result) -> dict[str, Any]:
    """Everything in a result that the cell's key and the stack decide, as plain values."""
    untimed: dict[str, Any] = _untimed(result.model_dump(mode="json"))
    return untimed


def differences(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every place at which two results' numbers differ, with both values, in the order of the record."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(other.keys() - one.keys())]:
            yield from differences(one.get(name), other.get(name), f"{place}.{name}".removeprefix("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{place}[{number}]")
    elif one != other:
        yield place, one, other


def conditions(provenance: Provenance) -> dict[str, Any]:
    """Conditions under which one cell gives equal numbers: versions, processors, threads, data."""
    processor = {"gpu": provenance.gpu, "driver": provenance.driver} if provenance.device == "cuda" else {}
    return {
        "device": provenance.device,
        "processor": provenance.cpu,
        **processor,
        "threads": provenance.threads,
        "python": provenance.python,
        "dtcbench": provenance.dtcbench,
        **provenance.packages,
        **{f"kernels of {name}": kind for name, kind in provenance.kernels.items()},
        **{f"plug-in {name}": digest for name, digest in provenance.plugins.items()},
        **({"data set": provenance.dataset_sha256} if provenance.dataset_sha256 else {}),
    }


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _untimed(inner) for name, inner in value.items() if name not in _SECONDS}
    return [_untimed(inner) for inner in value] if isinstance(value, list) else value
