"""Feather and Arrow files (IPC): columns as they lie in memory, read a record batch at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from serpens.errors import DataError
from serpens.formats.registry import Read
from serpens.formats.tables import check_names, not_as_named, plain, rows_at_once
from serpens.streams import Stream

FILE, FIRST_FEATHER = b"ARROW1", b"FEA1"
KIND = "an Arrow file"
# of a file, whose record batches can be asked for by number, or of a stream
Source = Any


def open_table(path: str, read: Read) -> Stream:
    """Return the table.

    Raises
    ------
    DataError
        If the file is none of Arrow, or damaged.
    """
    with _opened(path) as source:
        schema = plain(source.schema)
    check_names(path, schema.names)
    at_once = rows_at_once(len(schema))

    def batches() -> Iterator[pa.RecordBatch]:
        with _opened(path) as source:
            for batch in _stored(source):
                whole = pa.RecordBatch.from_arrays(batch.columns, schema=schema)
                for start in range(0, len(whole), at_once):
                    yield whole.slice(start, at_once)

    return Stream(schema, batches)


def header(path: str, read: Read) -> list[str]:
    """Return the names in the file's schema."""
    with _opened(path) as source:
        names: list[str] = source.schema.names
    check_names(path, names)
    return names


def count(path: str, read: Read) -> int:
    """Add up the rows of the record batches, which are mapped and not read."""
    with _opened(path) as source:
        return sum(len(batch) for batch in _stored(source))


def _stored(source: Source) -> Iterator[pa.RecordBatch]:
    if isinstance(source, pa.ipc.RecordBatchFileReader):
        yield from map(source.get_batch, range(source.num_record_batches))
    else:
        yield from source


@contextmanager
def _opened(path: str) -> Iterator[Source]:
    try:
        with pa.memory_map(path) as file:
            start = file.read(len(FILE))
            file.seek(0)
            if start.startswith(FIRST_FEATHER):
                msg = (
                    f"{path}: must be Feather of version 2; it is of version 1, which is no longer read: write it anew"
                )
                raise DataError(msg)
            yield pa.ipc.open_file(file) if start == FILE else pa.ipc.open_stream(file)
    except (pa.ArrowException, OSError, ValueError) as err:
        raise not_as_named(path, KIND, err) from err
