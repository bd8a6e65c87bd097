"""The networks of Hugging Face's transformers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from dtcbench.errors import UserError
from dtcbench.models.packages import (
    Arguments,
    Package,
    Pixels,
    constructed,
    fit_images,
    fitted_shape,
    give_logits,
    needs,
    refuse_arguments,
    refuse_unknown,
)
from dtcbench.models.shapes import text_length
from dtcbench.registry import register_model

TRANSFORMERS = Package(
    "transformers",
    {"architecture": "gpt2", "arguments": {"n_embd": 48, "n_layer": 2, "n_head": 3, "initializer_range": 0.2}},
)
_FROM_DATA = ("vocab_size", "num_labels", "id2label", "label2id", "num_channels", "image_size")
_PLAIN = {"attn_implementation": "eager", "experts_implementation": "eager"}
_OF_TIMM = ("timm_wrapper", "timm_backbone")
"""Architectures that have timm build a network: by name, or from the Hub or a folder."""
_NO_TOKEN = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
"""No token of the data is a padding, which torch's embeddings would not train."""
_NOT_READ = ("model_type", "transformers_version", "torch_dtype", "dtype", "use_cache", "_num_labels")
"""Fields of a `config.json` that decide nothing here, beside those of the data."""
_NOTES = ("_name_or_path", "_commit_hash", "_attn_implementation_autoset", *_PLAIN, *(f"_{name}" for name in _PLAIN))
"""Fields, at any depth of a `config.json`, that are about the machine that wrote it."""


