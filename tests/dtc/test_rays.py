import numpy as np
import pytest

from dtcbench.dtc.errors import SolverError
from dtcbench.dtc.projections import Projections
from dtcbench.dtc.rays import trace
from dtcbench.dtc.sensing import sensing

PROJECTIONS = Projections(np.arange(6.0), np.ones(6))


def operators():
    return sensing(np.random.default_rng(3).normal(size=(3, 6)))


def test_the_rays_are_the_sums_of_both_reconstructions():
    s = np.random.default_rng(4).normal(size=(6, 2))
    tomography = trace(PROJECTIONS, operators(), lambda theta, y, lam: s, 0.3)
    np.testing.assert_allclose(tomography.coefficient_ray, s.sum(axis=1))
    np.testing.assert_allclose(tomography.reconstruction.sum(axis=1), operators().psi @ s.sum(axis=1))


def test_the_solver_is_called_once_with_both_measurements():
    calls = []

    def solve(theta, y, lam):
        calls.append((theta.shape, y.shape, lam))
        return np.zeros((6, 2))

    trace(PROJECTIONS, operators(), solve, 0.7)
    assert calls == [((3, 6), (3, 2), 0.7)]


def test_a_solution_of_the_wrong_shape_is_refused():
    with pytest.raises(SolverError, match=r"shape \(6, 1\)"):
        trace(PROJECTIONS, operators(), lambda theta, y, lam: np.zeros((6, 1)), 0.3)


def test_a_solution_that_is_not_finite_is_refused():
    with pytest.raises(SolverError, match="NaN or infinity"):
        trace(PROJECTIONS, operators(), lambda theta, y, lam: np.full((6, 2), np.nan), 0.3)
