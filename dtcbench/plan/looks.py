"""The looks of a run until decided: which rows of its plan have got more seeds, and what was decided by then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Annotated, Self

from pydantic import Field, model_validator

from dtcbench.errors import UserError
from dtcbench.validation import Strict


class GrowingSeeds(Strict):
    """Seeds 0 … first − 1, and `step` more at a time, up to `most`, where a comparison is undecided."""

    first: Annotated[int, Field(ge=5)]
    """No verdict rests on fewer seeds than five."""
    step: Annotated[int, Field(ge=3)]
    """Smaller ones save hardly a seed, and their levels are less exact."""
    most: Annotated[int, Field(le=10_000)]

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        if self.most < self.first:
            raise ValueError(f"most: {self.most} is less than first: {self.first}; raise it")
        if over := (self.most - self.first) % self.step:
            near = f"{self.most - over} or {self.most - over + self.step}"
            raise ValueError(
                f"most: {self.most} is not reached from {self.first} by steps of {self.step}; write {near}"
            )
        return self

    def until(self, look: int) -> range:
        """The seeds of a row that goes on until this look, the first one being 0."""
        return range(min(self.first + look * self.step, self.most))

    def __str__(self) -> str:
        return f"{{first: {self.first}, step: {self.step}, most: {self.most}}}"


class Look(Strict):
    """One look: what it decided, and which rows of the plan get the seeds of the next look."""

    seeds: int
    """Looked at, per row."""
    decided: list[str]
    """The comparisons and claims with a verdict that the look before did not have, a line each."""
    open: list[str]
    """The comparisons that are undecided, a line each."""
    rows: list[str]
    """Keys, at seed 0, of the rows that go on; none if all is decided or no seed is left."""


class LooksTaken(Strict):
    """All looks of a run so far, in order. Its file is written before a cell of the next look starts."""

    seeds: GrowingSeeds
    looks: list[Look]

    @property
    def rows(self) -> tuple[frozenset[str], ...]:
        """Per look after the first, the keys of the rows that have its seeds."""
        return tuple(frozenset(look.rows) for look in self.looks if look.rows)

    @property
    def content(self) -> bytes:
        """What its file holds."""
        return f"{self.model_dump_json(indent=1)}\n".encode()

    def only(self, count: int) -> LooksTaken:
        """The first `count` of the looks."""
        return LooksTaken(seeds=self.seeds, looks=self.looks[:count])

    @staticmethod
    def union(runs: Sequence[LooksTaken]) -> LooksTaken:
        """The looks of several runs of one suite as one: a row goes on if it does in any of them.

        UserError if they grow by different seeds.
        """
        if len(seeds := sorted({str(run.seeds) for run in runs})) > 1:
            raise UserError(f"the runs' seeds grow differently: {' and '.join(seeds)}; merge runs of one suite")
        together = zip_longest(*(run.looks for run in runs))
        return LooksTaken(seeds=runs[0].seeds, looks=[_union([look for look in looks if look]) for looks in together])


def _union(looks: Sequence[Look]) -> Look:
    def distinct(lists: Iterable[list[str]]) -> list[str]:
        return list(dict.fromkeys(one for given in lists for one in given))

    return Look(
        seeds=looks[0].seeds,
        decided=distinct(look.decided for look in looks),
        open=distinct(look.open for look in looks),
        rows=distinct(look.rows for look in looks),
    )
