"""Files that may come from a stranger: listed without following anything out of their folder, Parquet read with care.

Nothing that a file says of itself is believed: a table's rows are counted as they come.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dtcbench.records.location import AnyPath
from dtcbench.records.store import FileKind, file_kind

MOST_FILES = 1_000_000
MOST_BYTES: dict[FileKind | None, int] = {
    "suite": 2**20,
    "names": 2**24,
    "rules": 2**24,
    "looks": 2**24,
    "calibration": 2**20,
    "record": 2**26,
    "trace": 2**28,
    "weights": 2**32,
    "card": 2**20,
    "lock": 2**8,
}
"""Of one file, by its kind."""
MOST_BYTES_OF_ANOTHER = 2**30
MOST_TABLE_BYTES = 4 * 2**30
"""Of a whole table in memory; an hour of samples takes a hundredth of it."""
MOST_COLUMNS = 256
_PLAIN = (
    pa.types.is_floating,
    pa.types.is_integer,
    pa.types.is_boolean,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_null,
)


def listing(root: AnyPath) -> tuple[dict[str, FileKind | None], dict[str, str]]:
    """Every file under `root`, and what must not be read.

    Returns
    -------
    files : by path in the folder, sorted, the file's kind; None if a run has no such file
    unsafe : by path, why it must not be read: a link, a device, its size, …; if there is any, read nothing
    """
    files: dict[str, FileKind | None] = {}
    unsafe: dict[str, str] = {}
    for name, reason in _walk(root, ""):
        if reason is None:
            files[name] = file_kind(name)
        else:
            unsafe[name] = reason
        if len(files) + len(unsafe) > MOST_FILES:
            unsafe[""] = f"more than {MOST_FILES} files; publish it in parts"
            break
    return dict(sorted(files.items())), dict(sorted(unsafe.items()))


def _walk(folder: AnyPath, inside: str) -> Iterator[tuple[str, str | None]]:
    """The files in a folder and, one level down, in its folders: each one's path, and why it must not be read."""
    for path in folder.iterdir():
        name = f"{inside}{path.name}"
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            if inside:
                yield name, "a folder inside a folder, which no run has; remove it"
            else:
                yield from _walk(path, f"{name}/")
        else:
            yield name, _reason(path, name, mode)


def _mode(path: AnyPath) -> int:
    """The mode of the name itself, never of what it points to."""
    if isinstance(path, Path):
        return path.lstat().st_mode
    return stat.S_IFDIR if path.is_dir() else stat.S_IFREG


def _reason(path: AnyPath, name: str, mode: int) -> str | None:
    """Why the file must not be read; None if it may be."""
    if stat.S_ISLNK(mode):
        return "a symbolic link, which may lead out of the folder; put the file itself there"
    if not stat.S_ISREG(mode):
        return "not a plain file; remove it"
    size, most = path.stat().st_size, MOST_BYTES.get(file_kind(name), MOST_BYTES_OF_ANOTHER)
    return f"{size} bytes, more than the {most} that such a file may have" if size > most else None


def read_parquet(content: bytes) -> pd.DataFrame:
    """The table in a Parquet file. ValueError says why it cannot be used."""
    try:
        read: pd.DataFrame = _table(content).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"not a Parquet file: {str(error).partition(chr(10))[0]}") from None
    return read


def _table(content: bytes) -> pa.Table:
    with pq.ParquetFile(io.BytesIO(content)) as file:
        schema = file.schema_arrow
        if len(schema) > MOST_COLUMNS:
            raise ValueError(f"{len(schema)} columns, more than {MOST_COLUMNS}")
        unfit = [field.name for field in schema if not any(is_plain(field.type) for is_plain in _PLAIN)]
        if unfit:
            raise ValueError(f"column {unfit[0]!r} is of type {schema.field(unfit[0]).type}: not a plain one")
        batches, taken = [], 0
        for batch in file.iter_batches():
            taken += batch.nbytes
            if taken > MOST_TABLE_BYTES:
                raise ValueError(f"its table takes more than {MOST_TABLE_BYTES / 2**30:g} GiB")
            batches.append(batch)
        return pa.Table.from_batches(batches, schema)
