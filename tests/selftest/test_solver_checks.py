"""The claims about solvers can fail: each wrong solver is contradicted by the claims that fit."""

import numpy as np
import pytest

from dtcbench import registry
from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.recovery import Tolerance, checked_solver
from dtcbench.registry import Entry
from dtcbench.selftest.checking import Contradicted
from dtcbench.selftest.solver_checks import checks


def exact(theta, y, lam):
    return registry.solvers.bind("interior-point", {})(theta, y, lam)


def ridge(theta, y, lam):
    return theta.T @ np.linalg.solve(theta @ theta.T + lam * np.eye(len(theta)), y)


def least_norm(theta, y, lam):
    return np.linalg.pinv(theta) @ y


def double_lambda(theta, y, lam):
    return exact(theta, y, 2 * lam)


def zeros(theta, y, lam):
    return np.zeros((theta.shape[1], y.shape[1]))


def first_row_only(theta, y, lam):
    return exact(theta[:1], y[:1], lam)


def forward_in_order(theta, y, lam):
    """A single sweep over the coefficients, in the order they come."""
    s = np.zeros((theta.shape[1], y.shape[1]))
    for j, column in enumerate(theta.T):
        slope = column @ (y - theta @ s)
        s[j] = np.sign(slope) * np.maximum(np.abs(slope) - lam / 2, 0) / max(column @ column, 1e-300)
    return s


def absolute_threshold(theta, y, lam):
    s = exact(theta, y, lam)
    return np.where(np.abs(s) > 0.1, s, 0)


def magnitudes(theta, y, lam):
    return np.abs(exact(theta, y, lam))


def mutating(theta, y, lam):
    y -= y.mean(axis=0)
    return exact(theta, y, lam)


def noisy(theta, y, lam):
    return exact(theta, y, lam) * (1 + 1e-12 * np.random.default_rng().random())


def one_column(theta, y, lam):
    return exact(theta, y, lam)[:, :1]


def coupled(theta, y, lam):
    return np.repeat(exact(theta, y, lam).mean(axis=1, keepdims=True), y.shape[1], axis=1)


def trusting(theta, y, lam):
    return exact(np.nan_to_num(theta, posinf=0), np.nan_to_num(y, posinf=0), lam)


def single_precision(theta, y, lam):
    return exact(theta, y, lam) * (1.001 if theta.dtype == np.float32 else 1)


def dense(theta, y, lam):
    return exact(theta, y, lam) + 1e-13


@checked_solver(Tolerance(other_objective="It minimises something else of a DeviceMatrix."), on="device")
def right_on_the_host(theta, y, lam):
    return exact(theta, y, lam) / (2 if isinstance(theta, DeviceMatrix) else 1)


def half_of_all(theta, y, lam):
    m = theta.shape[1]
    return np.concatenate([exact(theta[:, : m // 2], y, lam), np.zeros((m - m // 2, y.shape[1]))])


WRONG = [
    (ridge, "the objective is the smallest"),
    (ridge, "no coefficient alone"),
    (double_lambda, "the objective is the smallest"),
    (double_lambda, "no coefficient alone"),
    (zeros, "the objective is the smallest"),
    (zeros, "one measurement"),
    (first_row_only, "more measurements"),
    (first_row_only, "permuting the rows"),
    (forward_in_order, "permuting Θ's columns"),
    (forward_in_order, "Θ without full rank"),
    (half_of_all, "permuting Θ's columns"),
    (absolute_threshold, "y and λ times c"),
    (absolute_threshold, "Θ and λ times c"),
    (magnitudes, "−y gives −s"),
    (mutating, "the input is left"),
    (noisy, "the same input twice"),
    (one_column, "k right-hand sides"),
    (coupled, "k right-hand sides"),
    (trusting, "input that is not finite"),
    (single_precision, "float32 input"),
    (right_on_the_host, "Θ in a GPU's memory"),
    (dense, "λ ≥ 2 ‖Θᵀ y‖∞"),
    (dense, "y = 0"),
]


@pytest.fixture
def register(monkeypatch):
    def add(solver):
        registry.solvers.discover()
        monkeypatch.setitem(registry.solvers._entries, "under-trial", Entry(solver))
        return "under-trial"

    return add


def the_check(name, beginning):
    (found,) = (check for check in checks(name) if check.claim.startswith(beginning))
    return found


@pytest.mark.parametrize(("solver", "claim"), WRONG, ids=[f"{s.__name__}: {c}" for s, c in WRONG])
def test_a_wrong_solver_is_contradicted(register, solver, claim):
    with pytest.raises(Contradicted):
        the_check(register(solver), claim).run()


def test_every_claim_is_contradicted_by_some_wrong_solver():
    for check in checks("lars"):
        assert any(check.claim.startswith(claim) for _, claim in WRONG), check.claim


def test_a_right_solver_from_outside_that_states_nothing_passes(register):
    for check in checks(register(exact)):
        check.run()


def test_a_contradiction_says_what_was_seen_and_promised_and_the_remedy(register):
    with pytest.raises(Contradicted, match=r"λ = 0\.3: the objective is above .* by \d.* tolerance of .*@checked"):
        the_check(register(zeros), "the objective").run()


def test_another_objective_waives_what_only_the_lasso_can_show(register):
    stated = checked_solver(Tolerance(other_objective="It minimises ‖s‖₂."))(least_norm)
    waived = {check.claim: check.waived for check in checks(register(stated)) if check.waived}
    assert len(waived) == 3
    assert set(waived.values()) == {"It minimises ‖s‖₂."}
    for check in checks("under-trial"):
        if not check.waived:
            check.run()
