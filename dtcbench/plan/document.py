"""YAML read safely: plain values, the line each of them stands on, and what is wrong with the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

from dtcbench.errors import UserError
from dtcbench.validation import KeyPath, key_path_text, shown

DEEPEST, _MOST = 20, 100_000
"""Levels and values of a document: no suite comes near, aliases of aliases or of themselves do."""


@dataclass(frozen=True)
class Mistake:
    """One thing wrong with a document."""

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


class DocumentError(UserError):
    """A document cannot be used; `mistakes` holds everything that is wrong with it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class SuiteError(DocumentError):
    """A suite cannot be used."""


class ClaimError(DocumentError):
    """A claim's file cannot be used."""


class Kind(NamedTuple):
    """What a document is of, in words."""

    noun: str
    begins: str
    """Its first key."""
    example: str
    """Where to find one."""
    error: type[DocumentError]


SUITE = Kind("suite", "name", "`dtcbench suites quick` writes one out to edit", SuiteError)
CLAIM = Kind("claim", "id", "`dtcbench list claims` shows those of the package", ClaimError)


@dataclass(frozen=True)
class Document:
    """A YAML document's value, the line on which each of its places stands, and the keys that stand twice."""

    file: str
    value: dict[Any, Any]
    lines: dict[KeyPath, int]
    twice: tuple[Mistake, ...]

    @classmethod
    def read(cls, text: str, file: str, kind: Kind = SUITE) -> Document:
        """Plain values only; the kind's error where the text is not YAML or no mapping."""
        lines: dict[KeyPath, int] = {}
        try:
            loader = _Loader(text)
            root = loader.get_single_node()
            doubles = list(_walk(root, (), lines))
            value = loader.construct_document(root) if root else None
        except yaml.YAMLError as error:
            raise kind.error([_not_yaml(error, text, file)]) from None
        except RecursionError:
            raise kind.error([Mistake(file, 0, "", "nested far too deeply; close the brackets")]) from None
        if not isinstance(value, dict):
            got = "this is empty" if value is None else f"this is {shown(value)}"
            message = f"a {kind.noun} is a mapping (`{kind.begins}: …` and so on), and {got}; {kind.example}"
            raise kind.error([Mistake(file, 1, "", message)])
        message = "the key stands twice; remove one"
        return cls(file, value, lines, tuple(Mistake(file, line, key_path_text(p), message) for p, line in doubles))

    def mistake(self, place: KeyPath, message: str) -> Mistake:
        """`message`, said of a place of this document."""
        return Mistake(self.file, self.line(place), key_path_text(place), message)

    def line(self, place: KeyPath) -> int:
        """The line of `place`, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, for which a date is text and a misused tag is an error with a line."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, AttributeError, KeyError):
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(
                None, None, f"{shown(node.value)} cannot be read as {kind}", node.start_mark
            ) from None


def _walk(node: yaml.Node | None, place: KeyPath, lines: dict[KeyPath, int]) -> Iterator[tuple[KeyPath, int]]:
    """Fill `lines`; yield the keys that stand twice, which the constructor would silently merge."""
    if node is None:  # an empty document
        return
    if len(place) > DEEPEST:
        raise ConstructorError(None, None, f"nested deeper than {DEEPEST} levels, or within itself", node.start_mark)
    if len(lines) > _MOST:
        raise ConstructorError(None, None, f"aliases expand to more than {_MOST} values", node.start_mark)
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*place, index), lines)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # which the constructor refuses
            if key.value in seen:
                yield (*place, key.value), key.start_mark.line + 1
            seen.add(key.value)
            lines[(*place, key.value)] = key.start_mark.line + 1
            yield from _walk(item, (*place, key.value), lines)


def _not_yaml(error: yaml.YAMLError, text: str, file: str) -> Mistake:
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Mistake(file, line, "", f"not text: {error.reason} (#x{error.character:04x}); remove the character")
    if not isinstance(error, yaml.MarkedYAMLError):
        return Mistake(file, 0, "", f"not YAML: {error}")
    remedy = "check indentation, brackets and quotes"
    if isinstance(error, ConstructorError):
        remedy = "write plain values, without tags or aliases of aliases"
    context = f"{error.context}, " if error.context else ""
    line = error.problem_mark.line + 1 if error.problem_mark else 0
    return Mistake(file, line, "", f"not YAML: {context}{error.problem}; {remedy}")
