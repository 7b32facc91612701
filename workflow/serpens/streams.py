"""Tables that are read piece by piece, so that what a job holds does not grow with what it reads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Stream:
    """A table in pieces.

    Attributes
    ----------
    schema
        Names and types of the columns; what a text file holds is text.
    batches
        Reads the table from its start, each time that it is called; every piece has this schema. What is wrong with
        the data raises :class:`serpens.errors.DataError` from here or from the iterator.
    """

    schema: "pa.Schema"
    batches: "Callable[[], Iterator[pa.RecordBatch]]"


def whole(table: "pa.Table") -> Stream:
    """Return a table in memory as a stream."""
    return Stream(table.schema, lambda: iter(table.to_batches()))
