"""Which axes of a network's tensors belong together, seen in its forward passes.

Every tensor operation of a pass is seen as it runs, below autograd and below the modules: whatever a network is
written with, it comes down to a few dozen kinds of operations. An operation without a rule fixes the axes that it
touches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from dtcbench.errors import CompressionError
from dtcbench.training.determinism import seeded_globals
from dtcbench.training.rules import rule_of
from dtcbench.training.tracing import Call, ForwardPass, each, tensors

_MOST_OPERATIONS = 200_000


class _Following(TorchDispatchMode):
    """Records in a forward pass every operation that runs within it."""

    def __init__(self, forward: ForwardPass) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self._forward = forward

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if len(self._forward.log) >= _MOST_OPERATIONS:
            raise CompressionError(f"a forward pass of more than {_MOST_OPERATIONS} operations is not followed")
        result = func(*args, **(kwargs or {}))
        call = Call(self._forward, func, args, kwargs or {}, result)
        self._forward.record(call, rule_of(call)(call))
        return result


@contextmanager
def plain_operations() -> Iterator[None]:
    """Attention and recurrent layers as products of matrices, without torch's fused kernels."""
    libraries: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.mkldnn)
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        for library in libraries:
            stack.callback(setattr, library, "enabled", library.enabled)
            library.enabled = False
        yield


def propagate(model: nn.Module, example: Any) -> ForwardPass:
    """The axes of a network on one sample [1, …], or on a tuple or dict of its arguments; its mode changes.

    The axes of its input and output are fixed. Its own errors in evaluation mode are passed on.
    """
    forward = ForwardPass(model)
    with torch.inference_mode(False), torch.no_grad(), plain_operations(), seeded_globals(0):
        with suppress(Exception):  # what it does in training alone, as auxiliary heads do, and as far as it can
            _pass(model.train(), each(example, _doubled), forward)
        forward.products.clear()
        _pass(model.eval(), example, forward)
    return forward


def called(model: nn.Module, inputs: Any) -> Any:
    """The network's output for a tensor, for a tuple of its arguments, or for a dict of them by name."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _pass(model: nn.Module, example: Any, forward: ForwardPass) -> None:
    for tensor in tensors(example):
        forward.enter(tensor)
    with _Following(forward):
        output = called(model, example)
    forward.fix(output, "the output's")


def _doubled(tensor: torch.Tensor) -> torch.Tensor:
    """Two samples, because in training mode batch norm refuses a single value per channel."""
    return torch.cat([tensor, tensor]) if tensor.dim() and len(tensor) == 1 else tensor
