"""Records of a text file as a table of words: gathered until there are enough of them for a piece."""

from collections.abc import Iterable, Iterator

import pyarrow as pa

ROWS, CHARACTERS = 50_000, 16_000_000
"""What a piece holds at most; one record is never cut."""


def pieces(records: Iterable[tuple[str | float | None, ...]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield records as pieces of a table."""
    waiting: list[tuple[str | float | None, ...]] = []
    size = 0
    for record in records:
        waiting.append(record)
        size += sum(len(value) for value in record if isinstance(value, str))
        if len(waiting) == ROWS or size >= CHARACTERS:
            yield _piece(waiting, schema)
            waiting, size = [], 0
    if waiting:
        yield _piece(waiting, schema)


def _piece(records: list[tuple[str | float | None, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(values, field.type) for values, field in zip(zip(*records, strict=True), schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
