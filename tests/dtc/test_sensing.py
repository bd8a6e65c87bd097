import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtcbench.dtc.errors import NoMeasurementError
from dtcbench.dtc.projections import Projections
from dtcbench.dtc.sensing import dct_basis, gaussian_phi, published_phi, sensing


@given(st.integers(1, 80))
def test_psi_is_orthonormal(m):
    psi = dct_basis(m)
    np.testing.assert_allclose(psi.T @ psi, np.eye(m), atol=1e-12)


@given(st.integers(1, 60), st.integers(1, 20))
def test_measuring_in_the_basis_equals_measuring_the_neurons(m, n):
    rng = np.random.default_rng(m * 100 + n)
    operators = sensing(rng.normal(size=(n, m)))
    a = rng.normal(size=m)
    coefficients = operators.psi.T @ a
    np.testing.assert_allclose(operators.theta @ coefficients, operators.phi @ a, atol=1e-9)


def test_the_published_phi_is_the_same_at_every_call_and_leaves_the_global_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is looked at
    first, second = published_phi(64, 0.8), published_phi(64, 0.8)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_published_number_of_measurements_is_floating_point_and_meant_so():
    assert len(published_phi(512, 0.9)) == 51
    assert len(published_phi(11, 0.9)) == 1
    with pytest.raises(NoMeasurementError, match=r"width 10 at keep 0.9"):
        published_phi(10, 0.9)  # int(10 · (1.0 − 0.9)) is 0


def test_our_number_of_measurements_is_rounded_and_never_zero():
    generator = np.random.default_rng(0)
    assert gaussian_phi(256, 0.1, generator).shape == (26, 256)
    assert gaussian_phi(3, 0.1, generator).shape == (1, 3)


def test_incoming_and_outgoing_are_measured_by_the_same_phi():
    operators = sensing(np.random.default_rng(1).normal(size=(4, 9)))
    a = np.arange(9.0)
    y = operators.measure(Projections(a, a))
    assert y.shape == (4, 2)
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
