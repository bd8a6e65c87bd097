"""Named tensors in a safetensors file that may come from a stranger: read with care, put into a network they fit.

The format holds names, types, shapes and bytes, and no code (https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

MOST_BYTES = 2**32
"""Of a file, and of the network that it is put into."""
MOST_HEADER_BYTES = 2**24
"""Of the part that names the tensors: a hundred thousand of them."""
_LENGTH = 8
"""Bytes of the header's length, at the beginning of the file."""
_METADATA = "__metadata__"
Tensors = dict[str, torch.Tensor]


def read(content: bytes) -> tuple[Tensors, dict[str, str]]:
    """The tensors in a safetensors file, by name, and its metadata. ValueError says why the file cannot be used."""
    metadata = _header(content).get(_METADATA, {})
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:  # KeyError: a type torch lacks
        raise ValueError(f"not a safetensors file: {_first_line(error)}") from None
    return tensors, metadata


def written(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file. With one entry of metadata at most, the same tensors give the same bytes."""
    # Copies, as the format holds no two tensors that share memory, which tied weights do.
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    return safetensors.torch.save(plain, dict(metadata))


def load_into(network: nn.Module, tensors: Tensors) -> None:
    """Give the network these values of all its parameters and buffers. Of tied ones, one name is enough.

    On torch's meta device, where tensors have no values, they are only compared. ValueError names a tensor that the
    network lacks or is not given, or whose shape or type is another, with the one found and the one wanted; or two
    names of one tensor that are given different values.
    """
    wanted = network.state_dict(keep_vars=True)
    first = {id(tensor): name for name, tensor in reversed(wanted.items()) if name in tensors}
    for name in tensors:
        if name not in wanted:
            raise ValueError(f"tensor {name}: the network has none of this name; it has {_some(list(wanted))}")
    for name, tensor in wanted.items():
        if name not in tensors:
            if id(tensor) in first:
                continue
            raise ValueError(f"tensor {name}: none of this name found, one of shape {list(tensor.shape)} wanted")
        found = tensors[name]
        if found.shape != tensor.shape:
            raise ValueError(f"tensor {name}: shape {list(found.shape)} found, {list(tensor.shape)} wanted")
        if found.dtype != tensor.dtype:
            kinds = [str(one.dtype).removeprefix("torch.") for one in (found, tensor)]
            raise ValueError(f"tensor {name}: {kinds[0]} found, {kinds[1]} wanted")
        if not torch.equal(found, tensors[tied := first[id(tensor)]]):
            raise ValueError(
                f"tensors {tied} and {name}: two values found for one tensor, which the network has under both names; "
                "untie the network, as by tie_word_embeddings: false, or give a checkpoint that ties them"
            )
    if not any(tensor.is_meta for tensor in wanted.values()):
        network.load_state_dict(tensors, strict=False)


def sha256(named: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the tensors with their names, types and shapes, in the order of their names."""
    layout = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in named.items()}
    digest = hashlib.sha256(json.dumps(layout, sort_keys=True).encode())
    for name in sorted(named):
        digest.update(named[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def size(network: nn.Module) -> int:
    """Bytes of the network's parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def _header(content: bytes) -> dict[str, dict[str, str]]:
    length = int.from_bytes(content[:_LENGTH], "little")
    if len(content) < _LENGTH or length > len(content) - _LENGTH:
        raise ValueError(f"truncated: a header of {length} bytes, in a file of {len(content)}")
    if length > MOST_HEADER_BYTES:
        raise ValueError(f"a header of {length} bytes, more than the {MOST_HEADER_BYTES} that a file may have")
    try:
        header = json.loads(content[_LENGTH : _LENGTH + length])
    except (ValueError, RecursionError):
        raise ValueError("not a safetensors file: its header is not JSON") from None
    if not isinstance(header, dict) or not isinstance(header.get(_METADATA, {}), dict):
        raise ValueError("not a safetensors file: its header is not a mapping")
    return header


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