def resolve(path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `transformers` with the content of the `config.json` at `path` in the place of its name.

    UserError if it is not the configuration of an architecture.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON file ({error}); name a config.json of transformers") from error
    if given.get("architecture"):
        raise UserError(f"{path} names the architecture itself; remove `architecture: {given['architecture']}`")
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UserError(f"{path}: has no model_type; name a config.json of transformers")
    dropped = {*_NOT_READ, *_FROM_DATA, *_NO_TOKEN}
    fields = {name: value for name, value in _without_notes(config).items() if name not in dropped}
    return {
        **{option: value for option, value in given.items() if option != "config"},
        "architecture": config["model_type"],
        "arguments": {**fields, **given.get("arguments", {})},
    }


def _without_notes(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_notes(inner) for name, inner in value.items() if name not in _NOTES}
    return [_without_notes(inner) for inner in value] if isinstance(value, list) else value


@register_model("transformers")
@needs(TRANSFORMERS)
def transformers(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    generator: torch.Generator,
    architecture: str = "",
    arguments: Arguments = {},  # noqa: B006 - never changed
    config: str = "",
    size: Pixels = 0,
) -> nn.Module:
    """A network of Hugging Face's transformers, such as `{name: transformers, config: my-llama.json}`.

    Token ids [b, T], int64 -> logits [b, T, num_classes] of each next token, by the architecture's causal class; or
    images [b, C, H, W] -> [b, num_classes]. The data decide vocabulary, positions, classes, channels and image size.
    There is no cache and no padding; attention and experts are written out, as fused kernels do not give the same bits
    everywhere.

    Parameters
    ----------
    architecture : a `model_type` of transformers, such as `llama`
    arguments : fields of its configuration, such as `{hidden_size: 64, num_hidden_layers: 2}`; `architectures: [CLASS]`
        names another class than the data would
    config : a `config.json` in the place of both; planning puts its content there, so that a cell's key holds it
    size : pixels a side that images are brought to (bilinear) before the network sees them; 0 leaves them
    """
    package = TRANSFORMERS.module()
    if config:
        raise UserError(f"model transformers: {config} is not read yet; plan it from a suite, or give its content")
    refuse_unknown("transformers", architecture, package.CONFIG_MAPPING.keys())
    settings_of, is_text = package.CONFIG_MAPPING[architecture], len(input_shape) == 1
    taken = (*_FROM_DATA, *_NO_TOKEN, "model_type")
    refuse_arguments("transformers", arguments, {*taken, *_aliases(settings_of, taken)})
    network_of = _class(package, settings_of, arguments.get("architectures"), is_text)
    of_data: dict[str, Any]
    if is_text:
        positions = _positions(settings_of, arguments, text_length("transformers", input_shape))
        of_data = {"vocab_size": num_classes, **positions}
    else:
        channels, *sides = fitted_shape("transformers", input_shape, size)
        side = sides[0] if sides[0] == sides[1] else sides
        of_data = {"num_labels": num_classes, "num_channels": channels, "image_size": side}
    settings = settings_of(**{**arguments, **_NO_TOKEN, **of_data, **_PLAIN})
    for name, value in {"use_cache": False, "is_decoder": is_text, "return_dict": True}.items():
        if hasattr(settings, name):
            setattr(settings, name, value)
    _check(_parts(settings))
    network = constructed(partial(network_of, settings), generator)
    _check(module.config for module in network.modules() if _is_configuration(getattr(module, "config", None)))
    give_logits(network)
    if not is_text:
        fit_images(network, size)
    elif "position_ids" in inspect.signature(network.forward).parameters:
        network.register_forward_pre_hook(_with_positions, with_kwargs=True)
    return network


def _class(package: ModuleType, settings_of: Any, named: Any, is_text: bool) -> Callable[..., nn.Module]:
    """The class of the network: of texts the one that predicts each next token, of images the one that classifies."""
    mapping = package.MODEL_FOR_CAUSAL_LM_MAPPING if is_text else package.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    found = {network.__name__: network for network in _several(mapping.get(settings_of, ()))}
    if not found:
        task, such = ("predicts the next token", "gpt2 or llama") if is_text else ("classifies images", "vit")
        has_two = is_text and settings_of in package.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
        why = ", as it has an encoder and a decoder for two texts, and a sample here is one text" if has_two else ""
        raise UserError(
            f"model transformers: no network of {settings_of.model_type} {task}{why}; choose another architecture, "
            f"such as {such}"
        )
    wanted = named[0] if isinstance(named, list) and len(named) == 1 else next(iter(found))
    if wanted not in found:
        data = "texts, which have no labels but their next tokens" if is_text else "images with a class each"
        raise UserError(
            f"model transformers: architectures {named} does not fit the data, {data}; write "
            f"[{'] or ['.join(found)}], or leave it out"
        )
    return found[wanted]


def _aliases(settings_of: Any, fields: Collection[str]) -> set[str]:
    """The other names that the architecture has for some of the fields, such as `n_words` of XLM for `vocab_size`."""
    return {name for pair in settings_of.attribute_map.items() if {*pair} & {*fields} for name in pair}


def _is_configuration(value: object) -> bool:
    return hasattr(value, "model_type") and hasattr(value, "_attn_implementation")


def _parts(settings: Any) -> Iterator[Any]:
    """A configuration, and those in it of its parts."""
    yield settings
    for value in vars(settings).values():
        if _is_configuration(value):
            yield from _parts(value)


def _check(configurations: Iterable[Any]) -> None:
    """UserError for a network of timm, which goes where its name leads, and for attention or experts that are fused."""
    for settings in configurations:
        if settings.model_type in _OF_TIMM:
            raise UserError(f"model transformers: {settings.model_type} is a network of timm; choose model timm")
        for name, plain in _PLAIN.items():
            if (found := getattr(settings, f"_{name}", plain)) != plain:
                raise UserError(
                    f"model transformers: {settings.model_type} has {name} {found!r}, not {plain!r}, so that its "
                    "numbers would not be reproducible; remove what sets it, or choose another architecture"
                )


def _several(networks: Any) -> tuple[type, ...]:
    return networks if isinstance(networks, tuple) else (networks,)


def _positions(settings_of: Any, arguments: Arguments, length: int) -> dict[str, int]:
    """As many positions as a text of the data has, if the arguments state no number; UserError if they state fewer."""
    names = settings_of.attribute_map
    own = names.get("max_position_embeddings", "max_position_embeddings")
    stated = {name: value for name, value in arguments.items() if names.get(name, name) == own}
    for name, value in stated.items():
        if isinstance(value, int) and 0 <= value < length:
            raise UserError(
                f"model transformers: {name} {value} for texts of {length} tokens; raise it to {length}, leave it out, "
                f"or write context: {value} in the data set"
            )
    return {} if stated else {own: length}


def _with_positions(
    _network: nn.Module, inputs: tuple[torch.Tensor], named: dict[str, Any]
) -> tuple[tuple[torch.Tensor], dict[str, Any]]:
    """Tell the positions: some networks would count those tokens alone that are not their padding."""
    (tokens,) = inputs
    return inputs, {**named, "position_ids": torch.arange(tokens.shape[1], device=tokens.device)[None]}
