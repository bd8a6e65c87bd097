"""The meaning of the names in a suite: the options of each axis value, their defaults, and the properties of a method
that planning needs.

The registry gives it for loaded code (`REGISTERED`). A run keeps it with its records (`Declared`), so that reading the
run, also one made with plug-ins, needs no code.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from dtcbench import registry
from dtcbench.errors import UserError, near
from dtcbench.plan.cell import Choice
from dtcbench.plan.protocol import OfPlugin

if TYPE_CHECKING:
    from dtcbench.plan.suite import Suite


class Meaning(BaseModel):
    """Properties of one axis value, known without its code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    """Of the axis value."""
    defaults: dict[str, Any]
    """Every option with its default, as JSON values."""
    summary: str = ""
    """The first line of its documentation."""
    uses_solver: bool = False
    in_cycles: bool = True
    """Whether a method removes neurons cycle by cycle."""
    plugin: str | None = None
    """The plug-in that registers it: a file's name, or an installed module's; None of the package's own values."""


class Names(Protocol):
    """Where a suite's names are looked up."""

    def known(self, noun: str) -> list[str]:
        """All names of the axis `model`, `dataset`, `method` or `solver`, or the plug-ins' of `protocol`."""

    def unknown(self, noun: str, name: str) -> str:
        """The error message for a name that the axis does not have."""

    def meaning(self, noun: str, name: str) -> Meaning:
        """What the name means; UserError if the axis lacks it."""

    def choice(self, noun: str, name: str, given: dict[str, Any]) -> Choice:
        """The value with the options `given`, the others at their defaults; ValueError if one does not fit."""


class Registered:
    """The names that the loaded code registers."""

    def known(self, noun: str) -> list[str]:
        """All registered names of the axis."""
        return _axis(noun).names()

    def unknown(self, noun: str, name: str) -> str:
        """Near matches among the registered names."""
        return f"unknown {noun} {name!r}; {near(name, self.known(noun))}"

    def meaning(self, noun: str, name: str) -> Meaning:
        """What the registered value is; UserError if the name is not registered."""
        return _meaning(_axis(noun).entry(name), noun, name)

    def choice(self, noun: str, name: str, given: dict[str, Any]) -> Choice:
        """The options as the value's own annotations have them; MisfitError if they do not fit."""
        values = _axis(noun).checked(name, given).model_dump(mode="json")
        meaning = self.meaning(noun, name)
        return Choice.of(name, meaning.version, values, meaning.defaults)


REGISTERED = Registered()


