"""A suite's schema: what its YAML may say, checked against the registered names and their options."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from dtcbench import registry
from dtcbench.plan.cell import Choice
from dtcbench.plan.document import Document, Problem, SuiteError, problems_of
from dtcbench.plan.protocol import Published, Standard, named

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class OptionsError(ValueError):
    """An axis value's options do not fit; carries pydantic's own error, whose places are kept."""

    def __init__(self, error: ValidationError, options: type[BaseModel]) -> None:
        super().__init__(str(error))
        self.error = error
        self.options = options


def _choice(axis: registry.Axis) -> BeforeValidator:
    """Turns `name` or `{name: …, option: …}` into a Choice with every option filled in."""

    def validate(value: Any) -> Choice:
        given = {"name": value} if isinstance(value, str) else value
        if not isinstance(given, dict) or not isinstance(given.get("name"), str):
            raise ValueError(f"a {axis.noun} is a name or a mapping with a name; {_as_text(value)}")
        try:
            model = axis.options(given["name"])
        except registry.UnknownNameError as error:
            raise ValueError(str(error)) from None
        options = {key: option for key, option in given.items() if key != "name"}
        if axis is registry.methods and "solver" in options:
            raise ValueError(_misplaced_solver(given["name"]))
        try:
            return Choice(name=given["name"], options=model.model_validate(options).model_dump(mode="json"))
        except ValidationError as error:
            raise OptionsError(error, model) from None

    return BeforeValidator(validate)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return f"YAML reads yes, no, on and off as true and false: if {str(value).lower()} is meant as a name, quote it"
    return f"quote {value!r} if it is a name" if isinstance(value, int | float) else f"got {value!r}"


def _misplaced_solver(method: str) -> str:
    if registry.uses_solver(method):
        return f"solvers are an axis of their own: move the solver of {method!r} to the block's `solvers`"
    return f"method {method!r} solves nothing and takes no solver; remove it"


def _all_different(values: Sequence[Hashable]) -> Sequence[Hashable]:
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            shown = value.label if isinstance(value, Choice) else value
            raise ValueError(f"{shown} stands twice; every value once is enough")
        seen.add(value)
    return values


class Strict(BaseModel):
    """A mapping of the suite: unknown keys and silent conversions are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Sparsity = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Block(Strict):
    """One full product of axis values. Dense is implied, once per model, dataset and seed."""

    models: Annotated[list[Annotated[Choice, _choice(registry.models)]], Field(min_length=1)]
    datasets: Annotated[list[Annotated[Choice, _choice(registry.datasets)]], Field(min_length=1)]
    methods: Annotated[list[Annotated[Choice, _choice(registry.methods)]], Field(min_length=1)]
    solvers: list[Annotated[Choice, _choice(registry.solvers)]] = Field(default=[], validate_default=True)
    """Applied to the methods that use one."""
    sparsities: Annotated[list[Sparsity], Field(min_length=1)] | None = None
    """Left out where the protocol's own schedule decides."""
    seeds: list[Seed]
    """A list, or a number k for the seeds 0 … k−1."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, seeds: Any) -> Any:
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            if seeds < 1:
                raise ValueError(f"{seeds} seeds are none; give at least 1")
            return list(range(seeds))
        if seeds == []:
            raise ValueError("an empty axis plans no cell; give a number of seeds or a list")
        return seeds

    @field_validator("models", "datasets", "methods", "solvers", "sparsities", "seeds")
    @classmethod
    def _no_value_twice(cls, values: list[Any] | None) -> list[Any] | None:
        _all_different([v.model_dump_json() if isinstance(v, Choice) else v for v in values or []])
        return values

    @field_validator("solvers")
    @classmethod
    def _solvers_fit_the_methods(cls, solvers: list[Choice], info: ValidationInfo) -> list[Choice]:
        methods = info.data.get("methods")
        if methods is None:
            return solvers
        solving = [m.name for m in methods if registry.uses_solver(m.name)]
        if solvers and not solving:
            names = ", ".join(m.name for m in methods)
            raise ValueError(f"a solver on methods that have none ({names}); remove `solvers` or add a DTC method")
        if solving and not solvers:
            known = ", ".join(registry.solvers.names())
            raise ValueError(f"{solving[0]!r} needs a solver; add `solvers: [lars]` (known: {known})")
        return solvers


class Exclusion(Strict):
    """Cells to leave out, by the names and values they share, and why."""

    reason: Annotated[str, Field(min_length=1)]
    model: str | None = None
    dataset: str | None = None
    method: str | None = None
    solver: str | None = None
    sparsity: Sparsity | None = None
    seed: Seed | None = None


class Resources(Strict):
    """What one cell is given."""

    cpus: Annotated[int, Field(gt=0)] | None = None
    """Cores; the protocol's threads unless set."""
    gpus: Annotated[int, Field(ge=0, le=1)] = 0
    """Whole GPUs: one, or none."""


class Suite(Strict):
    """A grid, a protocol and resources; see suites/quick.yaml for one to copy."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    question: str
    cost: str
    protocol: Annotated[Standard | Published, Field(discriminator="name"), BeforeValidator(named)]
    grid: Annotated[list[Block], Field(min_length=1)]
    resources: Resources = Resources()
    timeout: float | None = None
    """Seconds one cell may take; in YAML a number with its unit, such as 90s, 10m or 2h."""
    exclude: list[Exclusion] = []

    @field_validator("timeout", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if value is not None and match is None:
            read = " (YAML reads 10:30 as 630)" if isinstance(value, int) else ""
            raise ValueError(f"{value!r} is no time with a unit{read}; write 90s, 10m or 2h")
        return float(match[1]) * _SECONDS[match[2]] if match else None

    @field_validator("grid")
    @classmethod
    def _sparsities_fit_the_protocol(cls, grid: list[Block], info: ValidationInfo) -> list[Block]:
        protocol = info.data.get("protocol")
        for place, block in enumerate(grid):
            if isinstance(protocol, Published) and block.sparsities is not None:
                raise ValueError(f"block {place}: protocol published runs its own schedule; remove `sparsities`")
            if isinstance(protocol, Standard) and block.sparsities is None:
                raise ValueError(f"block {place}: no `sparsities`; add for example `sparsities: [0.5, 0.9]`")
        return grid

    @field_validator("resources")
    @classmethod
    def _cores_for_the_threads(cls, resources: Resources, info: ValidationInfo) -> Resources:
        protocol = info.data.get("protocol")
        if protocol is not None and resources.cpus is not None and resources.cpus < protocol.threads:
            raise ValueError(
                f"{resources.cpus} cpus for {protocol.threads} threads; raise resources.cpus or lower protocol.threads"
            )
        return resources

    @property
    def cpus(self) -> int:
        """Cores one cell is given."""
        return self.resources.cpus or self.protocol.threads


def load(path: Path) -> Suite:
    """Read and check a suite; SuiteError lists every problem with file, line, place and remedy."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise SuiteError([Problem(str(path), 0, "", f"{reason}; give the path of a suite's YAML file")]) from None
    return parse(text, str(path))


def parse(text: str, file: str) -> Suite:
    """Check a suite's YAML text; `file` is the name errors carry."""
    document = Document.read(text, file)
    try:
        return Suite.model_validate(document.value)
    except ValidationError as error:
        raise SuiteError(problems_of(error, Suite, document)) from None
