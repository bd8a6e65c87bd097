"""Forward passes that torch compiles, and with each its backward pass. docs/design.md has the rules of `compile`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import nn

from dtcbench.energy.nvml import is_simulated
from dtcbench.plan.cell import Choice
from dtcbench.text import error_line
from dtcbench.training.network import ModelError

_OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {
    "deterministic": True,  # else a GPU's kernels are chosen by timing them, and the choice decides how sums round
    "compile_threads": 1,  # else processes of torch's stay beside the cell, and take the cores of others
}
Shapes = tuple[torch.Size, ...]


class CompiledPasses:
    """The forward passes of one cell's networks: one for each set of widths, compiled for each size of a batch."""

    def __init__(self) -> None:
        self._of_shapes: dict[Shapes, tuple[Callable[[nn.Module, torch.Tensor], torch.Tensor], set[int]]] = {}
        self._shapes: Shapes = ()

    def __call__(self, network: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """The output of a network with the widths that were turned to last."""
        forward, _ = self._of_shapes[self._shapes]
        return forward(network, x)

    def turn_to(self, network: nn.Module, sizes: set[int]) -> list[int]:
        """Turn to the network's present widths; the sizes of batches for which nothing is compiled at them."""
        self._shapes = tuple(parameter.shape for parameter in network.parameters())
        if self._shapes not in self._of_shapes:
            self._of_shapes[self._shapes] = _compiled(), set()
        return sorted(sizes - self._of_shapes[self._shapes][1])

    @contextmanager
    def compiling(self, model: Choice, sizes: list[int], device: torch.device) -> Iterator[None]:
        """While each size goes through the network once, and is compiled so; ModelError if that cannot be."""
        try:
            yield
        except Exception as error:  # a model may raise anything, and torch has many errors of its own
            why = lacking(device.type) or f"torch cannot compile it as a whole: {error_line(error)}; mend its forward"
            raise ModelError(f"model {model.label}: {why}, or remove protocol.compile") from error
        self._of_shapes[self._shapes][1].update(sizes)

    @contextmanager
    def computing(self, model: Choice) -> Iterator[None]:
        """While steps are taken: nothing is compiled in them, and none falls back to a pass that is not compiled.

        ModelError where one would. Free for a cell that compiles nothing.
        """
        try:
            with torch.compiler.set_stance("fail_on_recompile") if self._of_shapes else nullcontext():
                yield
        except RuntimeError as error:
            if "fail_on_recompile" not in str(error):
                raise
            raise ModelError(
                f"model {model.label}: a training step would have to compile it anew, because its code depends on more "
                "than its widths and its input's shape; mend its forward, or remove protocol.compile"
            ) from error


def lacking(device: str) -> str | None:
    """What this machine lacks to compile passes for a device, `cpu` or `cuda`, with the remedy; None if nothing."""
    if is_simulated(os.environ):
        device = "cpu"
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        return "torch compiles for GPUs by Triton, and it is not installed; install it (`pip install triton`)"
    variable, compiler = ("CC", "gcc") if device == "cuda" else ("CXX", "g++")
    compiler = os.environ.get(variable, compiler)
    if shutil.which(compiler) is None:
        return f"torch needs the compiler {compiler}, and it is not on PATH; install it, name another by {variable}"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "torch's compiler needs Python.h, and it is not installed; install Python's headers (python3-dev)"
    return None


def _compiled() -> Callable[[nn.Module, torch.Tensor], torch.Tensor]:
    def forward(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = network(x)
        return output

    # Torch keeps what it compiled with the code, and of one code no more than eight: this pass has one of its own.
    own = FunctionType(forward.__code__.replace(), globals())
    options = {name: value for name, value in _OPTIONS.items() if name in torch._inductor.list_options()}
    compiled: Callable[[nn.Module, torch.Tensor], torch.Tensor] = torch.compile(
        own, fullgraph=True, dynamic=False, options=options
    )
    return compiled
