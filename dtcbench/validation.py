"""Values checked by pydantic; its errors become messages with the path of the key, the value and the remedy."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dtcbench.errors import UserError, near

KeyPath = tuple[str | int, ...]
"""The keys and indices that lead to a value in a document or an option, such as ("grid", 0, "seeds")."""
_SHOWN = 80
"""The most characters of a value that a message quotes."""
_NUMBER = re.compile(r"[-+]?[\d._]+(?:e[-+]?\d{1,2})?", re.IGNORECASE)
_LISTS = frozenset({"list_type", "tuple_type", "is_instance_of", "sequence_str"})
_MAPPINGS = frozenset({"model_type", "model_attributes_type", "dict_type"})


class Strict(BaseModel):
    """What a user writes: unknown keys, silent conversions and NaN are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


UNKNOWN_KEY = "unknown key"
"""How the message begins that is said of one."""


class MisfitError(UserError):
    """A value does not fit its model; `found` lists the path of each wrong value in it, with the problem."""

    def __init__(self, subject: str, found: list[tuple[KeyPath, str]]) -> None:
        lines = (": ".join(filter(None, (subject, key_path_text(path), message))) for path, message in found)
        super().__init__("\n".join(lines))
        self.found = found


Checked = TypeVar("Checked", bound=BaseModel)


def checked(model: type[Checked], value: dict[str, Any], subject: str) -> Checked:
    """`value` as a `model`; MisfitError names `subject`, each path, the value there and the remedy."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise MisfitError(subject, list(misfits_of(error, model, value))) from None


def misfits_of(error: ValidationError, model: type[BaseModel], value: Any) -> Iterator[tuple[KeyPath, str]]:
    """Path and problem of each wrong value in `value`, from a pydantic error; with the options of named values."""
    for detail in error.errors(include_url=False):
        loc = detail["loc"][:-1] if detail["type"] == "invalid_key" else detail["loc"]
        path = _in_document(loc, value, detail["type"])
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, MisfitError):
            yield from ((path + inner, message) for inner, message in cause.found)
        else:
            yield path, _message(dict(detail), path, model)


def key_path_text(path: KeyPath) -> str:
    """The path as text: ("grid", 0, "seeds") is grid[0].seeds."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def shown(value: Any) -> str:
    """A value as messages quote it: shortened, and in YAML's words."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _in_document(loc: KeyPath, value: Any, kind: str) -> KeyPath:
    """Pydantic's location without parts that are not in the document, such as a union's member; a missing key stays."""
    path: list[str | int] = []
    for number, part in enumerate(loc):
        inside = (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int))
        if inside or (kind == "missing" and number == len(loc) - 1):
            path.append(part)
            value = _at(value, (part,))
    return tuple(path)


def _at(value: Any, path: KeyPath) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _message(detail: dict[str, Any], path: KeyPath, model: type[BaseModel]) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "missing":
        return f"missing; add `{path[-1]}: …`"
    if kind == "extra_forbidden":
        return _unknown_key(path[-1], _keys(model, path[:-1]))
    if kind == "invalid_key":
        return _unknown_key(given, _keys(model, path))
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "too_short":
        return "empty; give at least one value"
    return f"{shown(given)}: {_expected(detail)}{_remedy(kind, given, _keys(model, path))}"


def _unknown_key(key: Any, known: list[str]) -> str:
    mistyped = key if isinstance(key, str) else ""  # YAML's false is no name with a letter wrong
    return f"{UNKNOWN_KEY} {shown(key)}; {near(mistyped, known) if known else 'remove it: no key is known'}"


def _expected(detail: dict[str, Any]) -> str:
    if detail["type"] in _LISTS:
        return "expected a list"
    if detail["type"] in _MAPPINGS:
        return "expected a mapping"
    message = str(detail["msg"]).removeprefix("Input ")
    return message[:1].lower() + message[1:]


def _remedy(kind: str, given: Any, keys: list[str]) -> str:
    """How to write the intended value, also if YAML read another one than was written."""
    if isinstance(given, bool):
        return "; YAML reads yes, no, on and off as true and false: quote it, or write the intended value"
    if kind in _LISTS:
        return f"; write [{given}]" if isinstance(given, str | int | float) else "; begin every value with `- `"
    if kind in _MAPPINGS:
        return f"; write {{key: value, …}} (known: {', '.join(keys)}) or leave it out"
    if kind in ("float_type", "int_type", "int_from_float"):
        return _number_remedy(given, "a whole number" if kind.startswith("int") else "a number")
    if kind == "bool_type":
        return "; write true or false"
    if kind == "string_type" and isinstance(given, int | float):
        return "; quote it to make it text"
    return ""


def _number_remedy(given: Any, otherwise: str) -> str:
    if isinstance(given, float) and given.is_integer():
        return f"; write {given:.0f}"
    try:
        plain = format(Decimal(given), "f") if isinstance(given, str) and _NUMBER.fullmatch(given) else ""
    except InvalidOperation:
        plain = ""
    return f"; YAML reads it as text: write {plain}" if plain else f"; write {otherwise}"


def _keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that the mapping at this path of `model` may hold."""
    keys: list[str] = []
    for found in _models_at(model, path):
        keys += [key for key in found.model_fields if key not in keys]
    return keys


def _models_at(model: type[BaseModel], path: KeyPath) -> list[type[BaseModel]]:
    if not path:
        return [model]
    field = model.model_fields.get(str(path[0]))
    inner = _models_in(field.annotation) if field else []
    rest = path[2:] if len(path) > 1 and isinstance(path[1], int) else path[1:]
    return [found for child in inner for found in _models_at(child, rest)]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for argument in typing.get_args(annotation) for found in _models_in(argument)]
