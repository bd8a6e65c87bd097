"""A network to take home: as an exported program, as ONNX, or as its weights alone."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Callable

import torch
from torch import nn

from dtcbench.errors import UserError, near
from dtcbench.text import error_line
from dtcbench.training import tensors
from dtcbench.training.network import blank

_ONNX = ("onnx", "onnxscript")
"""What torch's exporter to ONNX needs."""
_BATCHES = (2, 3)
"""Sizes of the batches that an exported program is tried on: the one it was traced with, and another."""


def ending_of(file: str) -> str:
    """The file's ending, which says what is exported; UserError for one that is not known."""
    ending = f".{file.rpartition('.')[2]}" if "." in file else ""
    if ending not in FORMATS:
        raise UserError(f"--to {file}: unknown ending {ending!r}; {near(ending, list(FORMATS))}")
    return ending


def exported(network: nn.Module, shape: tuple[int, ...], ending: str) -> bytes:
    """The content of a file with this ending: the network in evaluation mode, for batches of samples of `shape`.

    `.pt2` is a program of `torch.export`, whose answers are the network's to the last bit: that is tried here. `.onnx`
    is torch's own translation, whose runtimes round differently. `.safetensors` is the state dict.

    UserError if torch cannot export the network, or a package is missing.
    """
    return FORMATS[ending](network.eval(), shape)


def _program(network: nn.Module, shape: tuple[int, ...]) -> bytes:
    try:
        program = torch.export.export(network, (blank(shape, _BATCHES[0]),), dynamic_shapes=(_any_batch(),))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        saved = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    except Exception as error:  # torch raises nearly anything for what it cannot trace
        raise _cannot("torch.export", error) from error
    with torch.no_grad():
        for count in _BATCHES:
            samples = _samples(shape, count)
            if not torch.equal(saved(samples), network(samples)):
                raise UserError(
                    "torch.export gave a program with other answers than the network's; export .safetensors"
                )
    return buffer.getvalue()


def _onnx(network: nn.Module, shape: tuple[int, ...]) -> bytes:
    if missing := [name for name in _ONNX if importlib.util.find_spec(name) is None]:
        raise UserError(f"export to ONNX needs {' and '.join(missing)}: pip install 'dtcbench[onnx]'")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that no network here needs
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # torch's, of its own calls
            program = torch.onnx.export(
                network, (blank(shape, _BATCHES[0]),), dynamo=True, dynamic_shapes=(_any_batch(),), verbose=False
            )
        assert program is not None  # noqa: S101 - torch writes no file unless it is named
        content: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # as above
        raise _cannot("torch.onnx", error) from error
    return content


def _weights(network: nn.Module, shape: tuple[int, ...]) -> bytes:
    return tensors.written(network.state_dict(), {})


FORMATS: dict[str, Callable[[nn.Module, tuple[int, ...]], bytes]] = {
    ".pt2": _program,
    ".onnx": _onnx,
    ".safetensors": _weights,
}
"""By ending, what makes the file's content."""


def _any_batch() -> dict[int, object]:
    """Of the samples' axes, the first may have any length."""
    return {0: torch.export.Dim.DYNAMIC}


def _samples(shape: tuple[int, ...], count: int) -> torch.Tensor:
    """Samples that are not alike: pixels drawn by one seed, or the tokens 0 and 1, which every vocabulary has."""
    generator = torch.Generator().manual_seed(0)
    samples = blank(shape, count)
    drawn = torch.randint(2, samples.shape, generator=generator)
    return drawn if samples.dtype == torch.int64 else torch.randn(samples.shape, generator=generator)


def _cannot(exporter: str, error: Exception) -> UserError:
    return UserError(f"{exporter} cannot export this network: {error_line(error)}; export .safetensors")
