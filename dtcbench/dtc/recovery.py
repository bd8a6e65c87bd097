"""What a recovery solver promises, and what every one of them is asked: finite input, λ > 0."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, cast

import numpy as np

from dtcbench.dtc.errors import SolverError
from dtcbench.dtc.sensing import Array

Options = ParamSpec("Options")


@dataclass(frozen=True)
class Promise:
    """What a solver promises of its answer, per column of y. A solver that states nothing promises this."""

    gap: float = 1e-6
    """Objective above the smallest one, relative to it: of ‖Θ s − y‖² + λ ‖s‖₁, or of its own objective."""
    other_objective: str = ""
    """Where it does not minimise the LASSO: the sentence that says what it does, and what λ is to it."""


def promise_of(solver: Callable[..., Any]) -> Promise:
    """What `solver` promises: as stated through `recovers`, else the default."""
    stated = getattr(solver, "promise", None)
    return stated if isinstance(stated, Promise) else Promise()


def recovers(
    promise: Promise,
) -> Callable[
    [Callable[Concatenate[Array, Array, float, Options], Array]],
    Callable[Concatenate[Array, Array, float, Options], Array],
]:
    """Decorator, below `solvers.register`: states the promise and settles what no solver need look at.

    The solver then sees float64 arrays of fitting shapes, finite, and no column whose solution is
    zero: λ ≥ 2 ‖Θᵀ y‖∞ for the LASSO, Θᵀ y = 0 for another objective. SolverError for other input.
    """

    def decorate(
        solve: Callable[Concatenate[Array, Array, float, Options], Array],
    ) -> Callable[Concatenate[Array, Array, float, Options], Array]:
        @functools.wraps(solve)
        def checked(theta: Array, y: Array, lam: float, *args: Options.args, **kwargs: Options.kwargs) -> Array:
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

        checked.promise = promise  # type: ignore[attr-defined]
        return cast(Callable[Concatenate[Array, Array, float, Options], Array], checked)

    return decorate


def _refuse_unfit(theta: Array, y: Array, lam: float) -> None:
    if theta.ndim != 2 or y.ndim != 2 or len(theta) != len(y) or 0 in theta.shape:
        raise SolverError(f"Θ {theta.shape} and y {y.shape} do not fit; give Θ [n, m] and y [n, k], n and m at least 1")
    if not (np.isfinite(theta).all() and np.isfinite(y).all()):
        raise SolverError("Θ or y holds NaN or infinity; look at the weights they were measured from")
    if not 0 < lam < np.inf:
        raise SolverError(f"λ = {lam:g} is not a positive number; set lam above 0")
