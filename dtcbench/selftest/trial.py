"""Trying the checks of axis values, one after another."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator

from dtcbench.errors import UserError, near
from dtcbench.registry import AXES, Plugin, Registry
from dtcbench.selftest import dataset_checks, method_checks, model_checks, protocol_checks, solver_checks
from dtcbench.selftest.checking import Check, Contradicted
from dtcbench.text import error_line

_CHECKS = {
    "model": model_checks.checks,
    "dataset": dataset_checks.checks,
    "method": method_checks.checks,
    "solver": solver_checks.checks,
    "protocol": protocol_checks.checks,
}


def trials(names: list[tuple[Registry, str]]) -> Iterator[tuple[str, Check, str]]:
    """Every check of the axis values, as it is tried: the value, such as `solver lars`, the check, and what was seen
    against its claim; the latter is empty if the claim held, or is waived.

    An error that ends several checks of a value, such as a data set that is not on this machine, is reported once.
    """
    for axis, name in names:
        seen: set[str] = set()
        for check in _checks(axis, name):
            contradiction = "" if check.waived else _contradiction(check)
            if contradiction not in seen:
                yield f"{axis.noun} {name}", check, contradiction
            seen |= {contradiction} - {""}


def named(names: list[str]) -> list[tuple[Registry, str]]:
    """The axis values of these names; UserError for one that no axis has."""
    found = [(axis, name) for name in names for axis in AXES if name in axis.names()]
    if unknown := set(names) - {name for _, name in found}:
        known = sorted(name for axis in AXES for name in axis.names())
        raise UserError(f"unknown name {sorted(unknown)[0]!r}; {near(sorted(unknown)[0], known)}")
    return found


def registered(plugins: Collection[Plugin] = ()) -> list[tuple[Registry, str]]:
    """All axis values, or, if plug-ins are given, those that they registered."""
    modules = {plugin.module for plugin in plugins}
    return [
        (axis, name) for axis in AXES for name in axis.names() if not plugins or axis.get(name).__module__ in modules
    ]


def _checks(axis: Registry, name: str) -> list[Check]:
    """The value's checks; if it cannot be used at all, one check that says so."""
    try:
        return _CHECKS[axis.noun](name)
    except Exception as error:  # a plug-in may raise anything
        return [Check("it can be used with its default options", functools.partial(_raise, error))]


def _raise(error: Exception) -> None:
    raise error


def _contradiction(check: Check) -> str:
    try:
        check.run()
    except Contradicted as contradicted:
        return str(contradicted)
    except Exception as error:  # a plug-in may raise anything
        return f"it raised {error_line(error)}"
    return ""
