"""The method and the solver of a compressor: given by their registered names, or as objects."""

from __future__ import annotations

import inspect
import time
from dataclasses import Field, fields, is_dataclass
from functools import partial
from typing import Any

from dtcbench import registry
from dtcbench.dtc.device import DeviceMatrix
from dtcbench.dtc.recovery import checked, unchecked
from dtcbench.dtc.selection import Method
from dtcbench.dtc.sensing import Array, Solve
from dtcbench.errors import UserError
from dtcbench.plan.naming import DEFAULT_SOLVER


def bound_method(method: str | Method, options: dict[str, Any]) -> Method:
    """The method; UserError if it is unknown, or if its options cannot be used."""
    if isinstance(method, str):
        if of_cells := sorted(options.keys() & registry.USAGE):
            raise UserError(
                f"option {', '.join(of_cells)} says how a cell of the bench uses a method; in your own loop you call "
                "compress() when you want to, and another `seed` draws other numbers"
            )
        bound: Method = registry.methods.bind(method, options)
        return bound
    if inspect.isclass(method):
        raise UserError(f"method is the class {method.__name__}; give an object of it, or its registered name")
    if not isinstance(method, Method):
        raise UserError(f"method {method!r} is neither a registered name nor a dtcbench.dtc.selection.Method")
    if options:
        raise UserError(f"options {', '.join(options)} of a method that is an object; set them on the object")
    return method


def described(method: Method) -> str:
    """The method's name and its options."""
    options: tuple[Field[Any], ...] = fields(method) if is_dataclass(method) else ()
    given = ", ".join(f"{option.name}={getattr(method, option.name)!r}" for option in options)
    return f"{name_of(registry.methods, method)}({given})"


class BoundSolver:
    """A recovery solver that counts the seconds that it takes."""

    def __init__(self, name: str, solve: Solve) -> None:
        self.name = name
        self.seconds = 0.0
        self._solve = solve

    def __call__(self, theta: Array | DeviceMatrix, y: Array, lam: float) -> Array:
        """The solver's answer s [m, k]."""
        begin = time.perf_counter()
        try:
            return self._solve(theta, y, lam)
        finally:
            self.seconds += time.perf_counter() - begin


def bound_solver(method: Method, solver: str | Solve | None) -> BoundSolver | None:
    """The solver; None for a method that uses none, and UserError if it is unknown even then."""
    if solver is None:
        solver = DEFAULT_SOLVER
    if not isinstance(solver, str) and not callable(solver):
        raise UserError(f"solver {solver!r} is neither a registered name nor a function (Θ, y, λ) → s")
    bound = registry.solvers.bind(solver, {}) if isinstance(solver, str) else solver
    if not method.uses_solver:
        return None
    name = solver if isinstance(solver, str) else name_of(registry.solvers, solver)
    return BoundSolver(name, checked(bound) if method.verifies_solver else unchecked(bound))


def name_of(registered_in: registry.Registry, value: Any) -> str:
    """The name that `value`, with or without bound options, is registered by; else its own."""
    function = value.func if isinstance(value, partial) else value
    for name in registered_in.names():
        registered = registered_in.get(name)
        if registered is function or (inspect.isclass(registered) and type(function) is registered):
            return name
    return str(getattr(function, "__name__", type(function).__name__))
