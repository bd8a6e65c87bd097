"""Records of older schema versions, brought up to this one: the same numbers under a new key and a new seal.

Up to schema version 5, every option of a cell was part of its key, defaults included. Since then an option at its
default is not, so that a new option leaves keys as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from dtcbench.plan.cell import Cell, Choice, canonical_json
from dtcbench.plan.names import REGISTERED, Declared, Names, NamesOfRuns
from dtcbench.plan.protocol import PROTOCOLS, defaults
from dtcbench.record import OLDER, SCHEMA_VERSION, CellRecord
from dtcbench.records.location import AnyPath, StoreError
from dtcbench.records.sealing import SchemaError, opened
from dtcbench.records.store import Store
from dtcbench.records.writer import Writer
from dtcbench.text import error_line

OLD_VERSIONS = (4, 5)
"""Schema versions that `migrated` reads."""
_SINCE_5 = ("dataset_sha256", "source_sha256")
"""Of the provenance, what version 4 lacks."""


def migrated(content: bytes, names: Names) -> CellRecord | None:
    """The record in a sealed file of an older schema version as this version has it; None if it is of this version.

    Its old key, seal and schema version are kept in `migrations`.

    Parameters
    ----------
    names : what the names in the record's run mean

    Raises
    ------
    ValueError : the file is damaged
    SchemaError : the record is sound, and cannot be migrated
    """
    old, seal = opened(content)
    version = old.get("schema_version")
    if version == SCHEMA_VERSION:
        return None
    if version not in OLD_VERSIONS:
        known = ", ".join(map(str, (*OLD_VERSIONS, SCHEMA_VERSION)))
        raise SchemaError(f"schema version {version!r}; this dtcbench knows {known}")
    try:
        return _renewed(old, seal, names)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record of schema version {version}: {error_line(error)}") from None


def _renewed(old: dict[str, Any], seal: str, names: Names) -> CellRecord:
    if old["key"] != hashlib.sha256(canonical_json(old["cell"]).encode("ascii")).hexdigest():
        raise ValueError(f"key {old['key'][:12]} is not the key of the cell it holds")
    cell = _cell(old["cell"], names)
    former = {"key": old["key"], "sha256": seal, "schema_version": old["schema_version"]}
    new = {**old, "schema_version": SCHEMA_VERSION, "key": cell.key, "cell": cell, "migrations": [former]}
    if old["provenance"] is not None:
        new["provenance"] = _explained(old["provenance"])
    return CellRecord.model_validate(new)


def migrate(writer: Writer, names: Names) -> Iterator[str]:
    """Put the migrated record in the place of each older one of a run; yields what was done.

    StoreError, before anything is changed, if one of them cannot be migrated.
    """
    store = writer.store
    known = NamesOfRuns([names, REGISTERED])  # a suite that was cut down no longer declares all that was run
    damaged = dict(_damaged(store, known))
    if isinstance(names, Declared):
        writer.save_names(migrated_names(names))  # before the records, so that a migration cut short goes on
    count = 0
    for file, content in store.sealed():
        if file in damaged:
            yield f"{file}: damaged, left as it is: {damaged[file]}"
        elif (record := migrated(content, known)) is not None:
            writer.replace(file, record)
            count += 1
    if count == 0:
        yield f"{store.root}: no record is older than schema version {SCHEMA_VERSION}"
    else:
        yield f"{store.root}: {count} records brought up to schema version {SCHEMA_VERSION}, each under a new key"


def _damaged(store: Store, names: Names) -> Iterator[tuple[AnyPath, str]]:
    """The damaged record files, and why each is damaged; StoreError names a sound one that cannot be migrated."""
    for file, content in store.sealed():
        try:
            migrated(content, names)
        except SchemaError as error:
            raise StoreError(f"{file}: {error}") from None
        except ValueError as error:
            yield file, str(error).partition("\n")[0]


def migrated_names(names: Declared) -> Declared:
    """A run's declaration as this version writes it."""
    chosen = {
        noun: [Choice.of(one.name, one.version, one.values, names.meaning(noun, one.name).defaults) for one in choices]
        for noun, choices in names.chosen.items()
    }
    return names.model_copy(update={"chosen": chosen})


def _cell(old: dict[str, Any], names: Names) -> Cell:
    axes: dict[str, Any] = {
        noun: old[noun] and _choice(noun, old[noun]["name"], old[noun]["options"], names)
        for noun in ("model", "dataset", "method", "solver")
    }
    return Cell(protocol=_protocol(old["protocol"]), **axes, sparsity=old["sparsity"], seed=old["seed"])


def _choice(noun: str, name: str, values: dict[str, Any], names: Names) -> Choice:
    if name not in names.known(noun):
        raise SchemaError(
            f"{noun} {name!r} is not known, and so neither are its defaults; load its plug-in with --plugin"
        )
    return Choice.of(name, 1, values, names.meaning(noun, name).defaults)


def _protocol(old: dict[str, Any]) -> Choice:
    values = {name: value for name, value in old["options"].items() if name != "version"}
    return Choice.of(old["name"], old["options"]["version"], values, defaults(PROTOCOLS[old["name"]]))


def _explained(provenance: dict[str, Any]) -> dict[str, Any]:
    """The provenance with a reason for each field that its schema version did not have."""
    lacking = [name for name in _SINCE_5 if name not in provenance]
    reasons = provenance.get("reasons", {}) | dict.fromkeys(lacking, OLDER)
    return {**provenance, **dict.fromkeys(lacking), "reasons": reasons}
