"""Floating-point operations: of a network, by torch's counter, and the steps that a budget of them allows.

They are never converted to energy. A multiplication and an addition are two. What is counted does not depend on the
device that the network is on.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dtcbench.cycles import Cycles
from dtcbench.errors import CompressionError
from dtcbench.plan.cell import Cell
from dtcbench.training.copies import copied
from dtcbench.training.determinism import seeded_globals
from dtcbench.training.loop import samples_in
from dtcbench.training.propagation import plain_operations
from dtcbench.training.surgery import Surgery

_KNOWN: OrderedDict[bytes, int] = OrderedDict()
"""By structure, FLOPs that this process has counted: a suite's cells go through the same widths again and again."""
_MOST_KNOWN = 10_000
_PLAIN = (bool, int, float, str, tuple, type(None))
_OURS = ("torch.nn.", "dtcbench.models.")
"""Modules whose classes stay as they are while the process lasts, and do what their settings say."""


def inference_flops(model: nn.Module, example: torch.Tensor) -> int:
    """FLOPs of the forward pass of one sample, `example` [1, …], in evaluation mode.

    The network stays as it is. It raises what its forward pass raises.
    """
    return _known("inference", model, example, _inference_flops)


def training_flops(model: nn.Module, example: torch.Tensor) -> int:
    """FLOPs of the forward and backward pass of one sample, `example` [1, …]; the optimiser's are not counted.

    The network stays as it is. CompressionError if it cannot learn; it raises what its passes raise.
    """
    return _known("training", model, example, _training_flops)


def _known(what: str, model: nn.Module, example: torch.Tensor, count: Callable[[nn.Module, torch.Tensor], int]) -> int:
    """What `count` counts, once for each structure of a network of known classes."""
    if (structure := _structure(model, example)) is None:
        return count(model, example)
    key = hashlib.sha256(f"{what} {structure}".encode()).digest()
    if key not in _KNOWN:
        _KNOWN[key] = count(model, example)
    _KNOWN.move_to_end(key)
    if len(_KNOWN) > _MOST_KNOWN:
        _KNOWN.popitem(last=False)
    return _KNOWN[key]


def _structure(model: nn.Module, example: torch.Tensor) -> str | None:
    """All that decides a network's count: classes, settings, shapes. None if it has a class that may do anything."""
    parts: list[Any] = [example.shape, example.dtype]
    for name, module in model.named_modules(remove_duplicate=False):
        has_hooks = bool(module._forward_hooks or module._forward_pre_hooks)
        settings = {key: _setting(value) for key, value in vars(module).items() if not key.startswith("_")}
        if not _is_ours(type(module)) or has_hooks or None in settings.values():
            return None
        parts.append((name, _name(type(module)), module.extra_repr(), sorted(settings.items())))
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        parts.append((name, tensor.shape, tensor.dtype, tensor.requires_grad))
    return repr(parts)


def _is_ours(value: Any) -> bool:
    return f"{value.__module__}.".startswith(_OURS)


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _setting(value: Any) -> str | None:
    """A module's setting as text that says all about it; None if there is none."""
    if isinstance(value, FunctionType):
        return _name(value) if _is_ours(value) and value.__closure__ is None else None
    return repr(value) if isinstance(value, _PLAIN) else None


def _inference_flops(model: nn.Module, example: torch.Tensor) -> int:
    return int(_counter(model, example, _forward).get_total_flops()) // 2


def _training_flops(model: nn.Module, example: torch.Tensor) -> int:
    return int(_counter(model, example, _forward_and_backward).get_total_flops()) // 2


_Passes = Callable[[nn.Module, torch.Tensor], None]


def _forward(model: nn.Module, samples: torch.Tensor) -> None:
    with torch.no_grad():
        model.eval()(samples)


def _forward_and_backward(model: nn.Module, samples: torch.Tensor) -> None:
    output: torch.Tensor = model.train()(samples)
    if not output.requires_grad:
        raise CompressionError(
            "no gradient reaches its parameters; give forward an output that depends on a trainable one"
        )
    output.sum().backward()


def _counter(model: nn.Module, example: torch.Tensor, passes: _Passes) -> FlopCounterMode:
    """The counter after `passes` of a copy of the network over two samples.

    Two, because in training mode batch norm refuses a single value per channel.
    """
    samples = torch.cat([example, example])
    try:
        return _counted(copied(model).to("meta"), samples.to("meta"), passes)  # shapes alone decide most counts
    except Exception:  # it looks at values, or at what torch cannot tell from shapes
        return _counted(copied(model), samples, passes)


def _counted(network: nn.Module, samples: torch.Tensor, passes: _Passes) -> FlopCounterMode:
    formulas = {torch.ops.aten.convolution_backward: _convolution_backward}
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    with seeded_globals(0), plain_operations(), counter:
        passes(network, samples)
    return counter


def _convolution_backward(
    output: Sequence[int], inputs: Sequence[int], weight: Sequence[int], *settings: Any, out_shape: Any
) -> int:
    """FLOPs of a convolution's gradients, from shapes; torch's own formula takes no notice of groups.

    Each gradient, of the inputs [N, …] or of the weights, has the products of the forward pass: every weight at every
    place of the output, or of the input if the convolution is transposed. `out_shape` is a name of torch's.
    """
    _bias, _stride, _padding, _dilation, transposed, _output_padding, _groups, (of_inputs, of_weights, _) = settings
    places = math.prod((inputs if transposed else output)[2:])
    return 2 * inputs[0] * math.prod(weight) * places * (int(of_inputs) + int(of_weights))


def compressed_flops(model: nn.Module, example: torch.Tensor, protocol: Cycles, cell: Cell, samples: int) -> int:
    """Training FLOPs of a cell of the same sparsity and groups that compresses `model`, on an epoch of `samples`.

    Widths alone decide them, so a copy of the network is shrunk by the schedule, untrained. CompressionError
    if a group would be empty.
    """
    rehearsal = copied(model)
    surgery = Surgery(rehearsal, example, cell.groups)
    widths = {group.name: group.width for group in surgery.groups}
    total = done = 0
    for number, fraction in enumerate(protocol.fractions(cell.sparsity or 0.0), start=1):
        seen = samples_in(number * protocol.cycle_steps, samples, protocol.batch_size)
        total += training_flops(rehearsal, example) * (seen - done)
        done = seen
        for group in surgery.groups:
            surgery.shrink(group, np.arange(round(widths[group.name] * fraction)), None)
    rest = samples_in(protocol.steps, samples, protocol.batch_size) - done
    return total + training_flops(rehearsal, example) * rest


def steps_for(flops: int, per_sample: int, samples: int, batch_size: int) -> int:
    """The most steps whose batches cost no more than `flops`, at least one."""
    epochs, rest = divmod(flops // per_sample, samples)
    return max(1, epochs * math.ceil(samples / batch_size) + rest // batch_size)
