"""What the networks of other libraries share: their packages, their random numbers, their inputs and outputs.

A library's network stays what it is, with the names of its parameters, so that its checkpoints fit. What it lacks are
hooks and an attribute: grey images become coloured, an output object becomes its logits, `reset_parameters` draws anew.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Annotated, Any, TypeVar

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from dtcbench.errors import AbsentError, UserError, alike
from dtcbench.models.shapes import image_shape
from dtcbench.registry import models

Arguments = Mapping[str, Any]
"""Arguments of a network's constructor, as JSON values."""
Pixels = Annotated[int, Field(ge=0, le=1024)]
"""A side that images are brought to; 0 leaves them. Memory grows with its square, and hardly a classifier of the
libraries was made for more than 1024."""
Model = TypeVar("Model", bound=Callable[..., nn.Module])

_ELSEWHERE = re.compile(
    r"_(?!remove_final_layer_norm$).*|pretrained(?!_window).*|.*_or_path|checkpoint_path|cache_dir|file|url|hf_hub_id"
    r"|weights|weights_backbone|backbone|use_pretrained_backbone|auto_map|attribute_map|quantization_config"
    r"|(attn|experts)_implementation"
)
"""Arguments that lead to files, weights or code elsewhere, or to what the libraries keep to themselves: a suite may be
a stranger's. Not so `_remove_final_layer_norm` of OPT and `pretrained_window_sizes` of Swin V2."""
_PLACE = re.compile(r"[\w.+-]+:\S.*|.*[/\\].*", re.DOTALL)
"""Values that are paths or names on a hub, such as `hf-hub:timm/resnet18`."""


@dataclass(frozen=True)
class Package:
    """A package that dtcbench can do without; `pip install 'dtcbench[NAME]'` brings it."""

    name: str
    example: Mapping[str, Any]
    """Options with which `selftest` tries the model."""

    @property
    def missing(self) -> str:
        """Why it cannot be used, and the remedy; empty if it is installed."""
        if importlib.util.find_spec(self.name):
            return ""
        return f"{self.name} is not installed; pip install 'dtcbench[{self.name}]'"

    def module(self) -> ModuleType:
        """The package, imported. AbsentError if it is not installed, or does not fit the installed torch."""
        if self.missing:
            raise AbsentError(f"model {self.name}: {self.missing}")
        try:
            return importlib.import_module(self.name)
        except (ImportError, RuntimeError) as error:  # torchvision raises either beside another torch
            raise AbsentError(
                f"model {self.name}: the package cannot be imported ({error}); install it anew"
            ) from error


def needs(package: Package) -> Callable[[Model], Model]:
    """Decorator, below `register_model`, for the model that builds the library's networks."""

    def decorate(model: Model) -> Model:
        model.package = package  # type: ignore[attr-defined]
        return model

    return decorate


def package_of(model: Callable[..., object]) -> Package | None:
    """The library whose networks a registered model builds; None if they are dtcbench's or a plug-in's own."""
    found = getattr(model, "package", None)
    return found if isinstance(found, Package) else None


def building(model: str) -> tuple[str, ...]:
    """The name of the package that builds the networks of the registered model, if one does; none of unknown models."""
    package = package_of(models.get(model)) if model in models.names() else None
    return (package.name,) if package else ()


def refuse_unknown(model: str, architecture: str, known: Collection[str]) -> None:
    """UserError if the library does not have the architecture; it may have thousands."""
    if not architecture:
        raise UserError(f"model {model}: which architecture? Write {{name: {model}, architecture: …}}")
    if architecture not in known:
        close = " or ".join(map(repr, alike(architecture, known)))
        raise UserError(
            f"model {model}: unknown architecture {architecture!r}; "
            + (f"did you mean {close}?" if close else f"it has {len(known)}, such as {min(known)}")
        )


def refuse_arguments(model: str, arguments: Arguments, taken: Collection[str]) -> None:
    """UserError if a suite gives an argument that is the adapter's, or, at any depth, one that leads elsewhere."""
    if wrong := sorted({*(arguments.keys() & set(taken)), *_leading_elsewhere(arguments)}):
        raise UserError(f"model {model}: argument {', '.join(wrong)} is not the suite's to give; remove it")


def _leading_elsewhere(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if _ELSEWHERE.fullmatch(name):
                yield f"{place}{name}"
            else:
                yield from _leading_elsewhere(inner, f"{place}{name}.")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leading_elsewhere(inner, place)
    elif isinstance(value, str) and _PLACE.fullmatch(value):
        yield f"{place.rstrip('.')} {value!r}"


def constructed(make: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """The network that `make` constructs, its weights drawn from `generator`, on torch's default device.

    Its `reset_parameters(generator=None)` constructs another one, and takes of each tensor the first entries along each
    axis that the network still has: the library's rule at the original widths.
    """
    network = _drawn(make, generator)
    network.reset_parameters = partial(_draw_anew, network, make)  # type: ignore[assignment]
    return network


def _drawn(make: Callable[[], nn.Module], generator: torch.Generator | None) -> nn.Module:
    """Constructors draw from torch's global generator: it is seeded for them, and left as it was."""
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device="cpu"))
    device = torch.get_default_device()
    with torch.random.fork_rng(devices=[]), torch.device("meta" if device.type == "meta" else "cpu"):
        torch.default_generator.manual_seed(seed)
        return make().to(device)


def _draw_anew(network: nn.Module, make: Callable[[], nn.Module], generator: torch.Generator | None = None) -> None:
    fresh = _drawn(make, generator).state_dict()
    for name, tensor in network.state_dict().items():
        tensor.copy_(fresh[name][tuple(map(slice, tensor.shape))])


def fitted_shape(model: str, input_shape: tuple[int, ...], size: int) -> tuple[int, int, int]:
    """(channels, height, width) of the images once they have `size` pixels a side; UserError if they are no images."""
    channels, height, width = image_shape(model, input_shape)
    return (channels, size, size) if size else (channels, height, width)


def fit_images(network: nn.Module, size: int, repeats: int = 1) -> None:
    """Let the network see its images [b, C, H, W] with `size` pixels a side, and each channel `repeats` times."""
    if size or repeats > 1:
        network.register_forward_pre_hook(partial(_fitted, size=size, repeats=repeats))


def _fitted(_network: nn.Module, inputs: tuple[torch.Tensor], *, size: int, repeats: int) -> torch.Tensor:
    (images,) = inputs
    if size:
        images = functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return images.repeat(1, repeats, 1, 1) if repeats > 1 else images


def give_logits(network: nn.Module) -> None:
    """Let the network give its logits alone, where it gives an object that has them."""
    network.register_forward_hook(_logits)


def _logits(_network: nn.Module, _inputs: tuple[torch.Tensor], output: Any) -> torch.Tensor:
    logits: torch.Tensor = getattr(output, "logits", output)
    return logits
