"""A claim's schema: what its YAML file may say. One file is one statement, and gets one verdict.

Names of methods, networks and data sets are compared with the labels in the tables and looked up nowhere: records are
read without the plug-ins that made them, and so are claims about these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from dtcbench.plan import shipped
from dtcbench.plan.document import CLAIM, ClaimError, Document, Mistake
from dtcbench.plan.metering import Mode
from dtcbench.plan.suite import NAME, Seed, Sparsity
from dtcbench.validation import Strict, misfits_of, shown

TestName = Literal["average", "everywhere", "equivalence", "saving", "curves", "entropy_law"]
"""The rules that a claim may be judged by; docs/statistics.md, section 2, explains each."""
Quantity = Literal["accuracy", "energy_j", "inference_energy_j", "steps_to_target", "training_flops_to_target"]
"""What is measured of an arm: columns of the table of cells, the joules of using its network, and what is counted until
the target accuracy."""
IN_USE: Quantity = "inference_energy_j"
"""Joules of using the final network, per 1,000 samples."""
TO_TARGET = ("steps_to_target", "training_flops_to_target")
PAIRED: tuple[TestName, ...] = ("average", "everywhere", "equivalence")
"""The tests that compare two arms."""
QUANTITIES: dict[TestName, tuple[str, ...]] = {
    "average": ("accuracy", *TO_TARGET),
    "everywhere": ("accuracy", *TO_TARGET),
    "equivalence": ("accuracy",),
    "saving": ("energy_j", "inference_energy_j"),
    "curves": ("accuracy",),
    "entropy_law": ("accuracy",),
}
"""What each test judges."""
_LABEL = re.compile(r"[^\s()]+(?:\([^()]+(?:\([^()]*\)[^()]*)*\))?")
_VERSION = re.compile(r"^([^(@]+)@\d+")


def plain_label(label: str) -> str:
    """The label of an axis value without its version: `dtc(lam=3.0)` of `dtc@2(lam=3.0)`."""
    return _VERSION.sub(r"\1", label)


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError(f"{shown(text)}; write a name as tables show it, such as dtc or dtc(drop=largest)")
    return text


def _id(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"{shown(text)}; write small letters and digits, with '-', '.' or '_' inside: my-claim")
    return text


Text = Annotated[str, Field(min_length=1)]
Label = Annotated[str, AfterValidator(_label)]
Labels = Annotated[list[Label], Field(min_length=1)]


class Source(Strict):
    """Who says it, where, and in which words."""

    work: Text
    version: Text
    """Of the work, such as v3 or a date."""
    url: Text | None = None
    quotation: Text
    """Exactly as the source has it; what the source says in a figure or a table, in brackets."""

    def __str__(self) -> str:
        return f"“{self.quotation}” ({self.work}, {self.version})"


class WayOfUse(Strict):
    """How the networks are used whose joules are compared, each as its method left it (docs/use.md)."""

    batch_size: Annotated[int, Field(gt=0)] = 1024
    """Samples in one forward pass. At this many, arithmetic costs the most of the sizes that `use` measures by itself:
    with fewer, the launches and the idle power take a share that no method can save."""
    mode: Mode = "eager"

    def __str__(self) -> str:
        return f"batch {self.batch_size}, {self.mode}, as pruned"


class Estimand(Strict):
    """The number that the claim is about: a quantity of one arm minus that of another."""

    quantity: Quantity = "accuracy"
    of: Labels
    """The arms of the claim, as the tables label methods: each is compared with each of `minus`."""
    minus: list[Label] = Field(default=[])
    """The arms to compare with."""
    equal: Literal["widths", "inference_flops", "nothing"] = "widths"
    """What must be equal of two arms, seed by seed: the final widths, or the FLOPs of using the network within 2 %."""
    at_least: Annotated[float, Field(gt=0, lt=1)] | None = None
    """For the test `saving` the share of dense's energy that is said to be saved; for `entropy_law` the correlation
    from which on entropy tracks accuracy.
    """
    use: WayOfUse = WayOfUse()
    """For `inference_energy_j`, the one way of use that counts: of several, one might fit by luck."""


class Counted(Strict):
    """Which cells count, whatever runs are named: those that fit every list given here."""

    suites: list[Text] | None = None
    protocols: list[Text] | None = None
    """Names of protocols, without options."""
    models: Labels | None = None
    datasets: Labels | None = None
    solvers: Labels | None = None
    sparsities: Annotated[list[Sparsity], Field(min_length=1)] | None = None
    exclude_seeds: list[Seed] = Field(default=[])
    """Seeds that say nothing new, such as the one that the source itself used."""


class Size(Strict):
    """How large a difference is: one of these."""

    share_of_dense_error: Annotated[float, Field(gt=0, lt=1)] | None = None
    """As a share of the dense network's error: 0.2 is 0.4 points where dense is right in 98 %."""
    points: Annotated[float, Field(gt=0, lt=100)] | None = None
    """In percentage points."""

    @model_validator(mode="after")
    def _one_of_all(self) -> Size:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"give one of {', '.join(Size.model_fields)}, such as {{share_of_dense_error: 0.2}}")
        return self

    def of(self, dense_error: float) -> float:
        """The size as a fraction of 1, where dense has this error; NaN where that is not known."""
        return self.points / 100 if self.points is not None else (self.share_of_dense_error or 0.0) * dense_error

    def __str__(self) -> str:
        if self.points is not None:
            return f"{self.points:g} point{'' if self.points == 1 else 's'}"
        return f"{100 * (self.share_of_dense_error or 0.0):g} % of dense's error"


