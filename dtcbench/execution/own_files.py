"""The files that a suite names, of data and models: read when it is planned, so that its cells hold their content."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dtcbench.datasets import own
from dtcbench.datasets.splits import DatasetError
from dtcbench.errors import UserError
from dtcbench.models import from_transformers
from dtcbench.plan.cell import Choice
from dtcbench.plan.names import Meaning, Names
from dtcbench.registry import Start
from dtcbench.training import checkpoint
from dtcbench.training.checkpoint import CheckpointError
from dtcbench.validation import MisfitError

NAME = "file"
"""Of the data set that reads a file."""


class NamesWithFiles:
    """Names, where the data set `file`, and a model that starts from a checkpoint, are pinned to their file's content.

    Each of them is read once. A configuration that the model `transformers` names is replaced by its content.
    """

    def __init__(self, names: Names, folder: Path) -> None:
        """folder : of the suite, from which relative paths start; then they start from $DTCBENCH_DATA_DIR"""
        self._names = names
        self._folder = folder
        self._resolved: dict[str, dict[str, Any] | UserError] = {}

    def known(self, noun: str) -> list[str]:
        """All names of the axis."""
        return self._names.known(noun)

    def unknown(self, noun: str, name: str) -> str:
        """The error message for a name that the axis does not have."""
        return self._names.unknown(noun, name)

    def meaning(self, noun: str, name: str) -> Meaning:
        """What the name means; UserError if the axis lacks it."""
        return self._names.meaning(noun, name)

    def choice(self, noun: str, name: str, given: dict[str, Any]) -> Choice:
        """The value with its options, the digest of a file's content among them; MisfitError if they do not fit."""
        if (noun, name) == ("model", "transformers"):
            given = self._with_configuration(given)
        choice = self._names.choice(noun, name, given)
        is_data = (noun, name) == ("dataset", NAME)
        if not is_data and not (noun == "model" and any(given.get(option) for option in Start.model_fields)):
            return choice
        written = json.dumps([noun, given], sort_keys=True)
        if written not in self._resolved:
            try:
                self._resolved[written] = self._data(given) if is_data else self._checkpoint(given)
            except UserError as error:
                self._resolved[written] = error
        resolved = self._resolved[written]
        if isinstance(resolved, UserError):
            raise MisfitError("", [(("path" if is_data else "weights",), str(resolved))])
        return self._names.choice(noun, name, resolved)

    def _with_configuration(self, given: dict[str, Any]) -> dict[str, Any]:
        path = given.get("config")
        if not isinstance(path, str) or not path:
            return given
        try:
            return from_transformers.resolve(self._file(path), given)
        except UserError as error:
            raise MisfitError("", [(("config",), str(error))]) from None

    def _checkpoint(self, given: dict[str, Any]) -> dict[str, Any]:
        path = given.get("weights", "")
        if not path:
            raise CheckpointError("missing; name a safetensors file, such as `weights: start.safetensors`")
        if given.get("weights_sha256") and self._found(path) is None:  # the cluster's nodes may have it
            return {**given, "weights": Path(path).name}
        return checkpoint.resolve(self._file(path), given)

    def _data(self, given: dict[str, Any]) -> dict[str, Any]:
        path, second = given.get("path", ""), given.get("test_path", "")
        if not path:
            raise DatasetError("missing; name a file or folder, such as `path: letters.npz`")
        found = self._found(path)
        if found is None and given.get("sha256"):  # the cluster's nodes may have it
            return {**given, "path": Path(path).name, **({"test_path": Path(second).name} if second else {})}
        test = self._found(second) if second else None
        for name, place in ((path, found), (second, test)):
            if name and place is None:
                tried = ", ".join(str(place) for place in self._places(name))
                raise DatasetError(f"{name}: no such file or folder ({tried}); correct the path")
        assert found is not None  # noqa: S101 - or the loop has raised
        return own.resolve(found, given, test)

    def _file(self, path: str) -> Path:
        if (found := self._found(path)) is None:
            tried = ", ".join(str(place) for place in self._places(path))
            raise UserError(f"{path}: no such file ({tried}); correct the path")
        return found

    def _found(self, path: str) -> Path | None:
        return next((place for place in self._places(path) if place.exists()), None)

    def _places(self, path: str) -> Iterator[Path]:
        given = Path(path).expanduser()
        yield self._folder / given
        if (root := os.environ.get("DTCBENCH_DATA_DIR")) and not given.is_absolute():
            yield Path(root) / given
