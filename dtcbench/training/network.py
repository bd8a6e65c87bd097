"""A registered model as a network: built, traced and counted on a sample, or with its weights drawn anew."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy

from dtcbench import cores, registry
from dtcbench.errors import CompressionError, UserError
from dtcbench.models.packages import package_of
from dtcbench.plan.cell import Choice
from dtcbench.text import bytes_text, error_line
from dtcbench.training.checkpoint import start_from
from dtcbench.training.determinism import torch_generator
from dtcbench.training.surgery import Surgery

_SIDES = (32, 48, 64, 96, 128, 192, 224, 256, 299, 384)
"""Pixels that a library's network may need a side, the fewest first."""
_MOST_TENSORS = 100_000
"""Of a network's parameters: thousands of layers would be built for hours."""


class ModelError(UserError):
    """A model cannot be built, or traced on samples of some shape; `__cause__` is the error that it raised, if any."""


def build(model: Choice, shape: tuple[int, ...], classes: int, generator: torch.Generator) -> nn.Module:
    """The network for samples of `shape`, its weights drawn from `generator`, or those of the checkpoint that it names.

    UserError if the model refuses such samples, ModelError if it fails, CheckpointError if the checkpoint does not fit.
    """
    make = registry.models.bind(model.name, model.values)
    try:
        network = make(shape, classes, generator=generator)
    except UserError:
        raise
    except Exception as error:  # a model may raise anything
        raise _mistake(model, shape, f"{_layer(error)}{error_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise _mistake(model, shape, f"it gave {_kind(network)} and not a torch.nn.Module")
    start_from(model, network)
    return network


@contextmanager
def blaming_the_model(
    model: Choice, network: nn.Module, example: torch.Tensor, logits: tuple[int, ...]
) -> Iterator[None]:
    """While the network that `model` built is traced on one sample [1, …]: its errors are reported as the model's.

    ModelError if the block raises anything but a UserError or CompressionError, or if the network gave an output that
    is not logits of that shape.
    """
    shape, seen = tuple(example.shape[1:]), list[Any]()
    hook = network.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        yield
    except UserError:
        raise
    except CompressionError as error:
        _refuse_other_output(model, shape, seen, logits)
        raise CompressionError(f"model {model.name}: {error}") from error
    except Exception as error:  # a model may raise anything
        _refuse_other_output(model, shape, seen, logits)  # this says more than the tracer's error
        raise _mistake(model, shape, f"{_layer(error)}{error_line(error)}") from error
    finally:
        hook.remove()
    _refuse_other_output(model, shape, seen, logits)


@contextmanager
def counting(model: Choice, example: torch.Tensor) -> Iterator[None]:
    """While FLOPs of the network that `model` built are counted on one sample [1, …].

    CompressionError, or ModelError if the block raises anything else: a network that cannot be counted is refused.
    """
    try:
        yield
    except CompressionError as error:
        raise CompressionError(f"model {model.name}: {error}") from error
    except Exception as error:  # a model may raise anything
        what = f"its FLOPs cannot be counted: {error_line(error)}"
        raise _mistake(model, tuple(example.shape[1:]), what) from error


def blank(shape: tuple[int, ...], count: int = 1) -> torch.Tensor:
    """So many blank samples [count, …]: images, or texts where the shape has one axis."""
    return torch.zeros(count, *shape, dtype=torch.int64 if len(shape) == 1 else torch.float32)


def outlined(
    model: Choice, shape: tuple[int, ...], classes: int, groups: registry.Groups = "simple"
) -> tuple[nn.Module, Surgery]:
    """The network and its groups of this kind without its weights, which alone take memory and time.

    It lies on torch's meta device; a model that looks at values is built in full.
    UserError if the model refuses samples of `shape`, or is larger than this machine's memory; ModelError if it fails.
    """
    try:
        return _outlined(model, shape, classes, groups, "meta")
    except ModelError as error:
        if "meta" not in str(error).lower():
            raise
    return _outlined(model, shape, classes, groups, "cpu")


def _outlined(
    model: Choice, shape: tuple[int, ...], classes: int, groups: registry.Groups, device: str
) -> tuple[nn.Module, Surgery]:
    is_text = len(shape) == 1
    with torch.device(device):
        with _bounded(model):
            network = build(model, shape, classes, torch.Generator("cpu").manual_seed(0))
        try:
            example = blank(shape)
        except (RuntimeError, MemoryError) as error:
            raise _mistake(model, shape, error_line(error)) from error
        with blaming_the_model(model, network, example, (1, *shape, classes) if is_text else (1, classes)):
            return network, Surgery(network, example, groups)


@contextmanager
def _bounded(model: Choice) -> Iterator[None]:
    """While a network is built without its weights: UserError once they would not fit into this machine's memory."""
    tensors = numbers = size = 0
    memory = cores.memory()

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal tensors, numbers, size
        if parameter is None or is_lazy(parameter):
            return
        tensors, numbers, size = tensors + 1, numbers + parameter.numel(), size + parameter.nbytes
        if size > memory or tensors > _MOST_TENSORS:
            limit = f"this machine has {bytes_text(memory)}" if size > memory else f"{_MOST_TENSORS:,} are the most"
            raise UserError(
                f"model {model.label}: its first {tensors:,} parameter tensors have {numbers:,} numbers and take "
                f"{bytes_text(size)}, without gradients and the optimiser's state; {limit}; make the network smaller"
            )

    with register_module_parameter_registration_hook(count):
        yield


def draw_anew(model: nn.Module, seed: int) -> None:
    """Draw every parameter anew by torch's convention, `reset_parameters`, of the outermost modules that have it.

    Drawn on the CPU, so that a seed means the same weights on every device. CompressionError names a
    parameter that no module draws.
    """
    device = next(model.parameters()).device
    model.cpu()
    drawn: set[nn.Parameter] = set()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_generator(seed, "scratch").initial_seed())  # not CUDA's
        for module, reset in _drawing(model):
            reset()
            drawn.update(module.parameters())
    for name, parameter in model.named_parameters():
        if parameter not in drawn:
            raise CompressionError(f"parameter {name} is drawn by no module; give its module a `reset_parameters`")
    model.to(device)


