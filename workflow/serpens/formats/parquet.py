"""Parquet: columns with their types, read a part of a row group at a time."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from serpens.formats.registry import Read
from serpens.formats.tables import check_names, not_as_named, plain, rows_at_once
from serpens.streams import Stream

BUFFER_BYTES = 1 << 20
FAULTS = (pa.ArrowException, OSError, ValueError)


def open_table(path: str, read: Read) -> Stream:
    """Return the table.

    Raises
    ------
    DataError
        If the file is no Parquet, or damaged.
    """
    schema = _schema(path)
    at_once = rows_at_once(len(schema))

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            # a buffer, and nothing read ahead, or the first rows would take whole columns into memory; not by name,
            # which fails on a column name that occurs twice before we can say so
            with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=at_once):
                    yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
        except FAULTS as err:
            raise not_as_named(path, "Parquet", err) from err

    return Stream(schema, batches)


def header(path: str, read: Read) -> list[str]:
    """Return the names in the file's footer."""
    names: list[str] = _schema(path).names
    return names


def count(path: str, read: Read) -> int:
    """Return the number of rows in the file's footer."""
    _schema(path)
    return int(pq.read_metadata(path).num_rows)


def _schema(path: str) -> pa.Schema:
    try:
        schema = plain(pq.read_schema(path))
    except FAULTS as err:
        raise not_as_named(path, "Parquet", err) from err
    check_names(path, schema.names)
    return schema
