"""The suites that come with the package, by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath

from dtcbench import errors
from dtcbench.errors import UserError, near

_FOLDER = files("dtcbench") / "suites"
_SUFFIX = ".yaml"


def names() -> list[str]:
    """Every shipped suite's name, sorted."""
    return sorted(file.name.removesuffix(_SUFFIX) for file in _FOLDER.iterdir() if file.name.endswith(_SUFFIX))


def text(name: str) -> str:
    """The YAML of the shipped suite of this name; UserError with near matches if the name is unknown."""
    if name not in names():
        raise UserError(f"unknown suite {name!r}; {near(name, names())}")
    return (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def alike(given: str) -> list[str]:
    """The shipped suites that a mistyped name or path may mean, best first: `suites/quick.yaml` may mean `quick`."""
    return errors.alike(PurePath(given).name.removesuffix(_SUFFIX), names())
