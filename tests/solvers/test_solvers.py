"""Every registered solver keeps what it promises; and what only one of them can show."""

import sys
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtcbench import registry
from dtcbench.dtc import least_distance
from dtcbench.dtc import signs as signs_room
from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.lasso import DualPoint, Lasso
from dtcbench.dtc.recovery import Tolerance, checked, checked_solver, tolerance_of, unchecked
from dtcbench.dtc.sensing import dct_basis
from dtcbench.dtc.signs import Columns, Dual, Point, likely_signs
from dtcbench.errors import SolverError
from dtcbench.registry import Entry
from dtcbench.selftest.solver_checks import checks

EXACT_ZEROS = ["interior-point", "lars", "ssnal"]
BIT_EQUAL = ["clarabel", "interior-point", "lars", "lasso-cd", "omp", "scs", "ssnal"]
ITERATIVE = {"admm": "ADMM", "fista": "FISTA", "interior-point": "interior-point", "lars": "LARS", "ssnal": "SSNAL"}
ITERATIVE |= {"iht": "IHT", "lasso-cd": "coordinate descent"}


def claims():
    for name in registry.solvers.names():
        for check in checks(name):
            skip = [pytest.mark.skip(check.waived)] if check.waived else []
            yield pytest.param(check, id=f"{name}: {check.claim}", marks=skip)


@pytest.mark.parametrize("check", list(claims()))
def test_a_solver_keeps_what_it_promises(check):
    check.run()


def problem(m=60, n=12, k=2, seed=0):
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=(n, m))
    return phi @ dct_basis(m), phi @ rng.normal(size=(m, k))


def module_of(name):
    return sys.modules[registry.solvers.get(name).__module__]


def objective(theta, y, lam, s):
    return ((theta @ s - y) ** 2).sum(axis=0) + lam * np.abs(s).sum(axis=0)


def solve(name, theta, y, lam=0.3, **options):
    return registry.solvers.bind(name, options)(theta, y, lam)


@pytest.mark.parametrize("name", BIT_EQUAL)
def test_several_right_hand_sides_at_once_equal_one_by_one_to_the_last_bit(name):
    theta, y = problem(m=300, n=30, k=3)
    apart = [solve(name, theta, y[:, [column]])[:, 0] for column in range(3)]
    np.testing.assert_array_equal(solve(name, theta, y), np.column_stack(apart))


@pytest.mark.parametrize("name", EXACT_ZEROS)
def test_an_exact_solver_leaves_exact_zeros_and_meets_the_subgradient_conditions(name):
    theta, y = problem()
    s = solve(name, theta, y)
    gradient = 2 * theta.T @ (theta @ s - y)
    active = s != 0
    assert (active.sum(axis=0) <= 12).all()
    np.testing.assert_allclose(gradient[active], -0.3 * np.sign(s[active]), rtol=1e-8)
    assert (np.abs(gradient[~active]) <= 0.3 * (1 + 1e-9)).all()


@pytest.mark.parametrize("name", EXACT_ZEROS)
def test_the_exact_solvers_agree_on_a_wide_layer(name):
    theta, y = problem(m=512, n=51)
    best = objective(theta, y, 0.3, solve("lars", theta, y))
    np.testing.assert_allclose(objective(theta, y, 0.3, solve(name, theta, y)), best, rtol=1e-12)


def test_the_answer_for_a_layer_wide_enough_for_single_precision_is_as_exact_as_promised():
    theta, y = problem(m=1400, n=140)
    assert theta.size >= signs_room.SINGLE_FROM
    best = objective(theta, y, 0.3, solve("lars", theta, y))
    np.testing.assert_allclose(objective(theta, y, 0.3, solve("interior-point", theta, y)), best, rtol=1e-9)


