"""The claims about every recovery solver, also a plug-in's, and how each is tried."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from dtcbench import registry
from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.recovery import Tolerance, checked, tolerance_of
from dtcbench.dtc.sensing import Array, dct_basis
from dtcbench.errors import SolverError
from dtcbench.selftest.checking import Check, Contradicted, Elsewhere

ROUNDING = 1e-12
"""Allowed error of any objective, relative to ‖y‖²: float64 cannot tell it from zero."""
EXACT = ("clarabel", "lars", "interior-point")
"""The solvers whose best objective counts as the smallest there is."""


@dataclass(frozen=True, eq=False)
class LassoProblem:
    """min ‖Θ s − y‖² + λ ‖s‖₁ per column of y, with a name for messages."""

    name: str
    theta: Array
    y: Array
    lam: float

    def objective(self, s: Array) -> Array:
        """[k]"""
        value: Array = ((self.theta @ s - self.y) ** 2).sum(axis=0) + self.lam * np.abs(s).sum(axis=0)
        return value

    @functools.cached_property
    def smallest(self) -> Array:
        """The smallest objective [k] that any of the exact solvers finds."""
        found = [self.objective(np.zeros((self.theta.shape[1], self.y.shape[1])))]
        for name in EXACT:
            try:
                found.append(self.objective(registry.solvers.bind(name, {})(self.theta, self.y, self.lam)))
            except SolverError:  # the others are there for this
                continue
        best: Array = np.min(found, axis=0)
        return best


def _measured(name: str, n: int, m: int, share: float | None = None, columns: slice = slice(None)) -> LassoProblem:
    """A Gaussian measurement in the DCT basis; λ as in the bench, or a share of the λ that gives zero."""
    rng = np.random.default_rng([n, m])
    phi = rng.normal(size=(n, m))
    theta, y = (phi @ dct_basis(m))[:, columns], phi @ rng.normal(size=(m, 2))
    lam = 0.3 if share is None else share * float(2 * np.abs(theta.T @ y).max(axis=0).min())
    return LassoProblem(name, theta, y, lam)


_Problems = Callable[[], tuple[LassoProblem, ...]]


@functools.cache
def _usual() -> LassoProblem:
    return _measured("λ = 0.3", 12, 60)


@functools.cache
def _well_posed() -> tuple[LassoProblem, ...]:
    shapes = ((12, 60), (30, 40), (20, 200))
    return (_usual(), *(_measured(f"λ at 5 % of the λ that gives zero, {n} × {m}", n, m, 0.05) for n, m in shapes))


@functools.cache
def _rank_deficient() -> tuple[LassoProblem, ...]:
    usual = _usual()
    twice = np.tile(usual.theta[:, :20], 2)
    rows = np.concatenate([usual.theta[:6]] * 2)
    return (
        LassoProblem("columns given twice", twice, usual.y, usual.lam),
        LassoProblem("rows given twice", rows, np.concatenate([usual.y[:6]] * 2), usual.lam),
        LassoProblem("columns of zeros", usual.theta * (np.arange(60) % 2), usual.y, usual.lam),
    )


@dataclass(frozen=True)
class _SolverUnderTest:
    """The solver under test."""

    name: str

    @property
    def tolerance(self) -> Tolerance:
        return tolerance_of(registry.solvers.get(self.name))

    def solve(self, problem: LassoProblem) -> Array:
        """s [m, k]; Contradicted if it does not have that shape or is not finite."""
        s = np.asarray(registry.solvers.bind(self.name, {})(problem.theta, problem.y, problem.lam))
        expected = (problem.theta.shape[1], problem.y.shape[1])
        if s.shape != expected or not np.isfinite(s).all():
            raise Contradicted(f"{problem.name}: expected finite numbers of shape {expected}, not {s.shape}:\n{s}")
        return s

    def objective(self, problem: LassoProblem) -> None:
        s = self.solve(problem)
        if self.tolerance.other_objective:
            return
        excess = problem.objective(s) - problem.smallest
        self._within(problem, excess, "the objective is above the smallest one by")

    def objective_or_refusal(self, problem: LassoProblem) -> None:
        with contextlib.suppress(SolverError):
            self.objective(problem)

    def coordinates(self, problem: LassoProblem) -> None:
        """The subgradient condition in the objective's units: what the best move of one coefficient gains."""
        s = self.solve(problem)
        square = (problem.theta**2).sum(axis=0)[:, None]
        slope = problem.theta.T @ (problem.y - problem.theta @ s) + square * s
        best = np.sign(slope) * np.maximum(np.abs(slope) - problem.lam / 2, 0) / np.where(square > 0, square, 1)
        gain = square * (s**2 - best**2) - 2 * slope * (s - best) + problem.lam * (np.abs(s) - np.abs(best))
        self._within(problem, gain.max(axis=0), "one coefficient, moved alone, lowers the objective by")

    def same(self, problem: LassoProblem, s: Array, t: Array, change: str) -> None:
        """Contradicted unless s and t both can be answers: ‖Θ(s − s*)‖² is at most an answer's excess."""
        apart = ((problem.theta @ (s - t)) ** 2).sum(axis=0) / 4
        self._within(problem, apart, f"{change} changes the answer: ‖Θ (s − s′)‖² / 4 is")

    def _within(self, problem: LassoProblem, excess: Array, saying: str) -> None:
        power = (problem.y**2).sum(axis=0)
        scale = power if self.tolerance.other_objective else problem.smallest
        allowed = self.tolerance.gap * scale + ROUNDING * power
        if (excess > allowed).any():
            worst = int(np.argmax(excess / allowed))
            raise Contradicted(
                f"{problem.name}: {saying} {excess[worst]:.3g}, above its tolerance of {allowed[worst]:.3g} (relative "
                f"{self.tolerance.gap:g}); solve further, or state the gap with @checked_solver(Tolerance(gap=…))"
            )


