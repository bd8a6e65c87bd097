"""What a suite names: `name` or `{name: …, option: …}`, as a Choice or a protocol."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dtcbench.errors import UserError, alike, near
from dtcbench.plan.cell import Choice
from dtcbench.plan.names import Names
from dtcbench.plan.protocol import PROTOCOLS, AnyProtocol, OfPlugin
from dtcbench.validation import KeyPath, MisfitError, checked, shown

DEFAULT_SOLVER = "interior-point"
"""Used where a suite names no solver: the fastest of the exact ones (docs/solvers.md)."""
Misfits = list[tuple[KeyPath, str]]
"""Places inside a value, and what is wrong there."""


def choice(noun: str, value: Any, names: Names) -> Choice:
    """The value of the axis `noun` that `value` names, with every option; MisfitError has all that does not fit."""
    name, options = _named(value, noun)
    found: Misfits = []
    if noun == "method" and "solver" in options:
        del options["solver"]
        found.append(((), _misplaced_solver(name, names)))
    found += _misfits(
        name, options, names.known(noun), names.unknown(noun, name), functools.partial(names.choice, noun)
    )
    if found:
        raise MisfitError("", found)
    return names.choice(noun, name, options)


def protocol(value: Any, names: Names) -> AnyProtocol:
    """The protocol that `value` names; MisfitError has all that does not fit."""
    name, options = _named(value, "protocol")
    known, check = _protocols(names), functools.partial(_protocol, names)
    if found := _misfits(name, options, known, f"unknown protocol {name!r}; {near(name, known)}", check):
        raise MisfitError("", found)
    return check(name, options)


def meant_protocol(name: str, names: Names) -> str:
    """The protocol that `name` is, or is most likely mistyped from; empty where it is like none."""
    known = _protocols(names)
    return name if name in known else next(iter(alike(name, known)), "")


def _protocols(names: Names) -> list[str]:
    return sorted([*PROTOCOLS, *names.known("protocol")])


def _protocol(names: Names, name: str, options: dict[str, Any]) -> AnyProtocol:
    if name in PROTOCOLS:
        return checked(PROTOCOLS[name], {"name": name, **options}, "")
    return OfPlugin.of(names.choice("protocol", name, options))


_Check = Callable[[str, dict[str, Any]], object]


def _misfits(name: str, options: dict[str, Any], known: list[str], unknown: str, check: _Check) -> Misfits:
    """What `check` finds in `options`; `unknown` is said of a name that is not among the `known`.

    An unknown name does not hide mistakes in its options: reported are those that would be mistakes for every similar
    known name, or, without a similar name, for every known name.
    """
    if name in known:
        return _found(name, options, check)
    guesses = [_found(guess, options, check) for guess in alike(name, known) or known]
    shared = [misfit for misfit in next(iter(guesses), []) if all(misfit in guess for guess in guesses)]
    return [((), unknown), *shared]


def _found(name: str, options: dict[str, Any], check: _Check) -> Misfits:
    try:
        check(name, options)
    except MisfitError as error:
        return error.found
    except UserError as error:  # a plug-in's options that cannot be read
        return [((), str(error))]
    return []


def _named(value: Any, noun: str) -> tuple[str, dict[str, Any]]:
    given = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise ValueError(f"a {noun} is a name or a mapping with a name; {_instead_of_a_name(value)}")
    return given["name"], {key: option for key, option in given.items() if key != "name"}


def _instead_of_a_name(value: Any) -> str:
    value = value.get("name", value) if isinstance(value, dict) else value
    if isinstance(value, bool):
        return f"YAML reads yes, no, on and off as true and false: if {shown(value)} is meant as a name, quote it"
    return f"quote {value} if it is a name" if isinstance(value, int | float) else f"got {shown(value)}"


def _misplaced_solver(method: str, names: Names) -> str:
    if method in names.known("method") and not names.meaning("method", method).uses_solver:
        return f"method {method!r} solves nothing and takes no solver; remove it"
    return f"solvers are an axis of their own: move the solver of {method!r} to the block's `solvers`"
