"""Fields of a suite that must fit each other.

They are compared in the document itself, not in the checked values: a mistake in one field must
not hide that two others do not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

from dtcbench import registry
from dtcbench.cycles import Cycles
from dtcbench.plan.joule_budget import GIVER
from dtcbench.plan.metering import Metering, seconds
from dtcbench.plan.names import Names
from dtcbench.plan.naming import DEFAULT_SOLVER, choice, meant_protocol, protocol
from dtcbench.plan.protocol import PROTOCOLS
from dtcbench.validation import KeyPath

_AXES = {f"{axis.noun}s": axis.noun for axis in registry.AXES if axis is not registry.protocols}
"""Those of a block, by the names of its fields."""


def misfits(suite: dict[Any, Any], names: Names) -> Iterator[tuple[KeyPath, str]]:
    """Key paths and what does not fit there, as far as the fields can be read."""
    protocols = dict(_protocols(suite.get("protocol")))
    meant = {place: meant_protocol(_name(one), names) for place, one in protocols.items()}
    for place, one in protocols.items():
        yield from _cores(suite.get("resources"), one, meant[place])
        yield from _precision(suite.get("resources"), one, place)
        yield from _boards(suite.get("resources"), one, meant[place], place)
    yield from _protocols_together(protocols, meant, names)
    yield from _time_to_measure(suite)
    yield from _required_joules(suite.get("energy"), suite.get("resources"))
    yield from _growing_alike(_values(suite.get("grid")))
    for number, block in enumerate(_values(suite.get("grid"))):
        if isinstance(block, dict):
            schedules = chain.from_iterable(_schedule(block, name, names) for name in sorted(set(meant.values())))
            for field, message in (*schedules, *_solvers(block, names), *_twice(block, names)):
                yield ("grid", number, field), message
            yield from ((("grid", number, "methods", *place), why) for place, why in _budget_of_joules(block, suite))
    for number, rule in enumerate(_values(suite.get("exclude"))):
        if isinstance(rule, dict) and all(value is None for key, value in rule.items() if key != "reason"):
            yield ("exclude", number), "excludes nothing; name what the cells share, such as `method: random`"


def _name(value: Any) -> str:
    """The name in `name` or `{name: …}`; empty without a name."""
    name = value.get("name") if isinstance(value, dict) else value
    return name if isinstance(name, str) else ""


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _protocols(value: Any) -> Iterator[tuple[KeyPath, Any]]:
    """The place and the value of each protocol, one or several."""
    if isinstance(value, list):
        yield from ((("protocol", number), one) for number, one in enumerate(value))
    else:
        yield ("protocol",), value


def _protocols_together(
    protocols: dict[KeyPath, Any], meant: dict[KeyPath, str], names: Names
) -> Iterator[tuple[KeyPath, str]]:
    """Protocols of one suite that are the same, or that do not share a grid."""
    if "published" in meant.values() and len(meant) > 1:
        yield ("protocol",), "published runs its own schedule, without sparsities; give it a suite of its own"
    counts = Counter(filter(None, (_protocol_label(one, names) for one in protocols.values())))
    if twice := [label for label, count in counts.items() if count > 1]:
        yield ("protocol",), f"{' and '.join(twice)} more than once; remove all but one"


def _protocol_label(value: Any, names: Names) -> str | None:
    try:
        return protocol(value, names).choice.unversioned_label
    except ValueError:
        return None


def _cores(resources: Any, protocol: Any, name: str) -> Iterator[tuple[KeyPath, str]]:
    cpus = resources.get("cpus") if isinstance(resources, dict) else None
    default = PROTOCOLS.get(name, Cycles).model_fields["threads"].default if name else None
    threads = protocol.get("threads", default) if isinstance(protocol, dict) else default
    if type(cpus) is int and type(threads) is int and 0 < cpus < threads:
        message = f"{cpus} for the {threads} threads of the protocol; raise it to {threads} or lower protocol.threads"
        yield ("resources", "cpus"), message


def _precision(resources: Any, protocol: Any, place: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    precision = protocol.get("precision") if isinstance(protocol, dict) else None
    gpus = resources.get("gpus", 0) if isinstance(resources, dict) else 0
    if precision == "tf32" and gpus == 0:
        message = "tf32 is a precision of GPUs, and the cells get none; write fp32 or bf16, or set resources.gpus"
        yield (*place, "precision"), message


def _boards(resources: Any, protocol: Any, name: str, place: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    gpus = resources.get("gpus", 0) if isinstance(resources, dict) else 0
    if not isinstance(gpus, int | float) or gpus <= 1:
        return
    if name == "published":
        yield ("resources", "gpus"), f"{gpus:g}, and protocol published trains on one; write 1"
        return
    parts = protocol.get("accumulate", 1) if isinstance(protocol, dict) else 1
    if isinstance(parts, int) and parts % gpus:
        message = (
            f"{parts} parts of a batch do not go to {gpus:g} GPUs in equal turns; give a multiple of {gpus:g}: it says "
            "in the cells' keys how a batch is cut"
        )
        yield (*place, "accumulate"), message
    if isinstance(protocol, dict) and protocol.get("compile") is True:
        message = f"one GPU alone is compiled for, and the cells get {gpus:g}; remove it, or set resources.gpus: 1"
        yield (*place, "compile"), message


def _time_to_measure(suite: dict[Any, Any]) -> Iterator[tuple[KeyPath, str]]:
    resources = suite.get("resources")
    gpus = resources.get("gpus") if isinstance(resources, dict) else None
    try:
        energy, timeout = Metering.model_validate(suite.get("energy", {})), seconds(suite.get("timeout"))
    except ValueError:  # the checks of the single fields report it, or the timeout is missing
        return
    if isinstance(gpus, int | float) and gpus > 0 and energy.meter != "none" and timeout <= energy.least_s:
        message = (
            f"{timeout:g} s does not exceed the {energy.least_s:g} s that measuring a cell's energy takes; "
            "raise it, lower energy.min_window, or write `energy: {meter: none}`"
        )
        yield ("timeout",), message


def _budget_of_joules(block: dict[Any, Any], suite: dict[Any, Any]) -> Iterator[tuple[KeyPath, str]]:
    """What a budget of joules lacks: whose they are, or a meter."""
    methods = _values(block.get("methods"))
    resources, energy = suite.get("resources"), suite.get("energy")
    gpus = resources.get("gpus", 0) if isinstance(resources, dict) else 0
    is_metered = isinstance(gpus, int | float) and gpus >= 1
    is_metered &= not (isinstance(energy, dict) and energy.get("meter") == "none")
    for place, method in enumerate(methods):
        if not (isinstance(method, dict) and method.get("budget") == "joules"):
            continue
        if GIVER not in map(_name, methods):
            yield (place, "budget"), f"joules, and nothing tells how many; add {GIVER} to these methods"
        if not is_metered:
            yield (place, "budget"), "joules, which are measured on whole GPUs only; set resources.gpus: 1 and a meter"


def _required_joules(energy: Any, resources: Any) -> Iterator[tuple[KeyPath, str]]:
    if not isinstance(energy, dict) or energy.get("required") is not True:
        return
    gpus = resources.get("gpus", 0) if isinstance(resources, dict) else 0
    if energy.get("meter") == "none":
        yield ("energy", "required"), "joules are required, and `meter: none` measures none; remove one of them"
    elif gpus == 0:
        message = "only a GPU's joules are measured, and the cells get no GPU; set resources.gpus, or remove it"
        yield ("energy", "required"), message
    elif isinstance(gpus, int | float) and gpus < 1 and energy.get("shared") != "label":
        message = f"{gpus:g} of a GPU has no joules of its own; write resources.gpus: 1, or `shared: label`"
        yield ("energy", "required"), message


def _growing_alike(blocks: list[Any]) -> Iterator[tuple[KeyPath, str]]:
    """A suite is looked at as a whole: its blocks have the same growing seeds, or none has."""
    seeds = [block.get("seeds") if isinstance(block, dict) else None for block in blocks]
    growing = next((one for one in seeds if isinstance(one, dict)), None)
    for number, one in enumerate(seeds):
        if growing is not None and one is not None and one != growing:
            first = seeds.index(growing)
            message = (
                f"differ from those of grid[{first}], which grow until decided; give both the same, or split the suite"
            )
            yield ("grid", number, "seeds"), message


def _twice(block: dict[Any, Any], names: Names) -> Iterator[tuple[str, str]]:
    """Values that stand in a list more than once, as far as they are valid."""
    for field in (*_AXES, "sparsities", "seeds"):
        counts = Counter(
            label for value in _values(block.get(field)) if (label := _label(field, value, names)) is not None
        )
        if twice := [label for label, count in counts.items() if count > 1]:
            yield field, f"{' and '.join(twice)} more than once; remove all but one"


def _label(field: str, value: Any, names: Names) -> str | None:
    """What two equal values of a block's list share; None where the value is not valid."""
    if field in _AXES:
        try:
            return choice(_AXES[field], value, names).label
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(float(value) if field == "sparsities" else value)