def _drawing(module: nn.Module) -> Iterator[tuple[nn.Module, Callable[[], Any]]]:
    """The outermost modules that draw their parameters, and their means to."""
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        yield module, reset
    else:
        for child in module.children():
            yield from _drawing(child)


def _refuse_other_output(model: Choice, shape: tuple[int, ...], seen: list[Any], logits: tuple[int, ...]) -> None:
    for output in seen[-1:]:
        if not isinstance(output, torch.Tensor) or tuple(output.shape) != logits:
            raise _mistake(model, shape, f"forward gave {_kind(output)} and not logits {list(logits)}")


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {list(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"


def _mistake(model: Choice, shape: tuple[int, ...], what: str) -> ModelError:
    kind = "texts" if len(shape) == 1 else "samples"
    on = f"model {model.label} on {kind} of shape {'×'.join(map(str, shape))}"
    return ModelError(f"{on}: {what}; {_remedy(model, shape)}")


def _remedy(model: Choice, shape: tuple[int, ...]) -> str:
    if package_of(registry.models.get(model.name)) is None:
        return f"choose another input, or mend the model: `dtcbench selftest {model.name}` tries it"
    if side := _fitting_side(model, shape):
        return f"write size: {side}, to which the network's images are then brought"
    return "correct its arguments, or choose another architecture or data set"


def _fitting_side(model: Choice, shape: tuple[int, ...]) -> int | None:
    """The fewest pixels a side, more than the images have, with which the package's network runs; None for none."""
    if len(shape) != 3:
        return None
    now = model.values.get("size") or max(shape[1:])
    for side in (side for side in _SIDES if side > now):
        with suppress(Exception), torch.device("meta"), torch.no_grad():  # a network may raise anything
            make = registry.models.bind(model.name, {**model.values, "size": side})
            make(shape, 2, generator=torch.Generator("cpu").manual_seed(0)).eval()(blank(shape))
            return side
    return None


def _layer(error: Exception) -> str:
    """The innermost layer in which a network's own code failed, as an error names it: `layer pool (MaxPool2d): `."""
    seen = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [one for one in seen if isinstance(one, nn.Module)]
    if not modules:
        return ""
    names = {module: name for name, module in modules[0].named_modules()} if "_modules" in vars(modules[0]) else {}
    name = names.get(modules[-1], "")
    return f"layer {name} ({type(modules[-1]).__name__}): " if name else f"{type(modules[-1]).__name__}: "
