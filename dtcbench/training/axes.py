"""What the axes of tensors are made of: an algebra in which two axes can turn out to be one.

An axis is an atom, a sum (pieces one after another, as `cat` makes them) or a product (a grid read row by row, as
`reshape` makes of heads and their dimensions). `unify` says that index j of one axis goes with index j of another;
an atom that turns out to have parts is from then on made of them. What is left of it are the atoms that can lose an
index everywhere at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate, pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray


@dataclass(eq=False)
class Atom:
    """An axis without known parts; it can lose any index, unless something fixes it."""

    size: int
    fixed: str | None = None
    """Why it can lose none."""
    approximate: str | None = None
    """Why a network without an index computes something else than one in which nothing reads that index."""
    made_of: Axis | None = field(default=None, repr=False)
    """The parts that it turned out to have, or the axis that it turned out to be."""


@dataclass(frozen=True)
class Sum:
    """Pieces one after another."""

    parts: tuple[Axis, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


@dataclass(frozen=True)
class Product:
    """A grid read row by row: the last part varies fastest."""

    parts: tuple[Axis, ...]

    @property
    def size(self) -> int:
        return prod(part.size for part in self.parts)


Axis = Atom | Sum | Product
ONE = Product(())
"""An axis of length 1."""


def resolved(axis: Axis) -> Axis:
    """The axis as it is known by now: no atom that is made of others, no sum in a sum, no product in a product."""
    if isinstance(axis, Atom):
        if axis.made_of is None:
            return axis
        axis.made_of = resolved(axis.made_of)
        return axis.made_of
    parts = [resolved(part) for part in axis.parts]
    if isinstance(axis, Sum):
        pieces = [piece for part in parts for piece in (part.parts if isinstance(part, Sum) else (part,))]
        pieces = [piece for piece in pieces if piece.size]
        return pieces[0] if len(pieces) == 1 else Sum(tuple(pieces))
    factors = [factor for part in parts for factor in (part.parts if isinstance(part, Product) else (part,))]
    if len(factors) == 1:
        return factors[0]
    if factors and isinstance(factors[0], Sum):  # a grid whose rows come in pieces is so many grids
        return resolved(Sum(tuple(Product((piece, *factors[1:])) for piece in factors[0].parts)))
    return Product(tuple(factors))


def atoms(axis: Axis) -> Iterator[Atom]:
    """The atoms that the axis is made of, with repetitions."""
    axis = resolved(axis)
    if isinstance(axis, Atom):
        yield axis
    else:
        for part in axis.parts:
            yield from atoms(part)


def fix(axis: Axis, reason: str) -> None:
    """No index of the axis can go."""
    for atom in atoms(axis):
        atom.fixed = atom.fixed or reason


def blur(axis: Axis, reason: str) -> None:
    """Without an index of the axis, something else is computed."""
    for atom in atoms(axis):
        atom.approximate = atom.approximate or reason


def unify(one: Axis, other: Axis) -> None:
    """Index j of `one` and index j of `other` go together; ValueError if they are not equally long."""
    one, other = resolved(one), resolved(other)
    if one is other or one == other:
        return
    if one.size != other.size:
        raise ValueError(f"axes of {one.size} and {other.size} indices")
    if isinstance(one, Atom):
        _replace(one, other)
    elif isinstance(other, Atom):
        _replace(other, one)
    elif isinstance(one, Sum) or isinstance(other, Sum):
        cuts = sorted({*_ends(one), *_ends(other)})
        lengths = [end - start for start, end in pairwise([0, *cuts])]
        for left, right in zip(split(one, lengths), split(other, lengths), strict=True):
            unify(left, right)
    else:
        _unify_products(one, other)


def split(axis: Axis, lengths: Sequence[int]) -> list[Axis]:
    """Consecutive pieces of these lengths, which add up to the axis's."""
    axis = resolved(axis)
    if sum(bool(length) for length in lengths) == 1:
        return [axis if length else Sum(()) for length in lengths]
    if isinstance(axis, Atom):
        pieces = [Atom(length, axis.fixed, axis.approximate) for length in lengths]
        axis.made_of = Sum(tuple(pieces))
        return [resolved(piece) for piece in pieces]
    if isinstance(axis, Sum):
        return _split_sum(axis, lengths)
    first, rest = axis.parts[0], Product(axis.parts[1:])
    if any(length % rest.size for length in lengths):
        return _given_up(axis, lengths, "cut across its rows")
    return [resolved(Product((rows, rest))) for rows in split(first, [length // rest.size for length in lengths])]


def factored(axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    """The axis as a grid of these sizes, whose product is the axis's."""
    found: list[Axis] = []
    for place, size in enumerate(sizes):
        outer, axis = _outer_inner(axis, size, prod(sizes[place + 1 :]))
        found.append(outer)
    return found


def length(axis: Axis, lengths: Mapping[Atom, int]) -> int:
    """The axis's length, were these atoms so long."""
    if isinstance(axis, Atom):
        return lengths.get(axis, axis.size)
    return (sum if isinstance(axis, Sum) else prod)(length(part, lengths) for part in axis.parts)


def positions(axis: Axis, kept: dict[Atom, NDArray[np.int64]]) -> NDArray[np.int64]:
    """The indices of the axis that are left, in their new order, if only these indices of some atoms are."""
    axis = resolved(axis)
    if isinstance(axis, Atom):
        return kept.get(axis, np.arange(axis.size, dtype=np.int64))
    if isinstance(axis, Sum):
        starts = accumulate((part.size for part in axis.parts), initial=0)
        pieces = [start + positions(part, kept) for start, part in zip(starts, axis.parts, strict=False)]
        return np.concatenate([np.zeros(0, np.int64), *pieces])
    grids = [(positions(part, kept), part.size) for part in axis.parts]
    found, _ = reduce(_grid, grids, (np.zeros(1, np.int64), 1))
    return found


def units(axis: Axis, atom: Atom) -> NDArray[np.int64]:
    """For each index of the axis, the index of the atom that it belongs to; −1 where there is none."""
    axis = resolved(axis)
    if isinstance(axis, Atom):
        return np.arange(axis.size) if axis is atom else np.full(axis.size, -1)
    if isinstance(axis, Sum):
        return np.concatenate([units(part, atom) for part in axis.parts])
    found = np.full(1, -1)
    for part in axis.parts:
        found = np.maximum(found[:, None], units(part, atom)[None, :]).ravel()
    return found


def _grid(rows: tuple[NDArray[np.int64], int], columns: tuple[NDArray[np.int64], int]) -> tuple[NDArray[np.int64], int]:
    indices = (rows[0][:, None] * columns[1] + columns[0][None, :]).ravel()
    return indices, rows[1] * columns[1]


def _replace(atom: Atom, axis: Axis) -> None:
    if atom.fixed:
        fix(axis, atom.fixed)
    if atom.approximate:
        blur(axis, atom.approximate)
    atom.made_of = axis


def _ends(axis: Axis) -> list[int]:
    parts = axis.parts if isinstance(axis, Sum) else (axis,)
    return list(accumulate(part.size for part in parts))


def _split_sum(axis: Sum, lengths: Sequence[int]) -> list[Axis]:
    waiting, found = list(axis.parts), []
    for length in lengths:
        taken: list[Axis] = []
        while length:
            piece = waiting.pop(0)
            if piece.size > length:
                piece, rest = split(piece, [length, piece.size - length])
                waiting.insert(0, rest)
            taken.append(piece)
            length -= piece.size
        found.append(resolved(Sum(tuple(taken))))
    return found


def _unify_products(one: Product, other: Product) -> None:
    first, second = one.parts[0], other.parts[0]
    if first.size % second.size == 0:
        outer, inner = _outer_inner(first, second.size, first.size // second.size)
        unify(outer, second)
        unify(Product((inner, *one.parts[1:])), Product(other.parts[1:]))
    elif second.size % first.size == 0:
        _unify_products(other, one)
    else:
        fix(one, "read as two grids that do not fit")
        fix(other, "read as two grids that do not fit")


def _outer_inner(axis: Axis, outer: int, inner: int) -> tuple[Axis, Axis]:
    """The axis as rows and columns."""
    rows: Axis
    columns: Axis
    axis = resolved(axis)
    if inner == 1:
        return axis, ONE
    if outer == 1:
        return ONE, axis
    if isinstance(axis, Atom):
        rows, columns = (Atom(size, axis.fixed, axis.approximate) for size in (outer, inner))
        axis.made_of = Product((rows, columns))
        return rows, columns
    if isinstance(axis, Product):
        first, rest = axis.parts[0], Product(axis.parts[1:])
        if outer % first.size == 0:
            more, columns = _outer_inner(rest, outer // first.size, inner)
            return resolved(Product((first, more))), columns
        if first.size % outer == 0:
            rows, more = _outer_inner(first, outer, first.size // outer)
            return rows, resolved(Product((more, rest)))
    elif all(part.size % inner == 0 for part in axis.parts):
        pairs = [_outer_inner(part, part.size // inner, inner) for part in axis.parts]
        for _, columns in pairs[1:]:
            unify(pairs[0][1], columns)
        return resolved(Sum(tuple(rows for rows, _ in pairs))), resolved(pairs[0][1])
    rows, columns = _given_up(axis, [outer, inner], "read as two grids that do not fit")
    return rows, columns


def _given_up(axis: Axis, sizes: Sequence[int], reason: str) -> list[Axis]:
    fix(axis, reason)
    return [resolved(Atom(size, reason)) if size else Sum(()) for size in sizes]
