"""A suite's schema: what its YAML may say, checked against the registered names and their options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from dtcbench import registry
from dtcbench.cycles import Fraction
from dtcbench.plan import shipped
from dtcbench.plan.cell import Choice
from dtcbench.plan.consistency import misfits
from dtcbench.plan.document import Document, Mistake, SuiteError
from dtcbench.plan.looks import GrowingSeeds
from dtcbench.plan.metering import Duration, Metering, Using, seconds
from dtcbench.plan.names import REGISTERED, Names
from dtcbench.plan.naming import DEFAULT_SOLVER, choice, protocol
from dtcbench.plan.protocol import AnyProtocol
from dtcbench.plan.request import Request
from dtcbench.validation import UNKNOWN_KEY, KeyPath, MisfitError, Strict, checked, misfits_of, shown

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""Allowed names of a suite, which are also names of its run's folder."""
_MOST_SEEDS = 10_000


def _choice(noun: str) -> BeforeValidator:
    """Turns `name` or `{name: …, option: …}` into a Choice with every option filled in."""

    def validate(value: Any, info: ValidationInfo) -> Choice:
        return choice(noun, value, _names(info))

    return BeforeValidator(validate)


def _names(info: ValidationInfo) -> Names:
    """Where `parse` looks names up."""
    names: Names = info.context or REGISTERED
    return names


def _protocols(value: Any, info: ValidationInfo) -> AnyProtocol | list[AnyProtocol]:
    """One protocol, or a list of them; MisfitError has all that does not fit."""
    if not isinstance(value, list):
        return protocol(value, _names(info))
    if not value:
        raise ValueError("empty; give at least one value")
    found, wrong = [], []
    for number, one in enumerate(value):
        try:
            found.append(protocol(one, _names(info)))
        except MisfitError as error:
            wrong += [((number, *path), message) for path, message in error.found]
        except ValueError as error:  # it is no name
            wrong.append(((number,), str(error)))
    if wrong:
        raise MisfitError("", wrong)
    return found


def _known(noun: str) -> AfterValidator:
    def validate(name: str, info: ValidationInfo) -> str:
        _names(info).meaning(noun, name)
        return name

    return AfterValidator(validate)


Sparsity = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seeds = Annotated[
    Annotated[list[Seed], Tag("list")] | Annotated[GrowingSeeds, Tag("growing")],
    Discriminator(lambda seeds: "growing" if isinstance(seeds, GrowingSeeds) else "list"),
]


class Block(Strict):
    """One full product of axis values. Dense is implied, once per model, dataset and seed."""

    models: Annotated[list[Annotated[Choice, _choice("model")]], Field(min_length=1)]
    datasets: Annotated[list[Annotated[Choice, _choice("dataset")]], Field(min_length=1)]
    methods: Annotated[list[Annotated[Choice, _choice("method")]], Field(min_length=1)]
    solvers: list[Annotated[Choice, _choice("solver")]] = Field(default=[DEFAULT_SOLVER], validate_default=True)
    """Applied to the methods that use one."""
    sparsities: Annotated[list[Sparsity], Field(min_length=1)] | None = None
    """Left out if the protocol's own schedule decides."""
    keep: Fraction | None = None
    """Fraction of the neurons a compression keeps, if it differs from the protocol's."""
    seeds: Seeds
    """A list, a number k for the seeds 0 … k−1, or `{first: 5, step: 5, most: 40}` for seeds until decided."""

    @property
    def first_seeds(self) -> list[int]:
        """The seeds that every row of the block has."""
        return self.seeds if isinstance(self.seeds, list) else list(self.seeds.until(0))

    @property
    def axes(self) -> dict[str, list[Choice]]:
        """The values of each axis, by its noun."""
        return {"model": self.models, "dataset": self.datasets, "method": self.methods, "solver": self.solvers}

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, seeds: Any) -> Any:
        if isinstance(seeds, list) and seeds:
            return seeds
        if type(seeds) is int and 1 <= seeds <= _MOST_SEEDS:
            return list(range(seeds))
        if isinstance(seeds, dict):
            return checked(GrowingSeeds, seeds, "")
        given = "empty" if seeds == [] else shown(seeds)
        raise ValueError(
            f"{given}; give a number of seeds from 1 to {_MOST_SEEDS}, a list of seeds such as [0, 1], or "
            "{first: 5, step: 5, most: 40} for seeds until decided"
        )


class Exclusion(Strict):
    """Cells to leave out, by the names and values they share, and why."""

    reason: Annotated[str, Field(min_length=1)]
    model: Annotated[str, _known("model")] | None = None
    dataset: Annotated[str, _known("dataset")] | None = None
    method: Annotated[str, _known("method")] | None = None
    solver: Annotated[str, _known("solver")] | None = None
    sparsity: Sparsity | None = None
    seed: Seed | Annotated[list[Seed], Field(min_length=1)] | None = None
    """One, or a list of them."""

    @property
    def shared(self) -> dict[str, list[Any]]:
        """What the cells left out have in common: by axis, the values that one of them may have."""
        named = self.model_dump(exclude={"reason"}, exclude_none=True)
        return {axis: value if isinstance(value, list) else [value] for axis, value in named.items()}


