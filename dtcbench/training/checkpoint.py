"""Weights that a model starts from: `{name: mlp, weights: start.safetensors}` in a suite.

Planning reads the file, puts it into the node's cache by the digest of its content, and pins that digest. What reaches
a cell is the digest and the bare name. Where the cell runs, the file is searched in the cache, and under that name in
`$DTCBENCH_DATA_DIR`, and its digest checked; no other file is read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from dtcbench.datasets import cache
from dtcbench.errors import AbsentError, UserError
from dtcbench.files import whole
from dtcbench.plan.cell import Choice
from dtcbench.registry import Start
from dtcbench.training import tensors
from dtcbench.training.tensors import Tensors

log = logging.getLogger(__name__)


class CheckpointError(UserError):
    """A checkpoint cannot be used; the message names the file, the tensor and the remedy."""


def resolve(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """A model's options with the digest of the checkpoint at `path`, which goes into the node's cache.

    CheckpointError if the file cannot be used, or has another digest than `given`.
    """
    content = _content(path)
    digest = tensors.sha256(_tensors(path, content))
    if given.get("weights_sha256") not in (None, "", digest):
        raise CheckpointError(
            f"{path}: its tensors have the SHA-256 {digest}, not {given['weights_sha256']} as weights_sha256 says; "
            "bring back the file that is meant, or remove weights_sha256"
        )
    _keep(digest, content)
    return {**given, "weights": path.name, "weights_sha256": digest}


def start_from(model: Choice, network: nn.Module) -> None:
    """Give the network that `model` built the weights that it starts from, if it names any.

    CheckpointError if the tensors do not fit; AbsentError if no file with their digest is found.
    """
    name, digest = str(model.values.get("weights", "")), str(model.values.get("weights_sha256", ""))
    if not name:
        return
    if not digest:
        raise UserError(f"{name}: no digest pins it; plan it from a suite")
    with torch.device("cpu"):  # the network may be built on another
        found = _found(name, digest)
    try:
        tensors.load_into(network, found)
    except ValueError as error:
        remedy = "name a checkpoint of this network, or set the options that the checkpoint was made with"
        raise CheckpointError(f"{name} does not fit model {model.name}: {error}; {remedy}") from None


def without(model: Choice) -> Choice:
    """The same network with weights of its own."""
    names = Start.model_fields
    return replace(model, options={name: value for name, value in model.options.items() if name not in names})


def _found(name: str, digest: str) -> Tensors:
    """The tensors with this digest."""
    root = os.environ.get("DTCBENCH_DATA_DIR")
    places = [_cached(digest), *([Path(root) / Path(name).name] if root else [])]
    for place in places:
        if place.is_file():
            found = _tensors(place, _content(place))
            if tensors.sha256(found) == digest:
                return found
            log.warning("%s: its tensors have another SHA-256 than %s, so it is not used", place, digest)
    tried = ", ".join(map(str, places))
    raise AbsentError(
        f"{name}: no copy with the SHA-256 {digest} was found ({tried}); set DTCBENCH_DATA_DIR to a folder with it, or "
        "DTCBENCH_CACHE_DIR to a folder that this node and the one that plans both see"
    )


def _content(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > tensors.MOST_BYTES:
            raise CheckpointError(
                f"{path}: {size} bytes, more than the {tensors.MOST_BYTES} that a checkpoint may have"
            )
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); correct the path") from error


def _tensors(path: Path, content: bytes) -> Tensors:
    try:
        return tensors.read(content)[0]
    except ValueError as error:
        remedy = "write it by safetensors.torch.save_file(model.state_dict(), …)"
        raise CheckpointError(f"{path}: {error}; {remedy}") from None


def _keep(digest: str, content: bytes) -> None:
    """Put the file into the node's cache, unless it is there."""
    path = _cached(digest)
    try:
        if path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")), whole(path) as file:
            file.write(content)
    except OSError as error:
        raise CheckpointError(
            f"{path}: the cache cannot be written ({error}); set DTCBENCH_CACHE_DIR to a folder that can be"
        ) from error


def _cached(digest: str) -> Path:
    return cache.folder() / "weights" / f"{digest}.safetensors"
