"""A registered model as a network: built, traced and counted on a sample, or with its weights drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dtcbench import registry
from dtcbench.errors import CompressionError, UserError
from dtcbench.plan.cell import Choice
from dtcbench.text import error_line
from dtcbench.training.checkpoint import start_from
from dtcbench.training.determinism import torch_generator
from dtcbench.training.surgery import Surgery


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
        raise _mistake(model, shape, error_line(error)) from error
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
        raise _mistake(model, shape, error_line(error)) from error
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
    UserError if the model refuses samples of `shape`, ModelError if it fails.
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
        network = build(model, shape, classes, torch.Generator("cpu").manual_seed(0))
        try:
            example = blank(shape)
        except (RuntimeError, MemoryError) as error:
            raise _mistake(model, shape, error_line(error)) from error
        with blaming_the_model(model, network, example, (1, *shape, classes) if is_text else (1, classes)):
            return network, Surgery(network, example, groups)


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
    remedy = f"choose another input, or mend the model: `dtcbench selftest {model.name}` tries it"
    return ModelError(f"model {model.name} on {kind} of shape {'×'.join(map(str, shape))}: {what}; {remedy}")
