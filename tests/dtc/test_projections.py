import numpy as np
import pytest

from dtcbench.dtc.errors import NonFiniteError
from dtcbench.dtc.projections import project


def test_projections_sum_a_neurons_incoming_rows_and_outgoing_columns():
    w_in, w_out = np.arange(6.0).reshape(2, 3), np.array([[1.0, 10.0], [2.0, 20.0]])
    projections = project(w_in, w_out)
    np.testing.assert_array_equal(projections.incoming, [3, 12])
    np.testing.assert_array_equal(projections.outgoing, [3, 30])


def test_kernels_of_convolutions_are_summed_too():
    w_in, w_out = np.ones((4, 3, 5, 5)), np.ones((7, 4, 2, 2))
    projections = project(w_in, w_out)
    np.testing.assert_array_equal(projections.incoming, [75] * 4)
    np.testing.assert_array_equal(projections.outgoing, [28] * 4)


def test_projections_keep_the_weights_precision():
    assert project(np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)).incoming.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["w_in", "w_out"])
def test_weights_that_are_not_finite_are_refused(bad, side):
    weights = {"w_in": np.ones((2, 3)), "w_out": np.ones((3, 2))}
    weights[side][0, 0] = bad
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        project(**weights)
