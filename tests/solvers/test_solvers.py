"""Every registered solver minimises ‖Θ s − y‖² + λ ‖s‖₁."""

import numpy as np
import pytest

from dtcbench import registry
from dtcbench.dtc.errors import SolverError
from dtcbench.dtc.sensing import sensing

TOLERANCE = {"scs": 2e-3, "clarabel": 1e-6, "lars": 1e-6}
"""Objective above the best one, relative: SCS is a first-order method at CVXPY's default accuracy."""

solver = pytest.mark.parametrize("name", registry.solvers.names())


def problem(m=60, n=12, k=2, seed=0):
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=(n, m))
    return sensing(phi).theta, phi @ rng.normal(size=(m, k))


def objective(theta, y, lam, s):
    return ((theta @ s - y) ** 2).sum(axis=0) + lam * np.abs(s).sum(axis=0)


def solve(name, theta, y, lam=0.3):
    return registry.solvers.bind(name, {})(theta, y, lam)


@solver
@pytest.mark.parametrize("size", [(60, 12), (11, 1), (12, 30)])
def test_the_objective_is_the_smallest_there_is(name, size):
    theta, y = problem(*size)
    best = np.minimum(*(objective(theta, y, 0.3, solve(s, theta, y)) for s in ("clarabel", "lars")))
    assert (objective(theta, y, 0.3, solve(name, theta, y)) <= best * (1 + TOLERANCE[name])).all()


@solver
def test_several_right_hand_sides_at_once_equal_one_by_one(name):
    theta, y = problem(k=3)
    together = solve(name, theta, y)
    assert together.shape == (60, 3)
    apart = np.column_stack([solve(name, theta, y[:, [column]])[:, 0] for column in range(3)])
    np.testing.assert_array_equal(together, apart)


@solver
def test_a_lambda_above_twice_the_largest_correlation_gives_zero(name):
    theta, y = problem()
    lam = 2.01 * np.abs(theta.T @ y).max()
    np.testing.assert_allclose(solve(name, theta, y, lam), 0, atol=1e-3)


def test_lars_leaves_exact_zeros_and_meets_the_subgradient_conditions():
    theta, y = problem()
    s = solve("lars", theta, y)
    gradient = 2 * theta.T @ (theta @ s - y)
    active = s != 0
    assert (active.sum(axis=0) <= 12).all()
    np.testing.assert_allclose(gradient[active], -0.3 * np.sign(s[active]), rtol=1e-8)
    assert (np.abs(gradient[~active]) <= 0.3 * (1 + 1e-9)).all()


def test_a_lars_path_cut_short_is_an_error_not_an_answer():
    theta, y = problem()
    with pytest.raises(SolverError, match="LARS did not converge"):
        registry.solvers.bind("lars", {"max_iterations": 2})(theta, y, 0.3)


def test_a_conic_solver_that_does_not_end_optimal_is_an_error(monkeypatch):
    import cvxpy

    monkeypatch.setattr(cvxpy.Problem, "status", property(lambda self: cvxpy.OPTIMAL_INACCURATE))
    with pytest.raises(SolverError, match="SCS did not converge: status optimal_inaccurate"):
        solve("scs", *problem())


@pytest.mark.parametrize("name", ["scs", "clarabel"])
def test_input_a_conic_solver_cannot_take_is_an_error_of_the_cell(name):
    theta, y = problem()
    with pytest.raises(SolverError, match=name.upper()):
        solve(name, theta, y * np.nan)
