"""The inputs of the networks, images or texts, and positive sizes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dtcbench.errors import UserError

Size = Annotated[int, Field(gt=0)]
"""A width, a depth, a number of heads: at least 1."""


TYPICAL = ((3, 32, 32), (1, 28, 28), (1, 8, 8), (16,))
"""Inputs to try a model on: images of CIFAR, MNIST and digits, and a text."""


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
