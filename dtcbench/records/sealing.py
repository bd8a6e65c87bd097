"""Sealed files: a record's canonical JSON with its SHA-256, `{"record": …, "sha256": …}`."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from pydantic import ValidationError

from dtcbench.plan.cell import canonical_json
from dtcbench.record import SCHEMA_VERSION, R

_SEALED = re.compile(rb'\{"record":(\{.*\}),"sha256":"([0-9a-f]{64})"\}\n', re.DOTALL)
"""A sealed file as `seal` writes it: the record's canonical JSON, and its digest."""


class SchemaError(ValueError):
    """A sound record that this version of dtcbench does not know; `is_older` if `dtcbench migrate` may help."""

    def __init__(self, message: str, is_older: bool = False) -> None:
        super().__init__(message)
        self.is_older = is_older


def seal(record: dict[str, Any]) -> bytes:
    """A record's JSON values with the SHA-256 of their canonical form."""
    text = canonical_json(record)
    return f'{{"record":{text},"sha256":"{_digest(text)}"}}\n'.encode("ascii")


def unsealed(content: bytes, kind: type[R]) -> R:
    """The record, or a part of it, in a sealed file's content. ValueError says what is wrong with it."""
    try:
        if (sealed := _SEALED.fullmatch(content)) and hashlib.sha256(sealed[1]).hexdigest() == sealed[2].decode():
            return kind.model_validate_json(sealed[1])
        return kind.model_validate(opened(content)[0])
    except ValidationError as error:
        version = opened(content)[0].get("schema_version")
        if isinstance(version, int) and version < SCHEMA_VERSION:
            raise SchemaError(f"schema version {version}, and this dtcbench reads {SCHEMA_VERSION}", True) from None
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SchemaError(f"not a record of this version of dtcbench: {place}: {first['msg']}") from None


def opened(content: bytes) -> tuple[dict[str, Any], str]:
    """The record in a sealed file of any schema version as JSON values, and its seal. ValueError says what is wrong.

    The file may have been written by other means: its seal is of what the JSON means.
    """
    try:
        sealed = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("truncated or not JSON") from None
    if not isinstance(sealed, dict) or set(sealed) != {"record", "sha256"} or not isinstance(sealed["record"], dict):
        raise ValueError("not a sealed record")
    try:
        digest = _digest(canonical_json(sealed["record"]))
    except RecursionError:
        raise ValueError("nested far too deeply") from None
    if digest != sealed["sha256"]:
        raise ValueError("altered: its content does not match its seal")
    return sealed["record"], digest


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
