"""Operations that arrange elements: views, pieces, joins and look-ups."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from dtcbench.training.axes import ONE, Atom, Axis, Product, Sum, factored, fix, resolved, split, unify
from dtcbench.training.tracing import Call, Dim, Dims, fresh, met, rule, unknown


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze", "flatten", "view_copy")
def _view(call: Call) -> list[Dims]:
    return [_reshaped(call.dims(), list(call.result.shape))]


def _reshaped(dims: Dims, sizes: list[int]) -> Dims:
    """The same elements in the same order, in another shape."""
    found: list[Dim] = []
    waiting = [dim for dim in dims if dim.axis.size != 1]
    left = list(sizes)
    while left:
        if left[0] == 1:
            found.append(Dim(ONE))
            left.pop(0)
            continue
        before, after = [waiting.pop(0)], [left.pop(0)]
        while (read := math.prod(dim.axis.size for dim in before)) != math.prod(after):
            if read < math.prod(after):
                before.append(waiting.pop(0))
            else:
                after.append(left.pop(0))
        if len(before) == len(after) == 1:
            found += before
            continue
        places = frozenset().union(*(dim.places for dim in before))
        whole = resolved(Product(tuple(dim.axis for dim in before)))
        found += [Dim(axis, places) for axis in factored(whole, after)]
    return tuple(found)


@rule("tril", "triu", "diagonal_scatter")
def _triangle(call: Call) -> list[Dims]:
    dims = call.dims()
    for dim in dims[-2:]:
        fix(dim.axis, "a triangle of it is used")
    return [dims]


@rule("permute")
def _permute(call: Call) -> list[Dims]:
    dims = call.dims()
    return [tuple(dims[axis] for axis in call.get(1, "dims"))]


@rule("t", "numpy_T")
def _t(call: Call) -> list[Dims]:
    return [call.dims()[::-1]]


@rule("transpose", "swapaxes")
def _transpose(call: Call) -> list[Dims]:
    dims = list(call.dims())
    one, other = call.get(1, "dim0"), call.get(2, "dim1")
    if dims:
        dims[one], dims[other] = dims[other], dims[one]
    return [tuple(dims)]


@rule("expand", "broadcast_to")
def _expand(call: Call) -> list[Dims]:
    sizes, dims = list(call.result.shape), call.dims()
    dims = (*fresh(sizes[: len(sizes) - len(dims)]), *dims)
    return [tuple(d if d.axis.size == n else fresh([n])[0] for d, n in zip(dims, sizes, strict=True))]


@rule("repeat")
def _repeat(call: Call) -> list[Dims]:
    times, dims = list(call.get(1, "repeats")), call.dims()
    dims = (*fresh([1] * (len(times) - len(dims))), *dims)
    return [
        tuple(
            dim if count == 1 else Dim(resolved(Product((Atom(count, "repeated so often"), dim.axis))))
            for dim, count in zip(dims, times, strict=True)
        )
    ]


@rule("slice", "narrow")
def _slice(call: Call) -> list[Dims]:
    dims, place = list(call.dims()), call.get(1, "dim", 0)
    size, length, step = dims[place].axis.size, call.result.shape[place], call.get(4, "step", 1)
    start = call.get(2, "start", 0) or 0
    start = max(0, min(size, start + size if start < 0 else start))
    axis: Axis
    if step == 1:
        axis = split(dims[place].axis, [start, length, size - start - length])[1]
    elif size % step == 0 and start < step and length == size // step:
        axis, within = factored(dims[place].axis, [length, step])
        fix(within, f"read every {step} indices")
    else:
        fix(dims[place].axis, f"read every {step} indices")
        axis = Atom(length, f"read every {step} indices")
    dims[place] = replace(dims[place], axis=axis)
    return [tuple(dims)]


@rule("select")
def _select(call: Call) -> list[Dims]:
    dims, place = list(call.dims()), call.get(1, "dim")
    fix(dims.pop(place).axis, "read at one index")
    return [tuple(dims)]


@rule(
    "split",
    "unsafe_split",
    "unsafe_chunk",
    "split_with_sizes",
    "chunk",
    "unbind",
    "tensor_split",
    "split_copy",
    "split_with_sizes_copy",
)
def _split(call: Call) -> list[Dims]:
    dims = call.dims()
    place = call.get(1, "dim", 0) if call.name == "unbind" else call.get(2, "dim", 0)
    place %= len(dims)
    before, dim, after = dims[:place], dims[place], dims[place + 1 :]
    if call.name == "unbind":
        fix(dim.axis, "read index by index")
        return [(*before, *after)] * len(call.results)
    pieces = split(dim.axis, [tensor.shape[place] for tensor in call.results])
    return [(*before, replace(dim, axis=piece), *after) for piece in pieces]


@rule("cat", "concat", "concatenate")
def _cat(call: Call) -> list[Dims]:
    parts = [call.forward.dims(tensor) for tensor in call.get(0, "tensors")]
    parts = [dims for dims in parts if len(dims) > 1 or dims[0].axis.size]
    place = call.get(1, "dim", 0) % len(parts[0])
    joined = resolved(Sum(tuple(dims[place].axis for dims in parts)))
    rest = met([(*dims[:place], Dim(ONE), *dims[place + 1 :]) for dims in parts])
    weights = all(any(dim.places for dim in dims) for dims in parts)
    places = frozenset().union(*(dims[place].places for dims in parts)) if weights else frozenset()
    return [(*rest[:place], Dim(joined, places), *rest[place + 1 :])]


@rule("stack")
def _stack(call: Call) -> list[Dims]:
    parts = [call.forward.dims(tensor) for tensor in call.get(0, "tensors")]
    place = call.get(1, "dim", 0) % (len(parts[0]) + 1)
    found = met(parts)
    return [(*found[:place], Dim(Sum((ONE,) * len(parts)) if len(parts) > 1 else ONE), *found[place:])]


@rule("constant_pad_nd", "pad", "reflection_pad1d", "reflection_pad2d", "replication_pad2d")
def _pad(call: Call) -> list[Dims]:
    dims, pads = list(call.dims()), list(call.get(1, "pad", call.get(1, "padding")))
    for number in range(len(pads) // 2):
        low, high = pads[2 * number : 2 * number + 2]
        if low or high:
            dim = dims[-1 - number]
            if low < 0 or high < 0:
                fix(dim.axis, "cropped")
                dims[-1 - number] = Dim(Atom(dim.axis.size + low + high, "cropped"))
                continue
            padding = [Atom(size, "padding") for size in (low, high)]
            dims[-1 - number] = Dim(resolved(Sum((padding[0], dim.axis, padding[1]))))
    return [tuple(dims)]


@rule("roll", "flip")
def _moved(call: Call) -> list[Dims]:
    dims = call.dims()
    for place in call.get(2, "dims", ()) if call.name == "roll" else call.get(1, "dims"):
        fix(dims[place].axis, "moved along itself")
    return [dims]


@rule("embedding")
def _embedding(call: Call) -> list[Dims]:
    table, indices = call.dims(0, "weight"), call.dims(1, "indices")
    fix(table[0].axis, "looked up")
    call.forward.writes |= table[1].places
    return [(*(replace(dim, places=frozenset()) for dim in indices), replace(table[1], places=frozenset()))]


@rule("index", "_unsafe_index")
def _index(call: Call) -> list[Dims]:
    dims, indices = call.dims(), list(call.get(1, "indices"))
    indices += [None] * (len(dims) - len(indices))
    if any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices):
        return _by_mask(call, dims, indices)
    used = [place for place, index in enumerate(indices) if index is not None]
    for place in used:
        fix(dims[place].axis, "looked up")
    shape = met([call.forward.dims(indices[place]) for place in used])
    shape = tuple(replace(dim, places=frozenset()) for dim in shape)
    kept = [dim for place, dim in enumerate(dims) if place not in used]
    first = used[0] if used == list(range(used[0], used[-1] + 1)) else 0
    return [(*kept[:first], *shape, *kept[first:])]


def _by_mask(call: Call, dims: Dims, indices: list[Any]) -> list[Dims]:
    if len([index for index in indices if index is not None]) > 1 or indices[0] is None:
        return unknown(call)
    masked = indices[0].dim()
    for dim in dims[:masked]:
        fix(dim.axis, "chosen by a mask")
    return [(*fresh(call.result.shape[:1], "chosen by a mask"), *dims[masked:])]


@rule("topk", "sort", "argsort")
def _ranked(call: Call) -> list[Dims]:
    dims = list(call.dims())
    place = call.get(2, "dim", -1) if call.name == "topk" else call.get(1, "dim", -1)
    fix(dims[place].axis, "put in order")
    dims[place] = Dim(Atom(call.results[0].shape[place], "put in order"))
    return [tuple(dims)] * len(call.results)


@rule("index_select")
def _index_select(call: Call) -> list[Dims]:
    dims, place = list(call.dims()), call.get(1, "dim")
    fix(dims[place].axis, "looked up")
    dims[place] = Dim(Atom(call.result.shape[place], "looked up"))
    return [tuple(dims)]


@rule("index_add", "index_copy", "index_fill", "scatter", "scatter_add", "index_put", "gather")
def _indexed(call: Call) -> list[Dims]:
    dims = call.dims()
    if call.name == "index_put":
        indices = list(call.get(1, "indices"))
        used = [place for place, index in enumerate(indices) if index is not None]
        if len(used) == len(indices) and not any(index.dtype == torch.bool for index in indices):
            for place in used:
                fix(dims[place].axis, "looked up")
            value = call.dims(2, "values")
            met([dims[len(used) :], value[len(value) - (len(dims) - len(used)) :] if len(value) else ()])
            return [dims]
        return unknown(call)
    if call.name in ("gather", "scatter", "scatter_add"):
        return unknown(call)
    place = call.get(1, "dim") % len(dims)
    fix(dims[place].axis, "looked up")
    if call.name != "index_fill":
        source = call.dims(3, "source")
        for number, (dim, added) in enumerate(zip(dims, source, strict=True)):
            if number != place:
                unify(dim.axis, added.axis)
    return [dims]


@rule("pixel_shuffle", "pixel_unshuffle", "channel_shuffle")
def _pixel_shuffle(call: Call) -> list[Dims]:
    dims = call.dims()
    channels, shape = dims[-3], call.result.shape
    if call.name != "pixel_shuffle":
        return unknown(call)
    (kept, within) = factored(channels.axis, [shape[-3], channels.axis.size // shape[-3]])
    fix(within, "becomes positions")
    return [(*dims[:-3], Dim(kept), *fresh(shape[-2:], "a position"))]


@rule("im2col")
def _im2col(call: Call) -> list[Dims]:
    dims, shape = call.dims(), call.result.shape
    channels = dims[-3].axis
    kernel = Atom(shape[-2] // channels.size, "a position")
    return [(*dims[:-3], Dim(resolved(Product((channels, kernel)))), Dim(Atom(shape[-1], "a position")))]


@rule("view_as_real", "view_as_complex")
def _complex(call: Call) -> list[Dims]:
    dims = call.dims()
    if call.name == "view_as_real":
        return [(*dims, Dim(Sum((ONE, ONE))))]
    fix(dims[-1].axis, "two parts of a complex number")
    return [dims[:-1]]