def checks(name: str) -> list[Check]:
    """The claims about the solver registered as `name`, with its default options."""
    trial = _SolverUnderTest(name)
    lasso_only = trial.tolerance.other_objective

    def each(try_one: Callable[[LassoProblem], None], problems: _Problems) -> Callable[[], None]:
        def run() -> None:
            for problem in problems():
                try_one(problem)

        return run

    def case(name: str, n: int, m: int) -> _Problems:
        return lambda: (_measured(name, n, m),)

    return [
        Check(
            "the objective is the smallest there is, within the tolerance",
            each(trial.objective, _well_posed),
            lasso_only,
        ),
        Check(
            "no coefficient alone can be improved, within the tolerance",
            each(trial.coordinates, _well_posed),
            lasso_only,
        ),
        Check("λ ≥ 2 ‖Θᵀ y‖∞ gives exactly zero", lambda: _large_lambda(trial), lasso_only),
        Check("y = 0 gives exactly zero", lambda: _zero(trial, replace(_usual(), y=np.zeros_like(_usual().y)))),
        Check("Θ without full rank is solved, or refused", each(trial.objective_or_refusal, _rank_deficient)),
        Check("one measurement is solved", each(trial.objective, case("n = 1", 1, 11))),
        Check("more measurements than coefficients are solved", each(trial.objective, case("n > m", 30, 12))),
        Check("float32 input is solved as float64 is", lambda: _single_precision(trial)),
        *(Check(claim, functools.partial(_equivariant, trial, claim)) for claim in _CHANGES),
        Check("k right-hand sides at once equal one by one", lambda: _one_by_one(trial)),
        Check("the same input twice gives the same bits", lambda: _repeatable(trial)),
        Check("Θ in a GPU's memory gives the answer of an array", lambda: _anywhere(trial)),
        Check("the input is left as it was", lambda: _unmodified(trial)),
        Check("input that is not finite is refused", lambda: _refuses(trial)),
    ]


def _large_lambda(trial: _SolverUnderTest) -> None:
    usual = _usual()
    bound = 2 * np.abs(usual.theta.T @ usual.y).max()
    for times in (1, 1.01, 1e6):
        _zero(trial, replace(usual, name=f"λ = {times:g} · 2 ‖Θᵀ y‖∞", lam=float(times * bound)))


def _zero(trial: _SolverUnderTest, problem: LassoProblem) -> None:
    largest = np.abs(trial.solve(problem)).max()
    if largest > 0:
        raise Contradicted(f"{problem.name}: a coefficient is {largest:.3g}, not 0; decorate it with @checked_solver")


