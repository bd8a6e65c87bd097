"""A cell: one point of the grid with one seed, and its permanent key.

A plan may hold a million cells: a cell is a few references to shared choices and its key, and each choice's JSON is
made once, not once a cell.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from dtcbench.registry import OWN_PROTOCOLS, Groups

CELL_VERSION = 2
"""Raised when the meaning of a cell's fields changes, so that old records are not taken for new."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
_MOST_SHOWN = 60
"""Characters of a mapping in a label; a longer one, such as a whole configuration, is shown as its digest."""


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Choice:
    """One value of an axis: its registered name and version, and its options.

    An option at its default is not part of a cell's key, so that a new option leaves old keys as they are. A default
    that changes raises the value's version.
    """

    name: str
    version: int = 1
    """Of the axis value: raised where a default or the meaning of an option changes."""
    options: dict[str, Any] = field(default_factory=dict)
    """The options that differ from their defaults, or have none."""
    defaults: dict[str, Any] = field(default_factory=dict)
    """The other options, each at its default."""

    @classmethod
    def of(cls, name: str, version: int, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Choice:
        """The choice of `name` with these `values` of all its options, where the value's `defaults` are those."""
        own = {option: value for option, value in values.items() if option not in defaults or defaults[option] != value}
        at_default = {option: value for option, value in values.items() if option not in own}
        return cls(name=name, version=version, options=own, defaults=at_default)

    @property
    def values(self) -> dict[str, Any]:
        """Every option with its value, those at their defaults included."""
        return {**self.defaults, **self.options}

    @functools.cached_property
    def canonical_json(self) -> str:
        """Sorted keys, no spaces, ASCII; without the options at their defaults."""
        return canonical_json({"name": self.name, "options": self.options, "version": self.version})

    @functools.cached_property
    def label(self) -> str:
        """`name`, or `name(option=value, …)` with the options that differ from their defaults; `name@2` of a second
        version."""
        return _label(self.name, self.version, self.options)

    @property
    def full_label(self) -> str:
        """The same with every option; without those that name nothing, such as no checkpoint."""
        return _label(self.name, self.version, {name: value for name, value in self.values.items() if value != ""})

    @functools.cached_property
    def unversioned_label(self) -> str:
        """The label without its version, which the digest tells."""
        return _label(self.name, 1, self.options)

    @functools.cached_property
    def digest(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of its canonical JSON."""
        return hashlib.sha256(self.canonical_json.encode("ascii")).hexdigest()[:12]


def _label(name: str, version: int, options: Mapping[str, Any]) -> str:
    inner = ", ".join(f"{k}={_short(v)}" for k, v in sorted(options.items()))
    return f"{name}{f'@{version}' if version > 1 else ''}{f'({inner})' if inner else ''}"


def _short(value: Any) -> str:
    if isinstance(value, str) and _SHA256.fullmatch(value):
        return value[:12]
    if isinstance(value, str):
        return value
    text = json.dumps(value, separators=(",", ":"))
    is_long = isinstance(value, dict) and len(text) > _MOST_SHOWN
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()[:12] if is_long else text


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


class _Keyed:
    """A slot for the key, which is not a field of a cell."""

    __slots__ = ("_key",)
    _key: str


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class Cell(_Keyed):
    """Everything that decides a cell's numbers on one software stack; the hardware does not."""

    version: int = CELL_VERSION
    protocol: Choice
    model: Choice
    dataset: Choice
    method: Choice
    solver: Choice | None
    """None where the method solves nothing."""
    sparsity: float | None
    """Fraction of prunable neurons to remove; None where the protocol's own schedule decides it."""
    seed: int

    @property
    def canonical_json(self) -> str:
        """Sorted keys, no spaces, ASCII: the text the key is the hash of."""
        solver = self.solver.canonical_json if self.solver else "null"
        sparsity = "null" if self.sparsity is None else float.__repr__(self.sparsity)
        return (
            f'{{"dataset":{self.dataset.canonical_json},"method":{self.method.canonical_json},'
            f'"model":{self.model.canonical_json},"protocol":{self.protocol.canonical_json},"seed":{self.seed},'
            f'"solver":{solver},"sparsity":{sparsity},"version":{self.version}}}'
        )

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        try:
            return self._key
        except AttributeError:
            object.__setattr__(self, "_key", hashlib.sha256(self.canonical_json.encode("ascii")).hexdigest())
            return self._key

    @property
    def row(self) -> str:
        """The key of the same cell at seed 0: what all seeds of a row share."""
        return self.key if self.seed == 0 else replace(self, seed=0).key

    def __hash__(self) -> int:
        return hash(self.key)  # options are mappings, which have no hash of their own

    @property
    def label(self) -> str:
        """One line for a person: `dtc(drop=largest)/lars mlp(widths=[16]) digits 0.9 seed 2`."""
        solver = f"/{self.solver.label}" if self.solver else ""
        sparsity = "" if self.sparsity is None else f" {self.sparsity:g}"
        return f"{self.method.label}{solver} {self.model.label} {self.dataset.label}{sparsity} seed {self.seed}"

    @property
    def choices(self) -> dict[str, Choice]:
        """By axis, the registered values that the cell names: a protocol is one if it is a plug-in's."""
        named = {"model": self.model, "dataset": self.dataset, "method": self.method, "solver": self.solver}
        if self.protocol.name not in OWN_PROTOCOLS:
            named["protocol"] = self.protocol
        return {noun: choice for noun, choice in named.items() if choice is not None}

    @property
    def is_dense(self) -> bool:
        """Whether this is the baseline others are paired with: not dense with another stream, which is a control."""
        return self.method.name == "dense" and not self.method.options

    @property
    def when(self) -> str:
        """When the method's neurons go: `during`, `after` or `rewind`."""
        return str(self.method.values.get("when", "during"))

    @property
    def groups(self) -> Groups:
        """What may go: `simple`, `coupled` or `approximate` groups."""
        found: Groups = self.method.values.get("groups", "simple")
        return found

    @property
    def stream(self) -> int:
        """The nuisance stream: another one has other data orders and random choices, for the same weights and split."""
        return int(self.method.values.get("stream", 0))
