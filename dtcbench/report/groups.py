"""A network's prunable groups: the layers that DTC can compress."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from torch import nn

from dtcbench.errors import CompressionError, UserError
from dtcbench.execution.own_files import NamesWithFiles
from dtcbench.models.shapes import TYPICAL
from dtcbench.plan.cell import Choice
from dtcbench.plan.names import REGISTERED
from dtcbench.plan.naming import choice
from dtcbench.registry import Groups
from dtcbench.report.blocks import Block, Heading, Paragraph, Table, texts
from dtcbench.text import one_line
from dtcbench.training.groups import PrunableGroup
from dtcbench.training.network import outlined
from dtcbench.training.surgery import Surgery
from dtcbench.validation import MisfitError

_CLASSES = 10
_LARGEST = 1_000_000
"""Values of a sample: tracing lists every input of a layer after flattening."""
_SIZE = re.compile(r"[1-9][0-9]{0,8}")
_TITLES = ("group", "consumer", "kind", "width", "incoming", "outgoing", "a_in", "a_out")


def groups_view(model: Choice, input_shape: tuple[int, ...] | None) -> list[Block]:
    """One row per group of a model, by default on the first typical input that it takes."""
    shape, network, surgery = _outlined(model, [input_shape] if input_shape else list(TYPICAL))
    columns = texts(_TITLES, numbers=_TITLES[3:], dropped=_TITLES[:3:-1])
    return [
        Heading(f"{model.label} on {'×'.join(map(str, shape))}"),
        Table(columns, list(map(_row, surgery.groups))),
        *map(Paragraph, [*_notes(surgery), _sums(surgery.groups, network)]),
    ]


def model_of(text: str) -> Choice:
    """The model as a suite names it: `resnet-20`, or `{name: mlp, widths: [64]}`; UserError if there is none such."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"--groups {text}: not YAML ({one_line(str(error))}); write it as in a suite") from error
    try:
        return choice("model", value, NamesWithFiles(REGISTERED, Path()))
    except MisfitError as error:
        raise UserError("\n".join(f"--groups: {line}" for line in str(error).splitlines())) from None
    except ValueError as error:
        raise UserError(f"--groups: {error}") from None


def _notes(surgery: Surgery) -> Iterator[str]:
    """What is not removed unless it is asked for, and what cannot be."""
    for kind in ("coupled", "approximate"):
        if any(_kind(group) == kind for group in surgery.groups):
            yield f"{kind} groups are compressed with the method's option groups: {kind}"
    for why in dict.fromkeys(group.approximate for group in surgery.groups if group.approximate):
        yield f"approximate: {why}"
    for name, why in surgery.refused.items():
        yield f"no group: {name}: {why}"


def _sums(groups: list[PrunableGroup], model: nn.Module) -> str:
    simple = [group for group in groups if group.is_simple]
    inside, whole = sum(group.incoming.numel() for group in simple), sum(one.numel() for one in model.parameters())
    counts = f"{len(simple)} simple groups, {sum(group.width for group in simple)} neurons"
    return f"{counts}; their incoming weights are {inside} of {whole} parameters ({100 * inside / whole:.0f} %)"


def _kind(group: PrunableGroup) -> Groups:
    return "simple" if group.is_simple else "approximate" if group.approximate else "coupled"


def parse_shape(text: str) -> tuple[int, ...]:
    """(3, 32, 32) from `3x32x32`; UserError for anything else."""
    sizes = text.lower().split("x")
    if not all(_SIZE.fullmatch(size) for size in sizes):
        raise UserError(f"--input {text}: not a shape; write 3x32x32 for images, or 64 for texts of 64 tokens")
    shape = tuple(map(int, sizes))
    if math.prod(shape) > _LARGEST:
        raise UserError(
            f"--input {text}: {math.prod(shape)} values a sample; tracing takes {_LARGEST} at most, give fewer"
        )
    return shape


def _outlined(model: Choice, shapes: list[tuple[int, ...]]) -> tuple[tuple[int, ...], nn.Module, Surgery]:
    """The first of `shapes` that the model takes, its network there, and the network's groups."""
    refusals = []
    for shape in shapes:
        try:
            return shape, *outlined(model, shape, _CLASSES, "approximate")
        except (UserError, CompressionError) as error:
            refusals.append((shape, error))
    if len(refusals) == 1:
        raise UserError(str(refusals[0][1])) from refusals[0][1]
    lines = [f"{'x'.join(map(str, shape))}: {error}" for shape, error in refusals]
    raise UserError("\n  ".join([f"model {model.label} takes none of these inputs; give one with --input:", *lines]))


def _row(group: PrunableGroup) -> tuple[str, ...]:
    incoming, outgoing = group.incoming.shape, group.outgoing.shape
    sums = math.prod(incoming[1:]), outgoing[0] * math.prod(outgoing[2:])
    shapes = ("×".join(map(str, shape)) for shape in (incoming, outgoing))
    consumers = group.consumers
    others = f" and {len(consumers) - 1} more" if len(consumers) > 1 else ""
    counted = (f"{group.width} sums of {count}" for count in sums)
    return (group.name, f"{consumers[0]}{others}", _kind(group), str(group.width), *shapes, *counted)
