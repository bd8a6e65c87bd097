"""A cell: one point of the grid with one seed, and the key it is known by for ever."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

CELL_VERSION = 1
"""Raised when the meaning of a cell's fields changes, so that old records are not taken for new."""


class Choice(BaseModel):
    """One value of an axis: its registered name and all its options, defaults included."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    options: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """`name`, or `name(option=value, …)`; for tables, where the defaults have been taken out."""
        inner = ", ".join(f"{k}={_short(v)}" for k, v in sorted(self.options.items()))
        return f"{self.name}({inner})" if inner else self.name


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if not isinstance(value, str) else value


class Cell(BaseModel):
    """All that decides a cell's numbers on one software stack. Hardware is not in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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
        return json.dumps(
            self.model_dump(mode="json"),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
            allow_nan=False,
        )

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical_json.encode("ascii")).hexdigest()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other fields, which has another key: pydantic would copy what was found out before."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("key", None)
        return copied

    def __hash__(self) -> int:
        return hash(self.key)  # options are mappings, which have no hash of their own

    @property
    def is_dense(self) -> bool:
        """Whether this is the baseline others are paired with."""
        return self.method.name == "dense"

    @property
    def label(self) -> str:
        """One line for a person: `dtc/lars mlp digits 0.9 seed 2`."""
        method = self.method.name + (f"/{self.solver.name}" if self.solver else "")
        sparsity = "" if self.sparsity is None else f" {self.sparsity:g}"
        return f"{method} {self.model.name} {self.dataset.name}{sparsity} seed {self.seed}"