def _schedule(block: dict[Any, Any], protocol: str, names: Names) -> Iterator[tuple[str, str]]:
    if protocol == "published" and "sparsities" in block:
        yield "sparsities", "protocol published runs its own schedule; remove `sparsities`"
    for method in map(_name, _values(block.get("methods"))) if protocol == "published" else ():
        if method in names.known("method") and method != "dense" and not names.meaning("method", method).in_cycles:
            yield "methods", f"{method!r} belongs to protocol standard; remove it"
    for model in _values(block.get("models")) if protocol == "published" else ():
        if isinstance(model, dict) and model.get("weights"):
            yield "models", f"{_name(model)!r} with weights: protocol published draws its own; remove them"
    for method in _values(block.get("methods")) if protocol == "published" else ():
        yield from (("methods", message) for message in _unpublished(method))
    if protocol not in ("", "published") and block.get("sparsities") is None:
        yield "sparsities", "missing; add for example `sparsities: [0.5, 0.9]`"


def _unpublished(method: Any) -> Iterator[str]:
    """Options of a method that protocol `published` has no use for."""
    options = method if isinstance(method, dict) else {}
    name = _name(method)
    if options.get("when", "during") != "during":
        yield f"{name!r} with when: {options['when']} belongs to protocol standard; published compresses as it trains"
    if options.get("groups", "simple") != "simple":
        yield f"{name!r} with groups: {options['groups']} belongs to protocol standard; published cuts Linear layers"
    if options.get("widths", "uniform") != "uniform":
        yield f"{name!r} with widths: {options['widths']} belongs to protocol standard; published cuts groups alike"
    if name == "dense" and options.get("stream", 0) != 0:
        yield "'dense' with another stream is the same training: protocol published draws no data order; remove it"


def _solvers(block: dict[Any, Any], names: Names) -> Iterator[tuple[str, str]]:
    known = names.known("method")
    methods = [_name(method) for method in _values(block.get("methods"))]
    solving = [name for name in methods if name in known and names.meaning("method", name).uses_solver]
    solvers = block.get("solvers", [])
    if solving and "solvers" in block and solvers == []:
        choice = ", ".join(names.known("solver"))
        yield "solvers", f"empty; remove it for {DEFAULT_SOLVER}, or name some (known: {choice})"
    if solvers and methods and not solving and set(methods) <= set(known):
        listed = ", ".join(methods)
        yield "solvers", f"a solver on methods that have none ({listed}); remove `solvers` or add a DTC method"
