"""A cell: one point of the grid with one seed, and the key it is known by for ever.

A plan may hold a million cells: a cell is a few references to shared choices and its key, and each choice's JSON is
made once, not once a cell.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import field
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

CELL_VERSION = 1
"""Raised when the meaning of a cell's fields changes, so that old records are not taken for new."""
_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Choice:
    """One value of an axis: its registered name and all its options, defaults included."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def canonical_json(self) -> str:
        """Sorted keys, no spaces, ASCII."""
        return _canonical({"name": self.name, "options": self.options})

    @property
    def label(self) -> str:
        """`name`, or `name(option=value, …)`; for tables, where the defaults have been taken out."""
        inner = ", ".join(f"{k}={_short(v)}" for k, v in sorted(self.options.items()))
        return f"{self.name}({inner})" if inner else self.name

    @property
    def digest(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of its canonical JSON."""
        return hashlib.sha256(self.canonical_json.encode("ascii")).hexdigest()[:12]


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if not isinstance(value, str) else value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


class _Keyed:
    """Room for the key, which is no field of a cell."""

    __slots__ = ("_key",)
    _key: str


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class Cell(_Keyed):
    """All that decides a cell's numbers on one software stack. Hardware is not in it."""

    version: int = CELL_VERSION
    protocol: Choice
    """Protocol name and options; its `version` is among the options."""
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
        return (
            f'{{"dataset":{self.dataset.canonical_json},"method":{self.method.canonical_json},'
            f'"model":{self.model.canonical_json},"protocol":{self.protocol.canonical_json},"seed":{self.seed},'
            f'"solver":{solver},"sparsity":{_canonical(self.sparsity)},"version":{self.version}}}'
        )

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        if not hasattr(self, "_key"):
            object.__setattr__(self, "_key", hashlib.sha256(self.canonical_json.encode("ascii")).hexdigest())
        return self._key

    def __hash__(self) -> int:
        return hash(self.key)  # options are mappings, which have no hash of their own

    @property
    def is_dense(self) -> bool:
        """Whether this is the baseline others are paired with."""
        return self.method.name == "dense"
