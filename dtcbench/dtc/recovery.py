"""What a recovery solver promises, and how its input and its answers are held to that."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, update_wrapper
from typing import Any

import numpy as np

from dtcbench.dtc.duality import certified_gap
from dtcbench.dtc.errors import SolverError
from dtcbench.dtc.sensing import Array

SMALLEST, LARGEST = 1e-100, 1e100
"""Between these, the largest entry of Θ and of each column of y must lie: float64 then holds their products."""


@dataclass(frozen=True)
class Promise:
    """What a solver promises of its answer, per column of y. A solver that states nothing promises this."""

    gap: float = 1e-6
    """Largest relative duality gap of ‖Θ s − y‖² + λ ‖s‖₁, or of its own objective. The value of an
    option called `tolerance` is promised in its place."""
    other_objective: str = ""
    """Where it does not minimise the LASSO: the sentence that says what it does, and what λ is to it. No duality
    gap is then computed."""


class Recovery:
    """A solver, a function or a class whose fields are its options, that is held to what it promises.

    The solver then sees float64 arrays of fitting shapes, finite, of a size whose products float64 holds, and no
    column whose solution is zero: λ ≥ 2 ‖Θᵀ y‖∞ for the LASSO, Θᵀ y = 0 for another objective. SolverError for
    other input, for an answer that is not finite or not [m, k], and for one whose relative duality gap is above
    what is promised, whatever the solver says of itself.
    """

    def __init__(self, solver: Callable[..., Any], promise: Promise) -> None:
        update_wrapper(self, solver, updated=())
        self.promise = promise
        self._solver = solver

    def __call__(self, theta: Array, y: Array, lam: float, **options: Any) -> Array:
        """s [m, k] of Θ [n, m], y [n, k] and λ, verified."""
        s = self.unverified(theta, y, lam, **options)
        _verify(promise_of(partial(self, **options)), theta, y, lam, s)
        return s

    def unverified(self, theta: Array, y: Array, lam: float, **options: Any) -> Array:
        """s [m, k] as the solver gives it, with simple input settled."""
        solve: Callable[..., Array] = _bound(self._solver, options)
        # Each column of y contiguous, however many there are: otherwise BLAS rounds by their number.
        theta, y = np.asarray(theta, dtype=np.float64), np.asfortranarray(y, dtype=np.float64)
        _refuse_unfit(theta, y, lam)
        slope = 2 * np.abs(theta.T @ y).max(axis=0)
        zero = slope <= (0 if self.promise.other_objective else lam)
        if not zero.any():
            return solve(theta, y, lam)
        s = np.zeros((theta.shape[1], y.shape[1]))
        if not zero.all():
            s[:, ~zero] = solve(theta, y[:, ~zero], lam)
        return s


def recovers(promise: Promise) -> Callable[[Callable[..., Any]], Recovery]:
    """Decorator, below `solvers.register`: states the promise, settles simple input and verifies every answer."""
    return lambda solver: Recovery(solver, promise)


def promise_of(solver: Callable[..., Any]) -> Promise:
    """What `solver` promises, with options bound or not: as stated through `recovers`, else the default."""
    recovery, _ = _parts(solver)
    promise = recovery.promise if isinstance(recovery, Recovery) else Promise()
    if promise.other_objective:
        return promise
    option = inspect.signature(solver).parameters.get("tolerance")
    tolerance = getattr(solver, "tolerance", option.default if option else None)
    return replace(promise, gap=tolerance) if isinstance(tolerance, float | int) else promise


def verified(solver: Callable[..., Array]) -> Callable[..., Array]:
    """`solver`, bound to its options, with its answers verified: itself where `recovers` decorates it."""
    return solver if isinstance(_parts(solver)[0], Recovery) else Recovery(solver, promise_of(solver))


def unverified(solver: Callable[..., Array]) -> Callable[..., Array]:
    """`solver`, bound to its options, without the verification of its answers, which the published code does not
    have."""
    recovery, options = _parts(solver)
    return partial(recovery.unverified, **options) if isinstance(recovery, Recovery) else solver


def _bound(solver: Callable[..., Any], options: dict[str, Any]) -> Any:
    """A solver with its options filled in: a class's instance, or a function still to be called."""
    return solver(**options) if inspect.isclass(solver) else partial(solver, **options)


def _parts(solver: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A solver, and the options that are bound to it."""
    return (solver.func, solver.keywords) if isinstance(solver, partial) else (solver, {})


def _refuse_unfit(theta: Array, y: Array, lam: float) -> None:
    if theta.ndim != 2 or y.ndim != 2 or len(theta) != len(y) or 0 in theta.shape:
        raise SolverError(f"Θ {theta.shape} and y {y.shape} do not fit; give Θ [n, m] and y [n, k], n and m at least 1")
    if not (np.isfinite(theta).all() and np.isfinite(y).all()):
        raise SolverError("Θ or y holds NaN or infinity; look at the weights they were measured from")
    if not 0 < lam < np.inf:
        raise SolverError(f"λ = {lam:g} is not a positive number; set lam above 0")
    for name, largest in (("Θ", np.abs(theta).max()), *(("a column of y", column) for column in np.abs(y).max(axis=0))):
        if largest != 0 and not SMALLEST <= largest <= LARGEST:
            raise SolverError(
                f"the largest entry of {name} is {largest:.3g}, too far from 1 for the products of float64; "
                f"scale Θ, y and λ so that it lies between {SMALLEST:g} and {LARGEST:g}"
            )


def _verify(promise: Promise, theta: Array, y: Array, lam: float, s: Array) -> None:
    """SolverError unless s [m, k] is finite and, of the LASSO, within the promised relative duality gap."""
    theta, y = np.asarray(theta, dtype=np.float64), np.asarray(y, dtype=np.float64)
    expected = theta.shape[1], y.shape[1]
    if s.shape != expected:
        raise SolverError(f"the answer has shape {s.shape}, not {expected}; return s [m, k]")
    if not np.isfinite(s).all():
        raise SolverError("the answer holds NaN or infinity; take solver interior-point or raise lam")
    nonzero = 2 * np.abs(theta.T @ y).max(axis=0) > lam  # the other columns are settled: s = 0
    if promise.other_objective or not nonzero.any():
        return
    gap = certified_gap(theta, y[:, nonzero], lam, s[:, nonzero], promise.gap).max()
    if not gap <= promise.gap:
        raise SolverError(
            f"the answer's relative duality gap is {gap:.3g}, and {promise.gap:g} is promised; "
            "raise lam, take solver interior-point, or raise max_iterations where the solver has it"
        )
