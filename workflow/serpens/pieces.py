"""Columns of a table that are read as often as needed, a piece at a time, so that what is held does not grow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

# A column: numbers and times as NumPy arrays; text as an object array with None, or as Arrow has it.
Column = Any
Columns = Mapping[str, Column]

# Values that are held at once: up to so many a column is looked at as a whole.
HELD_CELLS = 8_000_000


@dataclass(frozen=True)
class Pieces:
    """A table that lies in a file, or in memory.

    Attributes
    ----------
    n_rows
        Rows of all pieces.
    read
        Given names of columns and ``every``, yields these columns of every so-many-th piece, beginning with the first.
        The pieces depend on the rows alone.
    """

    n_rows: int
    read: "Callable[[Sequence[str] | None, int], Iterator[pa.RecordBatch]]"

    def columns(self, names: Sequence[str] | None = None, every: int = 1) -> Iterator[dict[str, Column]]:
        """Yield columns by name; text stays as Arrow has it."""
        for batch in self.read(names, every):
            yield {name: _readable(batch.column(name)) for name in batch.schema.names}

    def whole(self, name: str) -> NDArray[Any]:
        """Return a column in one array."""
        found = [_as_numpy(columns[name]) for columns in self.columns([name])]
        return np.concatenate(found) if found else np.zeros(0)


def held(columns: Columns) -> Pieces:
    """Return columns in memory as one piece."""
    import pyarrow as pa

    batch = pa.record_batch({name: pa.array(values) for name, values in columns.items()})
    return Pieces(batch.num_rows, lambda names, every: iter([batch if names is None else batch.select(list(names))]))


def _readable(values: "pa.Array") -> Column:
    import pyarrow as pa

    kind = values.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        return _as_numpy(values)
    return values


def _as_numpy(values: Column) -> NDArray[Any]:
    return values if isinstance(values, np.ndarray) else np.asarray(values.to_numpy(zero_copy_only=False))