class Variance(Strict):
    """Two arms of which one draws anew what the other keeps: the share of variance that the draws have is shown."""

    of: Label
    without: Label
    draws: Text
    """What is drawn anew, in words."""


class Claim(Strict):
    """A statement of a source, and the rule that judges it; `dtcbench list claims` shows those of the package."""

    id: Annotated[str, AfterValidator(_id)]
    title: Text
    statement: Text
    """What is claimed, in a sentence that is true or false."""
    sources: Annotated[list[Source], Field(min_length=1)]
    estimand: Estimand
    cells: Counted = Counted()
    null: Text
    """What would be the case if the claim said nothing, in a sentence."""
    test: TestName
    margin: Size | None = None
    """How far two accuracies may be apart and still be called equal."""
    family: Text
    """Claims that share this name share the error rate: their p-values are adjusted together."""
    smallest_effect: Size | None = None
    """The smallest difference in accuracy that would matter to a user: the seeds that find it are shown."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The error rate of the family, and of the verdict where the claim has a family of its own."""
    shown: list[Variance] = Field(default=[])

    @model_validator(mode="after")
    def _fits_its_test(self) -> Claim:
        quantity = self.estimand.quantity
        if quantity not in QUANTITIES[self.test]:
            if self.test == "equivalence" and quantity in TO_TARGET:
                raise ValueError(f"{quantity} may be without end, and has no equivalence; write average")
            raise ValueError(f"test {self.test} judges {' or '.join(QUANTITIES[self.test])}, not {quantity}")
        self._reads_what_is_given()
        needed = {"equivalence": "margin", "saving": "margin"}.get(self.test)
        if needed and self.margin is None:
            raise ValueError(f"test {self.test} needs a margin; add `margin: {{share_of_dense_error: 0.2}}`")
        if self.test in ("saving", "entropy_law") and self.estimand.at_least is None:
            example = "0.98" if self.test == "saving" else "0.5"
            raise ValueError(f"test {self.test} needs `at_least` in its estimand, such as {example}")
        if self.test in PAIRED and not self.estimand.minus:
            raise ValueError(f"test {self.test} needs `minus` in its estimand: the arms to compare with")
        return self

    def _reads_what_is_given(self) -> None:
        """A field that the test does not read would promise what it does not keep."""
        of_accuracies = PAIRED if self.estimand.quantity == "accuracy" else ()
        read_by = {
            "minus": (self.estimand, PAIRED),
            "equal": (self.estimand, PAIRED),
            "at_least": (self.estimand, ("saving", "entropy_law")),
            "margin": (self, (*of_accuracies, "saving")),
            "smallest_effect": (self, of_accuracies),
            "shown": (self, PAIRED),
        }
        if "use" in self.estimand.model_fields_set and self.estimand.quantity != IN_USE:
            raise ValueError(f"{self.estimand.quantity} reads no `use` in its estimand; leave it out")
        for name, (part, tests) in read_by.items():
            if name in part.model_fields_set and self.test not in tests:
                of = "" if part is self else " in its estimand"
                raise ValueError(f"test {self.test} of {self.estimand.quantity} reads no `{name}`{of}; leave it out")


@dataclass(frozen=True)
class ClaimFile:
    """A claim and the text that says it, from which its seal is made."""

    claim: Claim
    text: str


def load(files: Sequence[str | PathLike[str]] = ()) -> tuple[ClaimFile, ...]:
    """The claims in these YAML files, or, without any, those of the package, in the order of their ids.

    A name of a shipped claim stands for its file. ClaimError lists every mistake with file, line, place and remedy, and
    claims that share an id.
    """
    given = [fspath(file) for file in files] or shipped.names("claim")
    found = [parse(text, name) for name, text in ((name, read(name)) for name in given)]
    seen: dict[str, str] = {}
    for name, one in zip(given, found, strict=True):
        if seen.setdefault(one.claim.id, name) != name:
            other = seen[one.claim.id]
            raise ClaimError([Mistake(name, 1, "id", f"{one.claim.id!r} is that of {other} too; give one a new id")])
    return tuple(found)


def read(file: str | PathLike[str]) -> str:
    """The text of a claim's file, or of the shipped claim of that name; ClaimError if it is neither."""
    name, path = fspath(file), Path(file)
    if name in shipped.names("claim") and not path.is_file():
        return shipped.text(name, "claim")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        close = " or ".join(map(repr, shipped.alike(name, "claim")))
        remedy = f"did you mean {close}?" if close else "give the path of a claim's YAML file"
        listed = "`dtcbench list claims` lists those of the package"
        raise ClaimError([Mistake(name, 0, "", f"{reason}; {remedy} ({listed})")]) from None


def parse(text: str, file: str) -> ClaimFile:
    """Check a claim's YAML text; ClaimError with every mistake. `file` is the name that errors carry."""
    document = Document.read(text, file, CLAIM)
    mistakes = list(document.twice)
    # YAML reads the key `null` as no text at all.
    value = {"null" if key is None else key: said for key, said in document.value.items()}
    try:
        claim = Claim.model_validate(value)
    except ValidationError as error:
        mistakes += (document.mistake(*misfit) for misfit in misfits_of(error, Claim, value))
    if mistakes:
        raise ClaimError(sorted(mistakes, key=lambda mistake: (mistake.line, mistake.place)))
    return ClaimFile(claim, text)
