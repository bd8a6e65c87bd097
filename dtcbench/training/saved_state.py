"""The state of a training as a sealed file: from it, a training goes on to the bits of one that was never interrupted.

    PLACE      a tensor of the state, by its place in it, such as optimizer/state/0/exp_avg
    dtcbench   in the metadata, as JSON: all else of the state, and the SHA-256 of it and the tensors

Nothing in the file is code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch

from dtcbench.text import error_line
from dtcbench.training import tensors
from dtcbench.training.tensors import Tensors
from dtcbench.unavailable import Unavailable

State = Mapping[str, Any]
"""Names and numbers, tensors and arrays, Unavailable, and lists, tuples and mappings of them."""
_METADATA = "dtcbench"


class Stateful(Protocol):
    """A part of a training that goes on from a state of its own."""

    def state_dict(self) -> dict[str, Any]:
        """Its state."""

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""


class Saving(Protocol):
    """When a training is saved, and where."""

    def is_due(self) -> bool:
        """Whether the training is to be saved after the step that it is at. The answer decides no number."""

    def save(self, state: State) -> None:
        """Save it."""


class StateError(ValueError):
    """A saved state cannot be used; the message says why."""


def written(state: State) -> bytes:
    """The file. ValueError names a value that it cannot hold, which a plug-in's optimiser may have."""
    named: Tensors = {}
    text = json.dumps(_plain(dict(state), "", named))
    named = {name: tensor.detach().cpu() for name, tensor in named.items()}
    sealed = json.dumps({"state": text, "sha256": _seal(text, named)})
    return tensors.written(named, {_METADATA: sealed})


def read(content: bytes) -> dict[str, Any]:
    """The state in a file; StateError if it is damaged, or is another file."""
    try:
        named, metadata = tensors.read(content)
        sealed = json.loads(metadata[_METADATA])
        if _seal(sealed["state"], named) != sealed["sha256"]:
            raise StateError("altered: its content does not match its seal")
        state: dict[str, Any] = _meant(json.loads(sealed["state"]), named)
    except StateError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StateError(f"not a saved state: {type(error).__name__}: {error}") from None
    return state


@contextmanager
def restoring() -> Iterator[None]:
    """While a state is put into a training: whatever goes wrong is a StateError."""
    try:
        yield
    except Exception as error:  # a plug-in's optimiser may raise anything
        raise StateError(f"it does not fit: {error_line(error)}") from error


def _seal(text: str, named: Tensors) -> str:
    return hashlib.sha256(f"{tensors.sha256(named)} {text}".encode()).hexdigest()


def _plain(value: Any, place: str, named: Tensors) -> Any:
    """The value as JSON, in which a list is a list and an object says what else stands there; tensors go to `named`."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case torch.Tensor():
            named[place] = value
            return {"tensor": place}
        case np.ndarray():
            named[place] = torch.from_numpy(np.ascontiguousarray(value))
            return {"array": place}
        case Unavailable():
            return {"unavailable": value.reason}
        case list() | tuple():
            items = [_plain(item, f"{place}/{number}", named) for number, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        case dict() if all(type(key) in (str, int) for key in value):
            start = f"{place}/" if place else ""
            return {"items": [[key, _plain(item, f"{start}{key}", named)] for key, item in value.items()]}
    raise ValueError(f"{place} is a {type(value).__name__}, which no file can hold")


def _meant(plain: Any, named: Tensors) -> Any:
    """The value that `_plain` made so. Each tensor has memory of its own: products may depend on where it begins."""
    if isinstance(plain, list):
        return [_meant(item, named) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, held),) = plain.items()
    match kind:
        case "tensor":
            return named[held].clone()
        case "array":
            return named[held].clone().numpy()
        case "unavailable":
            return Unavailable(held)
        case "tuple":
            return tuple(_meant(item, named) for item in held)
        case "items":
            return {key: _meant(item, named) for key, item in held}
    raise ValueError(f"{kind!r} is no kind of value")