def _single_precision(trial: _SolverUnderTest) -> None:
    single = {"theta": _usual().theta.astype(np.float32), "y": _usual().y.astype(np.float32)}
    rounded: LassoProblem = replace(_usual(), name="float32", **cast(dict[str, Any], single))
    double = replace(rounded, theta=rounded.theta.astype(np.float64), y=rounded.y.astype(np.float64))
    trial.same(double, trial.solve(rounded), trial.solve(double), "giving the same numbers as float32")


_PERMUTED = np.random.default_rng(7).permutation(60)
_SHUFFLED = np.random.default_rng(7).permutation(12)

_CHANGES: dict[str, tuple[Callable[[LassoProblem], dict[str, Any]], Callable[[Array], Array]]] = {
    "permuting Θ's columns permutes s": (
        lambda p: {"theta": p.theta[:, _PERMUTED]},
        lambda s: s[np.argsort(_PERMUTED)],
    ),
    "permuting the rows of Θ and y leaves s": (
        lambda p: {"theta": p.theta[_SHUFFLED], "y": p.y[_SHUFFLED]},
        lambda s: s,
    ),
    "y and λ times c give s times c": (
        lambda p: {"y": 1000 * p.y, "lam": 1000 * p.lam},
        lambda s: s / 1000,
    ),
    "Θ and λ times c give s divided by c": (
        lambda p: {"theta": 1000 * p.theta, "lam": 1000 * p.lam},
        lambda s: s * 1000,
    ),
    "−y gives −s": (lambda p: {"y": -p.y}, lambda s: -s),
}
"""By claim: how the usual problem is changed, and how its answer is changed back."""


def _equivariant(trial: _SolverUnderTest, claim: str) -> None:
    usual, (change, back) = _usual(), _CHANGES[claim]
    trial.same(usual, trial.solve(usual), back(trial.solve(replace(usual, **change(usual)))), f"({claim}) the change")


def _one_by_one(trial: _SolverUnderTest) -> None:
    for problem in _well_posed()[:2]:
        apart = [trial.solve(replace(problem, y=problem.y[:, [column]])) for column in range(problem.y.shape[1])]
        trial.same(problem, trial.solve(problem), np.column_stack(apart), "solving one by one")


def _repeatable(trial: _SolverUnderTest) -> None:
    for problem in _well_posed()[:2]:
        first, second = trial.solve(problem), trial.solve(problem)
        if first.tobytes() != second.tobytes():
            raise Contradicted(
                f"{problem.name}: two calls differ by {np.abs(first - second).max():.3g}; draw nothing at random"
            )


def _anywhere(trial: _SolverUnderTest) -> None:
    problem = _measured("λ at 5 % of the λ that gives zero, 36 × 60", 36, 60, 0.05)
    solve = checked(registry.solvers.bind(trial.name, {}))
    there = DeviceMatrix(Elsewhere.of(problem.theta))
    trial.same(problem, trial.solve(problem), solve(there, problem.y, problem.lam), "Θ as a DeviceMatrix")


def _unmodified(trial: _SolverUnderTest) -> None:
    usual = _usual()
    given = replace(usual, theta=usual.theta.copy(), y=usual.y.copy())
    trial.solve(given)
    for name, before, after in (("Θ", usual.theta, given.theta), ("y", usual.y, given.y)):
        if before.tobytes() != after.tobytes():
            raise Contradicted(f"{name} is not what it was before the call; work on a copy")


def _refuses(trial: _SolverUnderTest) -> None:
    for problem in _not_finite():
        try:
            s = trial.solve(problem)
        except SolverError:
            continue
        raise Contradicted(f"{problem.name}: an answer, not a SolverError; decorate it with @checked_solver:\n{s}")


def _not_finite() -> Iterator[LassoProblem]:
    usual = _usual()
    for bad in (np.nan, np.inf):
        theta, y = usual.theta.copy(), usual.y.copy()
        theta[0, 0] = y[0, 0] = bad
        yield replace(usual, name=f"Θ holds {bad}", theta=theta)
        yield replace(usual, name=f"y holds {bad}", y=y)
