"""Checking recovery solvers: their input, and the accuracy of their answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, update_wrapper
from typing import Any

import numpy as np

from dtcbench.dtc.device import DeviceMatrix, Home
from dtcbench.dtc.lasso import certified_gap
from dtcbench.dtc.sensing import Array
from dtcbench.errors import SolverError

SMALLEST, LARGEST = 1e-100, 1e100
"""The largest entry of Θ and of each column of y must lie between these: float64 then holds their products."""


@dataclass(frozen=True)
class Tolerance:
    """How exactly a solver answers, per column of y. It holds for a solver that states nothing, too."""

    gap: float = 1e-6
    """Largest relative duality gap of ‖Θ s − y‖² + λ ‖s‖₁, or of the solver's own objective. If the solver has an
    option called `tolerance`, its value replaces this."""
    other_objective: str = ""
    """For a solver that does not minimise the LASSO: one sentence on what it minimises, and what it uses λ for. Its
    duality gap is then not computed."""


class CheckedSolver:
    """A solver (a function, or a class whose fields are its options) with its input and its answers checked.

    The solver receives finite float64 arrays of fitting shapes, of a size whose products float64 holds, and no
    column whose solution is zero: λ ≥ 2 ‖Θᵀ y‖∞ for the LASSO, Θᵀ y = 0 for another objective. SolverError for
    other input, for an answer that is not finite or not [m, k], and for an answer whose relative duality gap is above
    the tolerance. Θ may be a DeviceMatrix; the solver receives it as such if it computes on the device.
    """

    def __init__(self, solver: Callable[..., Any], tolerance: Tolerance, on: Home = "host") -> None:
        update_wrapper(self, solver, updated=())
        self.stated = tolerance
        self._solver, self._on = solver, on

    def __call__(self, theta: Array | DeviceMatrix, y: Array, lam: float, **options: Any) -> Array:
        """s [m, k] of Θ [n, m], y [n, k] and λ, checked."""
        s = self.unchecked(theta, y, lam, **options)
        _check(tolerance_of(partial(self, **options)), theta, y, lam, s)
        return s

    def unchecked(self, theta: Array | DeviceMatrix, y: Array, lam: float, **options: Any) -> Array:
        """s [m, k] as the solver gives it; the input is checked, and columns with solution zero are filled in."""
        bound: Any = self._solver(**options) if inspect.isclass(self._solver) else partial(self._solver, **options)
        solve: Callable[..., Array] = bound
        # Each column of y contiguous, however many there are: otherwise BLAS rounds by their number.
        theta, y = _float64(theta, self._on), np.asfortranarray(y, dtype=np.float64)
        _refuse_unfit(theta, y, lam)
        slope = 2 * np.abs(theta.T @ y).max(axis=0)
        zero = slope <= (0 if self.stated.other_objective else lam)
        if not zero.any():
            return solve(theta, y, lam)
        s = np.zeros((theta.shape[1], y.shape[1]))
        if not zero.all():
            s[:, ~zero] = solve(theta, y[:, ~zero], lam)
        return s


def checked_solver(tolerance: Tolerance, on: Home = "host") -> Callable[[Callable[..., Any]], CheckedSolver]:
    """Decorator, below `register_solver`: checks the solver's input, and every answer against `tolerance`.

    A solver that computes `on="device"` gets the Θ of a wide layer on a GPU as a DeviceMatrix, any other as an array.
    """
    return lambda solver: CheckedSolver(solver, tolerance, on)


def tolerance_of(solver: Callable[..., Any]) -> Tolerance:
    """The tolerance of `solver`, with options bound or not: as `checked_solver` states it, else the default."""
    function, _ = _parts(solver)
    tolerance = function.stated if isinstance(function, CheckedSolver) else Tolerance()
    if tolerance.other_objective:
        return tolerance
    option = inspect.signature(solver).parameters.get("tolerance")
    gap = getattr(solver, "tolerance", option.default if option else None)
    return replace(tolerance, gap=gap) if isinstance(gap, float | int) else tolerance


def checked(solver: Callable[..., Array]) -> Callable[..., Array]:
    """`solver`, bound to its options, with its answers checked: itself if `checked_solver` decorates it."""
    return solver if isinstance(_parts(solver)[0], CheckedSolver) else CheckedSolver(solver, tolerance_of(solver))


def unchecked(solver: Callable[..., Array]) -> Callable[..., Array]:
    """`solver`, bound to its options, with its answers taken as they are, as in the published code."""
    function, options = _parts(solver)
    return partial(function.unchecked, **options) if isinstance(function, CheckedSolver) else solver


def _parts(solver: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A solver, and the options that are bound to it."""
    return (solver.func, solver.keywords) if isinstance(solver, partial) else (solver, {})


def _float64(theta: Array | DeviceMatrix, on: Home) -> Array | DeviceMatrix:
    """Θ as a solver that computes there receives it."""
    return theta if on == "device" and isinstance(theta, DeviceMatrix) else np.asarray(theta, dtype=np.float64)


def _refuse_unfit(theta: Array | DeviceMatrix, y: Array, lam: float) -> None:
    if theta.ndim != 2 or y.ndim != 2 or len(theta) != len(y) or 0 in theta.shape:
        raise SolverError(f"Θ {theta.shape} and y {y.shape} do not fit; give Θ [n, m] and y [n, k], n and m at least 1")
    steepest = max(theta.max(), -theta.min())  # no copy of Θ is made; NaN and infinity come through
    if not (np.isfinite(steepest) and np.isfinite(y).all()):
        raise SolverError("Θ or y holds NaN or infinity; look at the weights they were measured from")
    if not 0 < lam < np.inf:
        raise SolverError(f"λ = {lam:g} is not a positive number; set lam above 0")
    for name, largest in (("Θ", steepest), *(("a column of y", column) for column in np.abs(y).max(axis=0))):
        if largest != 0 and not SMALLEST <= largest <= LARGEST:
            raise SolverError(
                f"the largest entry of {name} is {largest:.3g}, too far from 1 for the products of float64; "
                f"scale Θ, y and λ so that it lies between {SMALLEST:g} and {LARGEST:g}"
            )


def _check(tolerance: Tolerance, theta: Array | DeviceMatrix, y: Array, lam: float, s: Array) -> None:
    """SolverError unless s [m, k] is finite and, for the LASSO, its relative duality gap is within the tolerance."""
    theta, y = _float64(theta, "device"), np.asarray(y, dtype=np.float64)
    expected = theta.shape[1], y.shape[1]
    if np.shape(s) != expected:
        raise SolverError(f"the answer has shape {np.shape(s)}, not {expected}; return s [m, k]")
    if not np.isfinite(s).all():
        raise SolverError("the answer holds NaN or infinity; take solver interior-point or raise lam")
    nonzero = 2 * np.abs(theta.T @ y).max(axis=0) > lam  # the solution of the other columns is 0
    if tolerance.other_objective or not nonzero.any():
        return
    gap = certified_gap(theta, y[:, nonzero], lam, s[:, nonzero], tolerance.gap).max()
    if not gap <= tolerance.gap:
        raise SolverError(
            f"the answer's relative duality gap is {gap:.3g}, above the tolerance {tolerance.gap:g}; "
            "raise lam, take solver interior-point, or raise max_iterations if the solver has it"
        )
