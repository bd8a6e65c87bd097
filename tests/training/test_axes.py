"""The algebra of axes, held to what NumPy does with indices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtcbench.training.axes import (
    Atom,
    Product,
    Sum,
    atoms,
    factored,
    fix,
    length,
    positions,
    resolved,
    split,
    unify,
    units,
)

SIZES = st.integers(2, 4)


@st.composite
def axes(draw, depth=2):
    """An axis of atoms, sums and products."""
    kind = draw(st.sampled_from(["atom", "sum", "product"])) if depth else "atom"
    if kind == "atom":
        return Atom(draw(SIZES))
    parts = tuple(draw(st.lists(axes(depth=depth - 1), min_size=1, max_size=3)))
    return Sum(parts) if kind == "sum" else Product(parts)


def labels(axis):
    """Of each index, which index of which atom it is made of."""
    if isinstance(axis, Atom):
        return [{axis: j} for j in range(axis.size)]
    parts = [labels(part) for part in axis.parts]
    if isinstance(axis, Sum):
        return [label for part in parts for label in part]
    found = [{}]
    for part in parts:
        found = [one | two for one in found for two in part]
    return found


@given(axes(), st.data())
def test_the_indices_that_are_left_are_those_without_an_index_that_went(axis, data):
    atom = data.draw(st.sampled_from(list(dict.fromkeys(atoms(axis)))))
    kept = sorted(data.draw(st.sets(st.integers(0, atom.size - 1), min_size=1)))
    expected = [place for place, label in enumerate(labels(axis)) if label.get(atom, kept[0]) in kept]
    assert positions(axis, {atom: np.array(kept)}).tolist() == expected
    assert length(resolved(axis), {atom: len(kept)}) == len(expected)
    assert units(axis, atom).tolist() == [label.get(atom, -1) for label in labels(axis)]


@given(axes())
def test_flattening_an_axis_keeps_what_its_indices_are_made_of(axis):
    before = labels(axis)
    assert labels(resolved(axis)) == before


@given(axes(), st.data())
def test_pieces_side_by_side_are_the_axis_again(axis, data):
    size = axis.size
    ends = sorted(data.draw(st.sets(st.integers(1, max(1, size - 1)), max_size=3)) | {size})
    lengths = np.diff([0, *ends]).tolist()
    pieces = split(axis, lengths)
    assert [piece.size for piece in pieces] == lengths
    if not any(atom.fixed for atom in atoms(axis)):
        assert labels(resolved(Sum(tuple(pieces)))) == labels(resolved(axis))


@given(axes(), axes())
def test_two_axes_that_go_together_lose_the_same_indices(one, other):
    if one.size != other.size:
        with pytest.raises(ValueError, match=f"axes of {one.size} and {other.size} indices"):
            unify(one, other)
        return
    unify(one, other)
    if not any(atom.fixed for axis in (one, other) for atom in atoms(axis)):
        assert labels(resolved(one)) == labels(resolved(other))


@given(axes(), st.data())
def test_a_grid_has_the_indices_row_by_row(axis, data):
    rows = data.draw(st.sampled_from([rows for rows in range(1, axis.size + 1) if axis.size % rows == 0]))
    found = factored(axis, [rows, axis.size // rows])
    assert [part.size for part in found] == [rows, axis.size // rows]
    if not any(atom.fixed for atom in atoms(axis)):
        assert labels(resolved(Product(tuple(found)))) == labels(resolved(axis))


def test_a_reason_against_a_cut_reaches_what_an_axis_turns_out_to_be():
    whole, rows, columns = Atom(6), Atom(2), Atom(3)
    fix(whole, "looked up")
    unify(whole, Product((rows, columns)))
    assert rows.fixed == columns.fixed == "looked up"
    assert resolved(whole) == Product((rows, columns))
