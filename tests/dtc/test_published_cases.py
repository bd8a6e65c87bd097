"""The six cases of the published compression step: same neurons, same order, same measurements."""

import numpy as np
import pytest
from reference import reference_file

from dtcbench import registry
from dtcbench.dtc.selection import Cut, Group


@pytest.fixture(scope="module")
def cases():
    with np.load(reference_file("ics_cases.npz")) as stored:  # allow_pickle stays off
        return {name: stored[name] for name in stored.files}


def group_with_projections(a_in, a_out, keep, solve):
    """A group whose projections are the given ones: one incoming and one outgoing weight a neuron."""
    return Group(a_in[:, None], a_out[None, :], Cut(keep, None), np.random.default_rng(0), solve)


@pytest.mark.parametrize("number", range(6))
def test_the_published_step_comes_out_to_the_last_bit(cases, number):
    case = {name: cases[f"{number}/{name}"] for name in ("width", "keep", "lam", "kind", "A1", "A2", "kept", "w12")}
    kind = str(case["kind"])
    solve = registry.solvers.bind("scs", {}) if kind == "dtc" else None
    group = group_with_projections(case["A1"], case["A2"], float(case["keep"]), solve)
    method = registry.methods.bind(f"{kind}-published", {"lam": float(case["lam"])} if kind == "dtc" else {})
    assert group.width == case["width"]

    scores = method.scores(group)
    kept = method.select(scores, group)

    np.testing.assert_array_equal(kept, case["kept"])
    if kind != "random":
        np.testing.assert_array_equal(scores.values, np.abs(case["w12"]))
    if kind == "dtc":
        measured = np.column_stack([cases[f"{number}/y1"], cases[f"{number}/y2"]])
        np.testing.assert_array_equal(scores.tomography.y, measured)
