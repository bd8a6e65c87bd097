"""Sealed files: a record's canonical JSON with its SHA-256, `{"record": …, "sha256": …}`."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, TypeVar

from pydantic import ValidationError

from dtcbench.records.record import CellRecord, Outline, Tabled

_SEALED = re.compile(rb'\{"record":(\{.*\}),"sha256":"([0-9a-f]{64})"\}\n', re.DOTALL)
"""A sealed file as `seal` writes it: the record's canonical JSON, and its digest."""
R = TypeVar("R", CellRecord, Tabled, Outline)


class UnknownSchemaError(ValueError):
    """A record whose seal holds, but whose content this version of dtcbench does not know."""


def seal(record: dict[str, Any]) -> bytes:
    """A record's JSON values with the SHA-256 of their canonical form."""
    text = _canonical(record)
    return f'{{"record":{text},"sha256":"{_digest(text)}"}}\n'.encode("ascii")


def unseal(content: bytes) -> CellRecord:
    """The record in a sealed file's content. ValueError says what is wrong with it."""
    return unsealed(content, CellRecord)


def unsealed(content: bytes, kind: type[R]) -> R:
    """The record in a sealed file's content, or its outline. ValueError says what is wrong with it."""
    try:
        if (sealed := _SEALED.fullmatch(content)) and hashlib.sha256(sealed[1]).hexdigest() == sealed[2].decode():
            return kind.model_validate_json(sealed[1])
        return kind.model_validate(_meant(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UnknownSchemaError(f"not a record of this version of dtcbench: {place}: {first['msg']}") from None


def _meant(content: bytes) -> Any:
    """The record in a sealed file that may have been written by other means: its seal is of what the JSON means."""
    try:
        sealed = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("truncated or not JSON") from None
    if not isinstance(sealed, dict) or set(sealed) != {"record", "sha256"}:
        raise ValueError("not a sealed record")
    try:
        digest = _digest(_canonical(sealed["record"]))
    except RecursionError:
        raise ValueError("nested far too deeply") from None
    if digest != sealed["sha256"]:
        raise ValueError("altered: its content does not match its seal")
    return sealed["record"]


def _canonical(record: Any) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
