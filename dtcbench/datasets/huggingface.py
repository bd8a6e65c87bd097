"""Folders that Hugging Face `datasets` wrote by `save_to_disk`, read by pyarrow: no code of the data set runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from dtcbench.datasets.folder import LARGEST, Embedded, naming
from dtcbench.datasets.splits import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

_SPLITS, _FILES = "dataset_dict.json", "state.json"
"""What names the splits of a `DatasetDict`, and the files of a `Dataset`."""


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / _SPLITS).is_file() or (folder / _FILES).is_file()


def tables(folder: Path) -> list[pa.Table]:
    """The splits train and test; or the only split there is.

    Raises
    ------
    DatasetError : names the folder or file that cannot be read, and the remedy
    """
    if not (folder / _SPLITS).is_file():
        return [_table(folder)]
    with naming(folder / _SPLITS, "cannot be read", "save the data set anew with save_to_disk"):
        splits = [str(name) for name in json.loads((folder / _SPLITS).read_text())["splits"]]
    wanted = [name for name in ("train", "test") if name in splits] if len(splits) > 1 else splits
    if not wanted or wanted == ["test"]:
        raise DatasetError(f"{folder}: has the splits {', '.join(splits)}; save it with train and test, or train alone")
    return [_table(_inside(folder, name)) for name in wanted]


def is_of_images(table: pa.Table, column: str) -> bool:
    """Whether the column holds encoded images, as the feature `Image` keeps them: their bytes and a path."""
    kind = table.schema.field(column).type
    return {kind.field(index).name for index in range(kind.num_fields)} == {"bytes", "path"}


def embedded(folder: Path, table: pa.Table, column: str) -> list[Embedded]:
    """The encoded images of a column. A path is never followed: DatasetError if the bytes are not in the table."""
    cells = table[column].to_pylist()
    for row, cell in enumerate(cells):
        if not cell or not cell["bytes"]:
            raise DatasetError(
                f"{folder}: {column}, row {row + 1}: holds no image, or only its path; save the data set anew with the "
                "images in it"
            )
    return [Embedded(f"{folder}: {column}, row {row + 1}", cell["bytes"]) for row, cell in enumerate(cells)]


def _table(folder: Path) -> pa.Table:
    import pyarrow as pa

    batches, size = [], 0
    with naming(folder, "cannot be read", "save the data set anew with save_to_disk"):
        names = [file["filename"] for file in json.loads((folder / _FILES).read_text())["_data_files"]]
        for name in names:
            with pa.ipc.open_stream(pa.memory_map(str(_inside(folder, name)))) as stream:
                for batch in stream:
                    batches.append(batch)
                    size += batch.nbytes
                    if size > LARGEST:
                        raise ValueError(f"holds more than {LARGEST >> 30} GiB")
        table = pa.Table.from_batches(batches)
        table.validate(full=True)
    return table


def _inside(folder: Path, name: str) -> Path:
    """The file or folder of that name; a name that leads elsewhere is refused."""
    if name != Path(name).name or name == "..":
        raise DatasetError(f"{folder}: names {name}, which is not in it; save the data set anew with save_to_disk")
    return folder / name
