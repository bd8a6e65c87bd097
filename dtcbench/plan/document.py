"""YAML read safely, and pydantic's errors told as file, line, place, value and remedy."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from dtcbench.errors import UserError
from dtcbench.registry import near

Place = tuple[str | int, ...]
_NUMBER_AS_TEXT = re.compile(r"[-+]?[\d._]+(?:e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a suite."""

    file: str
    line: int
    """Counted from 1; 0 where no line is to blame."""
    place: str
    """Such as grid[0].solvers[1]."""
    message: str
    """What is wrong, with the value and the remedy."""

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (head, self.place, self.message) if part)


class SuiteError(UserError):
    """A suite cannot be used; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True)
class Document:
    """A YAML document's value, and the line on which each of its places stands."""

    file: str
    value: Any
    lines: dict[Place, int]

    @classmethod
    def read(cls, text: str, file: str) -> Document:
        """Safe load; SuiteError for a syntax error, a key that stands twice, or no mapping."""
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 0
            message = getattr(error, "problem", None) or str(error)
            raise SuiteError([Problem(file, line, "", f"not YAML: {message}; check indentation and quotes")]) from None
        except ValueError as error:  # such as the time stamp 2024-13-45
            raise SuiteError([Problem(file, 0, "", f"not YAML: {error}; quote the value")]) from None
        if not isinstance(value, dict):
            raise SuiteError([Problem(file, 1, "", f"a suite is a mapping; got {value!r}")])
        lines: dict[Place, int] = {}
        twice = [
            Problem(file, line, place_text(place), "the key stands twice; remove one")
            for place, line in _walk(root, (), lines)
        ]
        if twice:
            raise SuiteError(twice)
        return cls(file, value, lines)

    def line(self, place: Place) -> int:
        """The line of `place`, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def _walk(node: yaml.Node | None, place: Place, lines: dict[Place, int]) -> Iterator[tuple[Place, int]]:
    """Fill `lines`; yield the keys that stand twice, which safe_load would silently merge."""
    if node is None:  # an empty document
        return
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*place, index), lines)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, item in node.value:
            if key.value in seen:
                yield (*place, key.value), key.start_mark.line + 1
            seen.add(key.value)
            lines[(*place, key.value)] = key.start_mark.line + 1
            yield from _walk(item, (*place, key.value), lines)


def place_text(place: Place) -> str:
    """("grid", 0, "seeds") as grid[0].seeds."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def problems_of(error: ValidationError, model: type[BaseModel], document: Document) -> list[Problem]:
    """Every problem in a pydantic error, options of axis values included, in the file's order."""
    found = [
        Problem(document.file, document.line(place), place_text(place), message)
        for place, message in _messages(error, model, document.value, ())
    ]
    return sorted(found, key=lambda p: (p.line, p.place))


def _messages(error: ValidationError, model: type[BaseModel], value: Any, outer: Place) -> Iterator[tuple[Place, str]]:
    for detail in error.errors(include_url=False):
        place = _without_tags(detail["loc"], value)
        cause = detail.get("ctx", {}).get("error")
        inner, options = getattr(cause, "error", None), getattr(cause, "options", None)
        if isinstance(inner, ValidationError) and options is not None:
            yield from _messages(inner, options, _at(value, place), outer + place)
        else:
            yield outer + place, _message(dict(detail), place, model)


def _without_tags(loc: Place, value: Any) -> Place:
    """Drop what pydantic adds to a place that is not in the document (a union's chosen member)."""
    place: list[str | int] = []
    for number, part in enumerate(loc):
        last = number == len(loc) - 1
        inside = (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int))
        missing_key = last and isinstance(value, dict) and part not in ("standard", "published")
        if inside or missing_key:
            place.append(part)
            value = _at(value, (part,))
    return tuple(place)


def _at(value: Any, place: Place) -> Any:
    for part in place:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _message(detail: dict[str, Any], place: Place, model: type[BaseModel]) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "missing":
        return f"missing; add `{place[-1]}: …`"
    if kind == "extra_forbidden":
        return f"unknown key {place[-1]!r}; {near(str(place[-1]), _keys(model, place[:-1]))}"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        name = given.get("name") if isinstance(given, dict) else given
        return f"unknown protocol {name!r}; {near(str(name), ['published', 'standard'])}"
    if kind == "too_short":
        return "an empty axis plans no cell; give at least one value"
    return f"{given!r}: {_lower(detail['msg'])}{_trap(kind, given)}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _trap(kind: str, given: Any) -> str:
    """The remedy where YAML read something else than was written."""
    if isinstance(given, bool):
        return "; YAML reads yes, no, on and off as true and false: quote it, or write the value that is meant"
    if isinstance(given, str) and _NUMBER_AS_TEXT.fullmatch(given) and kind in ("float_type", "int_type"):
        return f"; YAML reads {given} as text: write it with a point and a signed exponent (1.0e-3) or plainly (0.001)"
    if isinstance(given, int | float) and kind == "string_type":
        return "; quote it if text is meant (YAML reads 10:30 as 630)"
    return ""


def _keys(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that the mapping at `place` of `model` may hold."""
    keys: list[str] = []
    for found in _models_at(model, place):
        keys += [key for key in found.model_fields if key not in keys]
    return keys


def _models_at(model: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    if not place:
        return [model]
    field = model.model_fields.get(str(place[0]))
    inner = _models_in(field.annotation) if field else []
    rest = place[2:] if len(place) > 1 and isinstance(place[1], int) else place[1:]
    return [found for child in inner for found in _models_at(child, rest)]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for argument in typing.get_args(annotation) for found in _models_in(argument)]
