"""The inputs of the networks, images or texts, positive sizes, and what is fixed of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field

from dtcbench.errors import UserError

Size = Annotated[int, Field(gt=0)]
"""A width, a depth, a number of heads: at least 1."""


TYPICAL = ((3, 32, 32), (1, 28, 28), (1, 8, 8), (16,))
"""Inputs to try a model on: images of CIFAR, MNIST and digits, and a text."""


Model = TypeVar("Model", bound=Callable[..., object])


@dataclass(frozen=True)
class Fixed:
    """What cannot be chosen of a model."""

    input_shape: tuple[int, ...] | None = None
    """The only shape of a sample that it takes; None if there are others."""
    weights: bool = False
    """Whether it comes with its weights, whatever the generator."""


def fixed(*, input_shape: tuple[int, ...] | None = None, weights: bool = False) -> Callable[[Model], Model]:
    """Decorator, below `register_model`, for a model of which this is fixed: `selftest` asks nothing else of it."""

    def decorate(model: Model) -> Model:
        model.fixed = Fixed(input_shape, weights)  # type: ignore[attr-defined]
        return model

    return decorate


def fixed_of(model: Callable[..., object]) -> Fixed:
    """What is fixed of a registered model."""
    found = getattr(model, "fixed", None)
    return found if isinstance(found, Fixed) else Fixed()


def image_shape(model: str, input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of the images for `model`; UserError if the samples are not images."""
    if len(input_shape) != 3:
        raise UserError(
            f"{model} takes images [channels, height, width], not samples of shape {list(input_shape)}; "
            "choose a dataset of images, or a model of texts such as gpt-nano"
        )
    channels, height, width = input_shape
    return channels, height, width


def text_length(model: str, input_shape: tuple[int, ...]) -> int:
    """T, the tokens of one text for `model`; UserError if the samples are not texts."""
    if len(input_shape) != 1:
        raise UserError(
            f"{model} takes texts [T], not samples of shape {list(input_shape)}; "
            "choose a dataset of texts, or a model of images such as resnet-20"
        )
    return input_shape[0]
