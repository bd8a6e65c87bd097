import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtcbench.dtc.sensing import (
    WIDEST_DENSE,
    FastDct,
    basis,
    dct_basis,
    gaussian_phi,
    measure,
    project,
    published_phi,
    reconstruct,
)
from dtcbench.errors import CompressionError, NonFiniteError, SolverError


@given(st.integers(1, 80))
def test_psi_is_orthonormal(m):
    psi = dct_basis(m)
    np.testing.assert_allclose(psi.T @ psi, np.eye(m), atol=1e-12)


@pytest.mark.parametrize("m", [2, 3, WIDEST_DENSE + 1, 511, 512, 1000])
def test_the_fast_transform_is_the_product_with_the_dense_basis(m):
    rng, psi = np.random.default_rng(m), dct_basis(m)
    phi, s = rng.normal(size=(7, m)), rng.normal(size=(m, 2))
    np.testing.assert_allclose(phi @ FastDct(), phi @ psi, atol=1e-13)
    np.testing.assert_allclose(FastDct() @ s, psi @ s, atol=1e-13)


def test_a_narrow_layer_keeps_the_bits_of_the_dense_product_and_a_wide_one_never_has_a_dense_basis():
    np.testing.assert_array_equal(basis(WIDEST_DENSE), dct_basis(WIDEST_DENSE))
    assert isinstance(basis(WIDEST_DENSE + 1), FastDct)


@given(st.integers(1, 60), st.integers(1, 20))
def test_measuring_in_the_basis_equals_measuring_the_neurons(m, n):
    rng = np.random.default_rng(m * 100 + n)
    phi, psi = rng.normal(size=(n, m)), dct_basis(m)
    a = rng.normal(size=m)
    np.testing.assert_allclose((phi @ psi) @ (psi.T @ a), phi @ a, atol=1e-9)


def test_the_published_phi_is_the_same_at_every_call_and_leaves_the_global_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is looked at
    first, second = published_phi(64, 0.8), published_phi(64, 0.8)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_published_number_of_measurements_is_floating_point_and_meant_so():
    assert len(published_phi(512, 0.9)) == 51
    assert len(published_phi(11, 0.9)) == 1
    with pytest.raises(CompressionError, match=r"width 10 at keep 0.9"):
        published_phi(10, 0.9)  # int(10 · (1.0 − 0.9)) is 0


def test_our_number_of_measurements_is_rounded_and_never_zero():
    generator = np.random.default_rng(0)
    assert gaussian_phi(256, 0.1, generator).shape == (26, 256)
    assert gaussian_phi(3, 0.1, generator).shape == (1, 3)


def test_incoming_and_outgoing_are_measured_by_the_same_phi():
    phi, a = np.random.default_rng(1).normal(size=(4, 9)), np.arange(9.0)
    y = measure(phi, a, a)
    assert y.shape == (4, 2)
    np.testing.assert_array_equal(y[:, 0], y[:, 1])


def test_projections_sum_a_neurons_incoming_rows_and_outgoing_columns():
    w_in, w_out = np.arange(6.0).reshape(2, 3), np.array([[1.0, 10.0], [2.0, 20.0]])
    a_in, a_out = project(w_in, w_out)
    np.testing.assert_array_equal(a_in, [3, 12])
    np.testing.assert_array_equal(a_out, [3, 30])


def test_kernels_of_convolutions_are_summed_too():
    w_in, w_out = np.ones((4, 3, 5, 5)), np.ones((7, 4, 2, 2))
    a_in, a_out = project(w_in, w_out)
    np.testing.assert_array_equal(a_in, [75] * 4)
    np.testing.assert_array_equal(a_out, [28] * 4)


def test_projections_keep_the_weights_precision():
    assert project(np.ones((2, 3), np.float32), np.ones((3, 2), np.float32))[0].dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["w_in", "w_out"])
def test_weights_that_are_not_finite_are_refused(bad, side):
    weights = {"w_in": np.ones((2, 3)), "w_out": np.ones((3, 2))}
    weights[side][0, 0] = bad
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        project(**weights)


W_IN, W_OUT = np.arange(6.0)[:, None], np.ones((1, 6))
PHI = np.random.default_rng(3).normal(size=(3, 6))


def test_the_rays_are_the_sums_of_both_reconstructions():
    s = np.random.default_rng(4).normal(size=(6, 2))
    reconstruction = reconstruct(W_IN, W_OUT, PHI, basis(6), lambda theta, y, lam: s, 0.3)
    np.testing.assert_allclose(reconstruction.coefficient_ray, s.sum(axis=1))
    np.testing.assert_allclose(reconstruction.x.sum(axis=1), dct_basis(6) @ s.sum(axis=1))


def test_the_solver_is_called_once_with_both_measurements():
    calls = []

    def solve(theta, y, lam):
        calls.append((theta.shape, y.shape, lam))
        return np.zeros((6, 2))

    reconstruct(W_IN, W_OUT, PHI, basis(6), solve, 0.7)
    assert calls == [((3, 6), (3, 2), 0.7)]


def test_a_solution_of_the_wrong_shape_is_refused():
    with pytest.raises(SolverError, match=r"shape \(6, 1\)"):
        reconstruct(W_IN, W_OUT, PHI, basis(6), lambda theta, y, lam: np.zeros((6, 1)), 0.3)


def test_a_solution_that_is_not_finite_is_refused():
    with pytest.raises(SolverError, match="NaN or infinity"):
        reconstruct(W_IN, W_OUT, PHI, basis(6), lambda theta, y, lam: np.full((6, 2), np.nan), 0.3)