def _boards(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(f"{gpus:g} is neither a part of a GPU nor a number of GPUs; write {int(gpus)}")
    return gpus


class Resources(Strict):
    """What one cell is given."""

    cpus: Annotated[int, Field(gt=0)] | None = None
    """Cores; the protocol's threads unless set, the most of several."""
    gpus: Annotated[float, Field(ge=0), AfterValidator(_boards)] = 0.0
    """How many, of one node; none, or a part of one, which cannot be measured by itself."""
    accelerator: Annotated[str, Field(min_length=1)] | None = None
    """The kind of GPU in Ray's words, such as H200, on a cluster that has several."""


def _pause(value: Any) -> Any:
    return None if value == "none" else seconds(value)


class Suite(Strict):
    """A grid, its protocols and resources; `dtcbench suites quick` writes one out to edit."""

    name: str
    """The run's folder is called so."""
    question: str
    cost: str
    protocol: Annotated[AnyProtocol | list[AnyProtocol], PlainValidator(_protocols)]
    """One, or a list of them: each trains the whole grid."""
    grid: Annotated[list[Block], Field(min_length=1)]
    resources: Resources = Resources()
    energy: Metering = Metering()
    use: Using | None = None
    """Also measure what using each cell's final network takes. No cell's key holds it."""
    timeout: Annotated[Duration, Field(gt=0)] | None = None
    """What one cell may take, repeats for the energy meter included."""
    exclude: list[Exclusion] = Field(default=[])
    keep_weights: Literal["last", "none"] = "none"
    """`last`: keep each ok cell's final network, as a file beside its record. No cell's key holds it."""
    checkpoint: Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_pause)] = 600.0
    """Save a training while it runs, no more often than this, so that it goes on from there if its node is lost;
    `none`: never. No cell's key holds it."""

    @field_validator("name")
    @classmethod
    def _fit_for_a_folder(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(f"{shown(name)}; write small letters and digits, with '-', '.' or '_' inside: my-suite")
        return name

    @property
    def growing(self) -> GrowingSeeds | None:
        """How its seeds grow until decided, in all blocks alike; None if they are fixed."""
        seeds = self.grid[0].seeds
        return seeds if isinstance(seeds, GrowingSeeds) else None

    @property
    def protocols(self) -> list[AnyProtocol]:
        """The suite's protocols, one or several."""
        return self.protocol if isinstance(self.protocol, list) else [self.protocol]

    def protocols_of(self, block: Block) -> list[AnyProtocol]:
        """The same, as the block has them."""
        update = {} if block.keep is None else {"keep": block.keep}
        return [protocol.model_copy(update=update) for protocol in self.protocols]

    @property
    def request(self) -> Request:
        """What one cell asks of a machine."""
        return Request(self.cpus, self.resources.gpus, self.resources.accelerator)

    @property
    def cpus(self) -> int:
        """Cores one cell is given."""
        return self.resources.cpus or max(protocol.threads for protocol in self.protocols)


def load(suite: str | Path) -> Suite:
    """Read and check a suite; SuiteError lists every mistake with file, line, place and remedy."""
    return parse(read(suite), str(suite))


def read(suite: str | Path) -> str:
    """The YAML text of the file `suite`, or, without such a file, of the shipped suite of that name.

    SuiteError if it is neither, or if the file cannot be read.
    """
    name, path = str(suite), Path(suite)
    if name in shipped.names() and not path.is_file():
        return shipped.text(name)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise SuiteError([Mistake(name, 0, "", f"{reason}; {_remedy(name)}")]) from None


def _remedy(name: str) -> str:
    close = " or ".join(map(repr, shipped.alike(name)))
    if close:
        return f"did you mean {close}? (`dtcbench suites` lists the shipped suites)"
    return "give the path of a suite's YAML file, or the name of a shipped one (`dtcbench suites` lists them)"


def parse(text: str, file: str, names: Names = REGISTERED) -> Suite:
    """Check a suite's YAML text.

    Parameters
    ----------
    file : the name errors carry
    names : where the names of models, data sets, methods, solvers and plug-ins' protocols are looked up
    """
    document = Document.read(text, file)
    mistakes = [*document.twice, *(document.mistake(*misfit) for misfit in misfits(document.value, names))]
    try:
        suite = Suite.model_validate(document.value, context=names)
    except ValidationError as error:
        found = misfits_of(error, Suite, document.value)
        mistakes += (document.mistake(place, _with_home(place, message)) for place, message in found)
    if mistakes:
        raise SuiteError(sorted(mistakes, key=lambda mistake: (mistake.line, mistake.place)))
    return suite


def _with_home(place: KeyPath, message: str) -> str:
    """What is wrong, and where a key belongs: under `grid`, or as an option of every value of an axis."""
    if message.startswith(UNKNOWN_KEY) and len(place) == 1 and place[0] in Block.model_fields:
        return f"{UNKNOWN_KEY} {shown(place[0])}; it is a key of a block: write it under `grid`, after `- `"
    for noun, options in (("method", registry.UsageOfChoice), ("model", registry.Start)):
        is_home = f"{noun}s" in place
        if message.startswith(UNKNOWN_KEY) and place and place[-1] in options.model_fields and not is_home:
            return f"{message}; it is an option of a {noun}: write {{name: …, {place[-1]}: …}} under `{noun}s`"
    return message
