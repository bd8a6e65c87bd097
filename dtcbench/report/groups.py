"""A network's prunable groups on the terminal: what DTC sees of it."""

from __future__ import annotations

import math

import torch
from rich.console import Group, RenderableType
from rich.text import Text
from torch import nn

from dtcbench import registry
from dtcbench.errors import UserError
from dtcbench.models.shapes import TYPICAL
from dtcbench.report.fitting import Fitted, Strip
from dtcbench.training.surgery import PrunableGroup, Surgery

_CLASSES = 10
_SPARE = ("a_out", "a_in", "outgoing", "incoming")
"""What a narrow terminal goes without, in this order."""


def groups_table(name: str, input_shape: tuple[int, ...] | None) -> RenderableType:
    """One row per group of the model `name`, by default on the first typical input that it takes."""
    shape, model = _built(name, [input_shape] if input_shape else list(TYPICAL))
    example = torch.zeros(1, *shape, dtype=torch.long if len(shape) == 1 else torch.float32)
    groups = Surgery(model, example).groups
    names = {module: path for path, module in model.named_modules()}
    rows = [_row(group, names[group.consumer]) for group in groups]
    strips = [
        Strip(title, [row[place] for row in rows], is_right=place > 1, is_whole=True)
        for place, title in enumerate(("group", "consumer", "width", "incoming", "outgoing", "a_in", "a_out"))
    ]
    table = Fitted([strip for strip in strips if strip.title not in _SPARE[:count]] for count in range(len(_SPARE) + 1))
    inside = sum(group.producer.weight.numel() for group in groups)
    whole = sum(parameter.numel() for parameter in model.parameters())
    title = f"{name} on {'×'.join(map(str, shape))}"
    sums = f"{len(groups)} groups, {sum(g.width for g in groups)} neurons; their incoming weights are {inside}"
    return Group(
        Text(title, style="italic"), table, Text(f"{sums} of {whole} parameters ({100 * inside / whole:.0f} %)")
    )


def parse_shape(text: str) -> tuple[int, ...]:
    """(3, 32, 32) from `3x32x32`; UserError for anything else."""
    sizes = text.lower().split("x")
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise UserError(f"--input {text}: not a shape; write 3x32x32 for images, or 64 for texts of 64 tokens")
    return tuple(map(int, sizes))


def _built(name: str, shapes: list[tuple[int, ...]]) -> tuple[tuple[int, ...], nn.Module]:
    build = registry.models.get(name)
    refusals = []
    for shape in shapes:
        try:
            return shape, build(shape, _CLASSES, generator=torch.Generator().manual_seed(0))
        except (ValueError, RuntimeError) as error:  # RuntimeError: more memory than there is
            refusals.append(f"{'x'.join(map(str, shape))}: {error}")
    raise UserError(f"model {name!r} takes none of these inputs; give one with --input:\n  " + "\n  ".join(refusals))


def _row(group: PrunableGroup, consumer: str) -> tuple[str, ...]:
    incoming, outgoing = group.w_in.shape, group.w_out.shape
    sums = math.prod(incoming[1:]), outgoing[0] * math.prod(outgoing[2:])
    shapes = ("×".join(map(str, shape)) for shape in (incoming, outgoing))
    return (group.name, consumer, str(group.width), *shapes, *(f"{group.width} sums of {count}" for count in sums))
