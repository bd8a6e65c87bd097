"""Parquet read with care: flat columns of plain types, and no more of them than fit into memory.

What a file says of itself is not believed: rows are counted as they come.
"""

from __future__ import annotations

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

MOST_BYTES = 4 * 2**30
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


def frame(content: bytes) -> pd.DataFrame:
    """The table in a Parquet file; ValueError says why there is none that can be used."""
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
            if taken > MOST_BYTES:
                raise ValueError(f"its table takes more than {MOST_BYTES / 2**30:g} GiB")
            batches.append(batch)
        return pa.Table.from_batches(batches, schema)