class Spelling(BaseModel):
    """Options that their annotations convert, such as `90s` to seconds: as the suite writes them, and the value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    given: dict[str, Any]
    choice: Choice


class Declared(BaseModel):
    """The names of one run, as they were when it was run: the content of its `names.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plugins: dict[str, str] = {}
    """SHA-256 of the source of each plug-in: by its file's name, or by its module's where it is installed."""
    meanings: dict[str, dict[str, Meaning]]
    """By axis and name."""
    chosen: dict[str, list[Choice]]
    """By axis, every value that the suite chooses, with all its options."""
    spellings: dict[str, list[Spelling]] = {}
    """By axis, the chosen values whose options the suite writes differently, such as `90s`."""

    def known(self, noun: str) -> list[str]:
        """The names of the axis that the run's suite uses."""
        return sorted(self.meanings.get(noun, {}))

    def unknown(self, noun: str, name: str) -> str:
        """That the run's declaration lacks the name."""
        return f"the run's names.json does not have {noun} {name!r}"

    def meaning(self, noun: str, name: str) -> Meaning:
        """What the name meant; UserError if the run does not use it."""
        if name not in self.meanings.get(noun, {}):
            raise UserError(self.unknown(noun, name))
        return self.meanings[noun][name]

    def choice(self, noun: str, name: str, given: dict[str, Any]) -> Choice:
        """The value as the run resolved the given options."""
        meant = {**self.meaning(noun, name).defaults, **given}
        plain = (one for one in self.chosen.get(noun, ()) if one.name == name and one.values == meant)
        spelled = (one.choice for one in self.spellings.get(noun, ()) if one.choice.name == name and one.given == given)
        found = next(plain, None) or next(spelled, None)
        if found is None:
            raise UserError(
                f"the run's names.json does not have {noun} {name!r} with these options; put back the suite.yaml that "
                "was run, or start the suite afresh in another folder with --out"
            )
        return found

    def missing(self, names: Names) -> list[str]:
        """The run's names that `names` lack, each with the plug-in that it came from."""
        return [
            f"{noun} {name!r} comes from {self._source(meaning.plugin)}, which is not loaded"
            for noun, meanings in self.meanings.items()
            for name, meaning in meanings.items()
            if name not in names.known(noun)
        ]

    def _source(self, plugin: str | None) -> str:
        if plugin is None:
            return "another version of dtcbench"
        digest = self.plugins.get(plugin)
        if digest is None:
            return f"module {plugin}"
        return f"plug-in {plugin} (SHA-256 {digest}; install it, or give its file with --plugin)"


class NamesOfRuns:
    """The names of several runs: each means what the first run that uses it says."""

    def __init__(self, parts: Sequence[Names]) -> None:
        self._parts = parts

    def known(self, noun: str) -> list[str]:
        """The names of the axis in any of the runs."""
        return sorted({name for part in self._parts for name in part.known(noun)})

    def unknown(self, noun: str, name: str) -> str:
        """As the first run says it."""
        return self._parts[0].unknown(noun, name)

    def meaning(self, noun: str, name: str) -> Meaning:
        """What the name means; UserError if no run uses it."""
        return self._first(noun, name).meaning(noun, name)

    def choice(self, noun: str, name: str, given: dict[str, Any]) -> Choice:
        """The value as the first run that uses the name has it."""
        return self._first(noun, name).choice(noun, name, given)

    def _first(self, noun: str, name: str) -> Names:
        return next((part for part in self._parts if name in part.known(noun)), self._parts[0])


def declared(suite: Suite, document: Mapping[str, Any], names: Names, plugins: Mapping[str, str]) -> Declared:
    """What the suite's names mean, to be kept with its run.

    Parameters
    ----------
    document : the suite as its YAML has it
    plugins : SHA-256 of the source of its plug-ins, by name
    """
    chosen = choices_of(suite)
    return Declared(
        plugins=dict(plugins),
        meanings={
            noun: {choice.name: names.meaning(noun, choice.name) for choice in choices}
            for noun, choices in chosen.items()
        },
        chosen=chosen,
        spellings=_spellings(suite, document, names),
    )


def _spellings(suite: Suite, document: Mapping[str, Any], names: Names) -> dict[str, list[Spelling]]:
    found: dict[str, list[Spelling]] = {}
    for noun, choice, value in _written(suite, document):
        options = value if isinstance(value, dict) else {}
        given = {key: option for key, option in options.items() if key != "name"}
        spelling = Spelling(given=given, choice=choice)
        as_it_is = {**names.meaning(noun, choice.name).defaults, **given} == choice.values
        if not as_it_is and spelling not in found.setdefault(noun, []):
            found[noun].append(spelling)
    return {noun: spellings for noun, spellings in found.items() if spellings}


def _written(suite: Suite, document: Mapping[str, Any]) -> Iterator[tuple[str, Choice, Any]]:
    """The noun of each registered value that the suite names, the value, and how it is written."""
    protocols = document["protocol"] if isinstance(document["protocol"], list) else [document["protocol"]]
    for protocol, value in zip(suite.protocols, protocols, strict=True):
        if isinstance(protocol, OfPlugin):
            yield "protocol", protocol.chosen, value
    for block, written in zip(suite.grid, document["grid"], strict=True):
        for noun, choices in block.axes.items():
            for choice, value in zip(choices, written.get(f"{noun}s", ()), strict=False):  # solvers may be left out
                yield noun, choice, value


def together(parts: Iterable[Declared]) -> Declared:
    """The names of several runs of one suite.

    ValueError if a name, or what a suite writes of a value, means different things in two of them: a file that it names
    may have another content.
    """
    plugins: dict[str, str] = {}
    meanings: dict[str, dict[str, Meaning]] = {}
    chosen: dict[str, list[Choice]] = {}
    spellings: dict[str, list[Spelling]] = {}
    for part in parts:
        _add(plugins, part.plugins, "plug-in")
        for noun, of_axis in part.meanings.items():
            _add(meanings.setdefault(noun, {}), of_axis, noun)
        for noun, choices in part.chosen.items():
            known = chosen.setdefault(noun, [])
            known += [choice for choice in choices if choice not in known]
        for noun, written in part.spellings.items():
            _add_spellings(spellings.setdefault(noun, []), written, noun)
    return Declared(plugins=plugins, meanings=meanings, chosen=chosen, spellings=spellings)


def choices_of(suite: Suite) -> dict[str, list[Choice]]:
    """By axis, the registered values that the suite names, each once; dense is implied."""
    found: dict[str, list[Choice]] = {"method": [Choice(name="dense")]}
    if of_plugins := [protocol.chosen for protocol in suite.protocols if isinstance(protocol, OfPlugin)]:
        found["protocol"] = of_plugins
    for block in suite.grid:
        for noun, choices in block.axes.items():
            known = found.setdefault(noun, [])
            known += [choice for choice in choices if choice not in known]
    return found


def _add(known: dict[str, Any], more: Mapping[str, Any], noun: str) -> None:
    for name, value in more.items():
        if known.setdefault(name, value) != value:
            raise ValueError(f"{noun} {name!r} means different things in two of the runs")


def _add_spellings(known: list[Spelling], more: Iterable[Spelling], noun: str) -> None:
    for spelling in more:
        same = (one for one in known if (one.choice.name, one.given) == (spelling.choice.name, spelling.given))
        other = next(same, None)
        if other is None:
            known.append(spelling)
        elif other.choice != spelling.choice:
            written = json.dumps({"name": spelling.choice.name, **spelling.given})
            meant = " and ".join(f"{one.label} (digest {one.digest})" for one in (other.choice, spelling.choice))
            raise ValueError(f"{noun} {written} means different things in two of the runs: {meant}")


def _axis(noun: str) -> registry.Registry:
    return next(axis for axis in registry.AXES if axis.noun == noun)


@functools.cache
def _meaning(entry: registry.Entry, noun: str, name: str) -> Meaning:
    axis = _axis(noun)
    return Meaning(
        version=entry.version,
        defaults=axis.defaults(name),
        summary=axis.summary(name),
        uses_solver=noun == "method" and registry.uses_solver(name),
        in_cycles=noun != "method" or registry.compresses_in_cycles(name),
        plugin=entry.plugin,
    )
