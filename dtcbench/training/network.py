"""A registered model as a network: built, and traced on a sample. What it does wrong there is told as its mistake."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dtcbench import registry
from dtcbench.errors import UserError
from dtcbench.plan.cell import Choice
from dtcbench.text import error_line
from dtcbench.training.surgery import Surgery


class ModelError(UserError):
    """A model that cannot be built, or traced on samples of some shape; the cause is what it raised, if it did."""


def build(model: Choice, shape: tuple[int, ...], classes: int, generator: torch.Generator) -> nn.Module:
    """The network for samples of `shape`, its weights drawn from `generator`.

    UserError where the model refuses such samples, ModelError where it fails.
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
    return network


def traced(model: Choice, network: nn.Module, example: torch.Tensor, logits: tuple[int, ...]) -> Surgery:
    """The prunable groups of the network that `model` built, traced on one sample [1, …].

    ModelError where that fails, or does not give logits of that shape.
    """
    shape, seen = tuple(example.shape[1:]), list[Any]()
    hook = network.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        surgery = Surgery(network, example)
    except UserError:
        raise
    except Exception as error:  # a model may raise anything
        _refuse_other_output(model, shape, seen, logits)  # of which tracing knows less to say
        raise _mistake(model, shape, error_line(error)) from error
    finally:
        hook.remove()
    _refuse_other_output(model, shape, seen, logits)
    return surgery


def outlined(model: Choice, shape: tuple[int, ...], classes: int) -> tuple[nn.Module, Surgery]:
    """The network and its groups without its weights, which alone take memory and time.

    It lies on torch's meta device, but for a model that looks at values: that one is built in full.
    UserError where the model refuses samples of `shape`, ModelError where it fails.
    """
    try:
        return _outlined(model, shape, classes, "meta")
    except ModelError as error:
        if "meta" not in str(error).lower():
            raise
    return _outlined(model, shape, classes, "cpu")


def _outlined(model: Choice, shape: tuple[int, ...], classes: int, device: str) -> tuple[nn.Module, Surgery]:
    is_text = len(shape) == 1
    with torch.device(device):
        network = build(model, shape, classes, torch.Generator("cpu").manual_seed(0))
        try:
            example = torch.zeros(1, *shape, dtype=torch.int64 if is_text else torch.float32)
        except (RuntimeError, MemoryError) as error:
            raise _mistake(model, shape, error_line(error)) from error
        return network, traced(model, network, example, (1, *shape, classes) if is_text else (1, classes))


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
