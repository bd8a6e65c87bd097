"""Fields of a suite that must fit each other.

They are compared in the document itself, not in the checked values: a mistake in one field must
not hide that two others do not fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dtcbench import registry
from dtcbench.plan.document import Place
from dtcbench.plan.protocol import PROTOCOLS
from dtcbench.solvers import DEFAULT

Block = dict[Any, Any]


def misfits(suite: dict[Any, Any]) -> Iterator[tuple[Place, str]]:
    """Places and what does not fit there, as far as the fields can be read at all."""
    protocol = suite.get("protocol")
    name = _name(protocol)
    yield from _cores(suite.get("resources"), protocol, name)
    for number, block in enumerate(_values(suite.get("grid"))):
        if isinstance(block, dict):
            for field, message in (*_schedule(block, name), *_solvers(block)):
                yield ("grid", number, field), message


def _name(value: Any) -> str:
    """The name in `name` or `{name: …}`; empty where there is none."""
    name = value.get("name") if isinstance(value, dict) else value
    return name if isinstance(name, str) else ""


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _cores(resources: Any, protocol: Any, name: str) -> Iterator[tuple[Place, str]]:
    cpus = resources.get("cpus") if isinstance(resources, dict) else None
    default = PROTOCOLS[name].model_fields["threads"].default if name in PROTOCOLS else None
    threads = protocol.get("threads", default) if isinstance(protocol, dict) else default
    if type(cpus) is int and type(threads) is int and 0 < cpus < threads:
        message = f"{cpus} for the {threads} threads of the protocol; raise it to {threads} or lower protocol.threads"
        yield ("resources", "cpus"), message


def _schedule(block: Block, protocol: str) -> Iterator[tuple[str, str]]:
    if protocol == "published" and "sparsities" in block:
        yield "sparsities", "protocol published runs its own schedule; remove `sparsities`"
    for method in map(_name, _values(block.get("methods"))) if protocol == "published" else ():
        if method != "dense" and not registry.compresses_in_cycles(method):
            yield "methods", f"{method!r} belongs to protocol standard; remove it"
    if protocol == "standard" and block.get("sparsities") is None:
        yield "sparsities", "missing; add for example `sparsities: [0.5, 0.9]`"


def _solvers(block: Block) -> Iterator[tuple[str, str]]:
    known = registry.methods.names()
    methods = [_name(method) for method in _values(block.get("methods"))]
    solving = [name for name in methods if name in known and registry.uses_solver(name)]
    solvers = block.get("solvers", [])
    if solving and "solvers" in block and solvers == []:
        choice = ", ".join(registry.solvers.names())
        yield "solvers", f"empty; remove it for {DEFAULT}, or name some (known: {choice})"
    if solvers and methods and not solving and set(methods) <= set(known):
        names = ", ".join(methods)
        yield "solvers", f"a solver on methods that have none ({names}); remove `solvers` or add a DTC method"
