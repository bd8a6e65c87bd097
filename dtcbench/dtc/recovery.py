"""What a recovery solver promises, and how its input and its answers are held to that."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, cast

import numpy as np

from dtcbench.dtc.errors import SolverError
from dtcbench.dtc.sensing import Array

Options = ParamSpec("Options")
Solver = Callable[Concatenate[Array, Array, float, Options], Array]

SMALLEST, LARGEST = 1e-100, 1e100
"""Between these, the largest entry of Θ and of each column of y must lie: float64 then holds their products."""


@dataclass(frozen=True)
class Promise:
    """What a solver promises of its answer, per column of y. A solver that states nothing promises this."""

    gap: float = 1e-6
    """Largest relative duality gap of ‖Θ s − y‖² + λ ‖s‖₁, or of its own objective. An option called `tolerance`
    is promised in its place."""
    other_objective: str = ""
    """Where it does not minimise the LASSO: the sentence that says what it does, and what λ is to it. No duality
    gap is then computed."""


def promise_of(solver: Callable[..., Any]) -> Promise:
    """What `solver` promises: as stated through `recovers`, else the default."""
    stated = getattr(solver, "promise", None)
    return stated if isinstance(stated, Promise) else Promise()


def recovers(promise: Promise) -> Callable[[Solver[Options]], Solver[Options]]:
    """Decorator, below `solvers.register`: states the promise, settles simple input and verifies every answer.

    The solver then sees float64 arrays of fitting shapes, finite, of a size whose products float64 holds, and no
    column whose solution is zero: λ ≥ 2 ‖Θᵀ y‖∞ for the LASSO, Θᵀ y = 0 for another objective. SolverError for
    other input, for an answer that is not finite or not [m, k], and for one whose relative duality gap is above
    what is promised, whatever the solver says of itself.
    """

    def decorate(solve: Solver[Options]) -> Solver[Options]:
        @functools.wraps(solve)
        def settled(theta: Array, y: Array, lam: float, *args: Options.args, **kwargs: Options.kwargs) -> Array:
            # Each column of y contiguous, however many there are: otherwise BLAS rounds by their number.
            theta, y = np.asarray(theta, dtype=np.float64), np.asfortranarray(y, dtype=np.float64)
            _refuse_unfit(theta, y, lam)
            slope = 2 * np.abs(theta.T @ y).max(axis=0)
            zero = slope <= (0 if promise.other_objective else lam)
            if not zero.any():
                return solve(theta, y, lam, *args, **kwargs)
            s = np.zeros((theta.shape[1], y.shape[1]))
            if not zero.all():
                s[:, ~zero] = solve(theta, y[:, ~zero], lam, *args, **kwargs)
            return s

        @functools.wraps(solve)
        def checked(theta: Array, y: Array, lam: float, *args: Options.args, **kwargs: Options.kwargs) -> Array:
            s = settled(theta, y, lam, *args, **kwargs)
            stated = kwargs.get("tolerance", promise.gap)
            name = getattr(solve, "__name__", "the solver").replace("_", "-")
            _verify(name, promise, cast(float, stated), (theta, y, lam), s)
            return s

        for solver in (settled, checked):
            solver.promise = promise  # type: ignore[attr-defined]
        checked.unverified = settled  # type: ignore[attr-defined]
        return cast(Solver[Options], checked)

    return decorate


def verified(solver: Callable[..., Array]) -> Callable[..., Array]:
    """`solver` with its answers verified: itself where `recovers` decorates it, else by the default promise."""
    return solver if hasattr(solver, "unverified") else recovers(Promise())(solver)


def unverified(solver: Callable[..., Array]) -> Callable[..., Array]:
    """`solver` without the verification of its answers, which the published code does not have."""
    answers: Callable[..., Array] = getattr(solver, "unverified", solver)
    return answers


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


def _verify(name: str, promise: Promise, promised: float, problem: tuple[Array, Array, float], s: Array) -> None:
    """SolverError unless s [m, k] is finite and, of the LASSO, within the promised relative duality gap."""
    theta, y, lam = (np.asarray(problem[0], dtype=np.float64), np.asarray(problem[1], dtype=np.float64), problem[2])
    where, expected = f"{name} at width {theta.shape[1]}, λ {lam:g}", (theta.shape[1], y.shape[1])
    if s.shape != expected:
        raise SolverError(f"{where}: the answer has shape {s.shape}, not {expected}; return s [m, k]")
    if not np.isfinite(s).all():
        raise SolverError(f"{where}: the answer holds NaN or infinity; take solver interior-point or raise lam")
    nonzero = 2 * np.abs(theta.T @ y).max(axis=0) > lam  # the other columns are settled: s = 0
    if promise.other_objective or not nonzero.any():
        return
    from dtcbench.solvers.interior_point import certified_gap

    gap = certified_gap(theta, y[:, nonzero], lam, s[:, nonzero], promised).max()
    if not gap <= promised:
        raise SolverError(
            f"{where}: the answer's relative duality gap is {gap:.3g}, and {promised:g} is promised; "
            "raise lam, take solver interior-point, or raise max_iterations where the solver has it"
        )
