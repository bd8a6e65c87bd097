"""The suites and the claims that come with the package, by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath
from typing import Literal

from dtcbench import errors
from dtcbench.errors import UserError, near

Noun = Literal["suite", "claim"]
_FOLDERS = {"suite": files("dtcbench") / "suites", "claim": files("dtcbench") / "claims"}
_SUFFIX = ".yaml"


def names(noun: Noun = "suite") -> list[str]:
    """Every shipped name, sorted."""
    return sorted(file.name.removesuffix(_SUFFIX) for file in _FOLDERS[noun].iterdir() if file.name.endswith(_SUFFIX))


def text(name: str, noun: Noun = "suite") -> str:
    """The YAML of the shipped suite or claim of this name; UserError with near matches if the name is unknown."""
    if name not in names(noun):
        raise UserError(f"unknown {noun} {name!r}; {near(name, names(noun))}")
    return (_FOLDERS[noun] / f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def alike(given: str, noun: Noun = "suite") -> list[str]:
    """What a mistyped name or path may mean, best first: `suites/quick.yaml` may mean `quick`."""
    return errors.alike(PurePath(given).name.removesuffix(_SUFFIX), names(noun))