@pytest.mark.parametrize(("m", "n"), [(16, 1), (64, 6), (64, 32), (512, 51), (30, 30)])
@pytest.mark.parametrize("single_from", [0, signs_room.SINGLE_FROM])
def test_the_steps_in_numpy_end_at_the_signs_that_lars_finds(monkeypatch, m, n, single_from):
    monkeypatch.setattr(signs_room, "SINGLE_FROM", single_from)
    for most_rows in (0, 32):  # without and with non-negative least squares before the first step
        monkeypatch.setattr(least_distance, "MOST_ROWS", most_rows)
        theta, y = problem(m=m, n=n, k=1, seed=n)
        one = Lasso.scaled(theta, y, 0.3)
        expected = np.sign(solve("lars", theta, y))[:, 0]
        found = likely_signs(Columns(one.at.numpy()), one.b[0].numpy(), float(one.kappa), steps=30)
        assert any((signs == expected).all() for signs, _ in islice(found, 3))


def test_single_precision_ends_within_the_bounds_and_so_small_a_penalty_begins_in_double():
    for lam, begun in ((0.3, True), (1e-9, False)):
        one = Lasso.scaled(*problem(m=1400, n=140, k=1), lam)
        dual = Dual(Columns(one.at.numpy()), one.b[0].numpy(), float(one.kappa))
        point = Point.approached(dual, steps=30)
        assert point.xi.any() == begun and point.xi.dtype == np.float64
        assert (point.slack > 0).all() and (point.multiplier > 0).all()


@pytest.mark.parametrize("wrong", [[], [(np.eye(60)[0], np.ones(12))]], ids=["no signs", "wrong signs"])
def test_where_the_steps_in_numpy_find_nothing_those_in_torch_answer(monkeypatch, wrong):
    theta, y = problem()
    found = solve("interior-point", theta, y)
    monkeypatch.setattr(module_of("interior-point"), "likely_signs", lambda *_: wrong)
    np.testing.assert_array_equal(solve("interior-point", theta, y), found)


@pytest.mark.parametrize("name", ITERATIVE)
def test_a_solver_cut_short_gives_an_error_and_no_answer(name):
    with pytest.raises(SolverError, match=ITERATIVE[name]):
        solve(name, *problem(m=400, n=40), max_iterations=2)


@given(
    st.integers(1, 12),
    st.integers(1, 40),
    st.floats(-5, 0),
    st.floats(-6, 6),
    st.floats(-6, 6),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_interior_point_answer_is_within_its_gap_of_a_lower_bound(n, m, share, theta_size, y_size, whole, seed):
    rng = np.random.default_rng(seed)
    theta, y = rng.normal(size=(n, m)), rng.normal(size=(n, 2))
    if whole:  # ties, zeros and equal columns
        theta, y = np.round(theta), np.round(y)
    theta, y = theta * 10**theta_size, y * 10**y_size
    steepest = 2 * np.abs(theta.T @ y).max(axis=0)
    lam = 10**share * steepest.max()
    if lam == 0:
        return
    s = solve("interior-point", theta, y, lam)
    # Weak duality: any ξ with ‖2 Θᵀ ξ‖∞ ≤ λ bounds the objective from below by 2 yᵀξ − ‖ξ‖².
    xi = y - theta @ s
    xi = xi * np.minimum(1, lam / np.maximum(2 * np.abs(theta.T @ xi).max(axis=0), np.finfo(float).tiny))
    bound = (2 * y * xi - xi**2).sum(axis=0)
    assert (objective(theta, y, lam, s) - bound <= 1e-7 * objective(theta, y, lam, s)).all()


@pytest.mark.parametrize("name", ["interior-point", "ssnal"])
@pytest.mark.parametrize("change", ["8 decades of columns", "8 decades of rows", "all but one direction lost"])
def test_badly_scaled_data_are_solved_or_refused_but_never_guessed(name, change):
    theta, y = problem()
    decades = np.logspace(-4, 4, 60)
    theta = {
        "8 decades of columns": theta * decades,
        "8 decades of rows": theta * decades[::5, None],
        "all but one direction lost": theta * 1e-6 + np.outer(theta[:, 0], theta[0]),
    }[change]
    lam = 1e-3 * 2 * np.abs(theta.T @ y).max(axis=0).min()
    try:
        s = solve(name, theta, y, lam)
    except SolverError as error:
        assert "did not converge" in str(error)
    else:
        best = objective(theta, y, lam, solve("clarabel", theta, y, lam))
        assert (objective(theta, y, lam, s) <= best * (1 + 1e-6)).all()


@pytest.mark.parametrize("name", ["omp", "iht"])
def test_a_sparsity_constrained_solver_gives_so_many_nonzeros_and_does_not_use_lambda(name):
    theta, y = problem()
    s = solve(name, theta, y, fraction=0.5)
    assert (np.count_nonzero(s, axis=0) == 6).all()
    np.testing.assert_array_equal(s, solve(name, theta, y, 7.0, fraction=0.5))
    for column in range(2):  # the least squares on its support
        chosen = s[:, column] != 0
        best = np.linalg.lstsq(theta[:, chosen], y[:, column])[0]
        np.testing.assert_allclose(s[chosen, column], best, rtol=1e-5)


@pytest.mark.parametrize("name", ["omp", "iht"])
def test_a_sparsity_constrained_solver_finds_a_sparse_vector(name):
    theta, _ = problem(m=100, n=50)
    s = np.zeros((100, 1))
    s[[3, 30, 60]] = [[2.0], [-3.0], [4.0]]
    np.testing.assert_allclose(solve(name, theta, theta @ s, fraction=0.06), s, atol=1e-6)


def test_a_conic_solver_that_does_not_end_optimal_is_an_error(monkeypatch):
    import cvxpy

    monkeypatch.setattr(cvxpy.Problem, "status", property(lambda self: cvxpy.OPTIMAL_INACCURATE))
    with pytest.raises(SolverError, match="SCS did not converge: status optimal_inaccurate"):
        solve("scs", *problem())


@pytest.mark.parametrize("name", ["admm", "fista", "iht", "interior-point", "ssnal"])
def test_a_torch_solver_computes_where_theta_is(name, monkeypatch):
    import torch

    theta, y = problem(m=100, n=40)
    seen = []
    monkeypatch.setattr(Lasso, "zero", lambda lasso: seen.append(lasso) or 1 / 0)
    solver = registry.solvers.get(name)
    with pytest.raises(ZeroDivisionError):
        solver._solver(DeviceMatrix.copied(theta, torch.device("meta")), y, 0.3)
    assert {part.device.type for part in (seen[0].at, seen[0].b, seen[0].kappa, seen[0].unit)} == {"meta"}


def test_a_step_of_the_interior_point_makes_nothing_elsewhere_than_theta_is(monkeypatch):
    import torch

    monkeypatch.setattr(torch.Tensor, "__bool__", lambda tensor: False)  # a meta tensor has no value, but a place
    theta, y = problem(m=100, n=40)
    lasso = Lasso.scaled(DeviceMatrix.copied(theta, torch.device("meta")), y, 0.3)
    point = DualPoint.start(lasso).step(lasso)
    made = [point.xi, point.positive, point.wary, point.complementarity(lasso), point.signs(lasso)]
    made.append(lasso.gap(lasso.zero(), lasso.residual(lasso.zero()), point.xi))
    assert {part.device.type for part in made} == {"meta"}


def test_a_column_whose_solution_is_zero_never_reaches_the_solver():
    seen = []

    @checked_solver(Tolerance())
    def zeros(theta, y, lam):
        seen.append(y.shape)
        return np.ones((theta.shape[1], y.shape[1]))

    theta, y = problem()
    s = unchecked(zeros)(theta, np.column_stack([1e-9 * y[:, 0], y[:, 1]]), 0.3)
    assert seen == [(12, 1)]
    assert s[:, 0].tolist() == [0] * 60 and s[:, 1].tolist() == [1] * 60


@pytest.mark.parametrize("lam", [0.0, -1.0, np.nan, np.inf])
def test_a_lambda_that_is_no_positive_number_is_refused(lam):
    with pytest.raises(SolverError, match="λ"):
        solve("lars", *problem(), lam)


def test_arrays_that_do_not_fit_are_refused():
    theta, y = problem()
    with pytest.raises(SolverError, match=r"\(12, 60\) and y \(11, 2\)"):
        solve("lars", theta, y[1:])
    with pytest.raises(SolverError, match="do not fit"):
        solve("lars", theta, y[:, 0])


def least_norm(theta, y, lam):
    return np.linalg.pinv(theta) @ y


def test_an_answer_with_a_larger_duality_gap_than_promised_is_refused_with_all_that_matters():
    pattern = r"duality gap is 0\.\d+, above the tolerance 0\.01; raise lam, .*interior-point"
    with pytest.raises(SolverError, match=pattern):
        checked_solver(Tolerance(gap=0.01))(least_norm)(*problem(), 0.3)


def test_one_bad_column_is_enough_to_refuse_an_answer():
    @checked_solver(Tolerance())
    def half(theta, y, lam):
        return solve("lars", theta, y, lam) * [1, 1.01]

    with pytest.raises(SolverError, match="above the tolerance 1e-06"):
        half(*problem(), 0.3)


def test_a_tolerance_set_by_option_is_what_is_promised():
    @checked_solver(Tolerance(gap=1e-6))
    def rough(theta, y, lam, *, tolerance=1e-6):
        return solve("lars", theta, y, lam) * (1 + 1e-3)

    rough(*problem(), 0.3, tolerance=0.1)
    with pytest.raises(SolverError, match="above the tolerance 1e-06"):
        rough(*problem(), 0.3)


def by_a_function(theta, y, lam, *, tolerance=0.1):
    return solve("lars", theta, y, lam) * (1 + 1e-3)


@dataclass(frozen=True, kw_only=True)
class ByAClass:
    """Answers that are slightly off."""

    tolerance: float = 0.1

    def __call__(self, theta, y, lam):
        return by_a_function(theta, y, lam)


@pytest.mark.parametrize("solver", [by_a_function, ByAClass, checked_solver(Tolerance())(by_a_function)])
def test_a_tolerance_that_is_left_at_its_default_is_promised_too(monkeypatch, solver):
    monkeypatch.setitem(registry.solvers._entries, "rough", Entry(solver))
    assert tolerance_of(solver).gap == 0.1
    rough = checked(registry.solvers.bind("rough", {}))
    assert tolerance_of(rough).gap == 0.1
    assert rough(*problem(), 0.3).any()
    exact = checked(registry.solvers.bind("rough", {"tolerance": 1e-8}))
    with pytest.raises(SolverError, match="above the tolerance 1e-08"):
        exact(*problem(), 0.3)


def test_a_class_that_states_a_promise_is_settled_verified_and_takes_its_fields_as_options(monkeypatch):
    monkeypatch.setitem(registry.solvers._entries, "rough", Entry(checked_solver(Tolerance(gap=1e-9))(ByAClass)))
    assert registry.solvers.summary("rough") == "Answers that are slightly off."
    assert registry.solvers.bind("rough", {})(*problem(), 0.3).any()
    exact = registry.solvers.bind("rough", {"tolerance": 1e-8})
    with pytest.raises(SolverError, match="above the tolerance 1e-08"):
        exact(*problem(), 0.3)
    assert unchecked(exact)(*problem(), 0.3).any()
    with pytest.raises(SolverError, match="do not fit"):
        unchecked(exact)(np.ones((2, 3)), np.ones((1, 1)), 0.3)


def test_the_tolerance_of_another_objective_is_no_duality_gap():
    assert tolerance_of(registry.solvers.bind("iht", {"tolerance": 1e-3})).gap == 1e-6


@pytest.mark.parametrize(
    ("answer", "words"), [(np.full((60, 2), np.nan), "NaN or infinity"), (np.zeros((60, 1)), r"shape \(60, 1\)")]
)
@pytest.mark.parametrize("stated", [Tolerance(), Tolerance(other_objective="It minimises nothing.")])
def test_an_answer_that_is_not_finite_or_of_another_shape_is_refused(answer, words, stated):
    with pytest.raises(SolverError, match=words):
        checked_solver(stated)(lambda theta, y, lam: answer)(*problem(), 0.3)


def test_a_solver_of_another_objective_is_not_held_to_the_duality_gap():
    stated = checked_solver(Tolerance(other_objective="It minimises ‖s‖₂."))(least_norm)
    np.testing.assert_array_equal(stated(*problem(), 0.3), least_norm(*problem(), 0.3))


def test_a_solver_that_states_nothing_is_verified_by_the_default_promise():
    with pytest.raises(SolverError, match="above the tolerance 1e-06"):
        checked(least_norm)(*problem(), 0.3)
    lars = registry.solvers.bind("lars", {"max_iterations": 50})
    assert checked(lars) is lars


QUICK = {"fista": 3000, "admm": 3000, "lasso-cd": 3000, "ssnal": 300}
"""Iterations that keep a refusal short."""


@pytest.mark.parametrize("lam", [1e-3, 1e-5, 3e-7, 1e-8, 1e-9])
@pytest.mark.parametrize("name", ["admm", "clarabel", "fista", "interior-point", "lars", "lasso-cd", "scs", "ssnal"])
def test_a_solver_of_the_lasso_is_right_or_refuses_however_small_lambda_is(name, lam):
    theta, y = problem(m=64, n=6)
    y = y * [10, 1]
    options = {"max_iterations": QUICK[name]} if name in QUICK else {}
    try:
        s = solve(name, theta, y, lam, **options)
    except SolverError:
        assert name != "interior-point"
        return
    best = objective(theta, y, lam, solve("interior-point", theta, y, lam))
    excess = objective(theta, y, lam, s) / best - 1
    assert (excess <= tolerance_of(registry.solvers.get(name)).gap).all()


def test_scs_at_a_lambda_that_it_cannot_resolve_says_how_far_its_answer_is():
    with pytest.raises(SolverError, match=r"gap is 0\.\d+, above the tolerance 0\.002"):
        solve("scs", *problem(m=64, n=6), 1e-9)


def test_a_duality_gap_is_never_negative_even_where_the_dual_direction_points_away_from_y():
    import torch

    lasso = Lasso.scaled(*problem(), 0.3)
    x = lasso.zero() + 1.0
    for xi in (lasso.residual(x), -lasso.b, lasso.b):
        assert bool((lasso.gap(x, lasso.residual(x), xi) >= 0).all())
    away = lasso.gap(lasso.zero(), lasso.b, -lasso.b)
    assert torch.equal(away, lasso.gap(lasso.zero(), lasso.b, lasso.b))


def test_ssnal_reaches_its_own_tolerance_on_a_wide_layer():
    theta, y = problem(m=4096, n=410)
    np.testing.assert_array_equal(solve("ssnal", theta, y) != 0, solve("interior-point", theta, y) != 0)


SHAPES = [(1, 1, 1), (1, 1, 3), (1, 5, 2), (5, 1, 2), (4, 4, 1), (8, 3, 2), (3, 8, 1)]
SIZES = [0, 1e-300, 1e-90, 1, 1e90, 1e300]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", registry.solvers.names())
def test_degenerate_problems_end_in_an_answer_or_a_solver_error(name, shape):
    n, m, k = shape
    rng = np.random.default_rng(shape)
    unit_theta, unit_y = rng.normal(size=(n, m)), rng.normal(size=(n, k))
    unit_theta[:, 1::3] = 0  # columns of zeros
    options = {"max_iterations": 100} if name in ITERATIVE else {}
    for theta_size, y_size, lam in [(1, 1, 0.3), *((a, b, 1e-9) for a in SIZES for b in SIZES), (1, 1, 1e300)]:
        try:
            s = solve(name, unit_theta * theta_size, unit_y * y_size, lam, **options)
        except SolverError:
            assert (theta_size, y_size, lam) != (1, 1, 1e300)
        else:
            assert s.shape == (m, k) and np.isfinite(s).all()


def test_omp_solves_one_measurement_of_one_coefficient():
    np.testing.assert_array_equal(solve("omp", np.array([[2.0]]), np.array([[3.0]])), [[1.5]])


def test_numbers_too_large_for_the_products_of_float64_are_refused_with_the_remedy():
    with pytest.raises(SolverError, match=r"largest entry of a column of y is 1e\+120.*scale Θ, y and λ"):
        solve("lars", np.eye(2), np.full((2, 1), 1e120))


def test_a_solver_that_states_nothing_promises_the_lasso_to_a_millionth():
    assert tolerance_of(lambda theta, y, lam: None) == Tolerance(gap=1e-6, other_objective="")
    assert tolerance_of(registry.solvers.get("scs")).gap == 2e-3
