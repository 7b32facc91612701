"""Tables that are read piece by piece, so that what a job holds does not grow with what it reads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

Piece = TypeVar("Piece")
Made = TypeVar("Made")


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
    rows
        How many there are, where that is known without reading them.
    pick
        Returns the stream of some of the columns, where that spares reading the others.
    start
        Returns so many of the first rows, or all; None without any. Where that spares reading a whole piece.
    """

    schema: "pa.Schema"
    batches: "Callable[[], Iterator[pa.RecordBatch]]"
    rows: int | None = None
    pick: "Callable[[Sequence[str]], Stream] | None" = None
    start: "Callable[[int], pa.RecordBatch | None] | None" = None

    def head(self, n: int) -> "pa.RecordBatch | None":
        """Return first rows, ``n`` at most; None without any."""
        if self.start is not None:
            return self.start(n)
        first = next(self.batches(), None)
        return None if first is None else first.slice(0, n)

    def select(self, names: Sequence[str]) -> "Stream":
        """Return the stream of these columns."""
        import pyarrow as pa

        if self.pick is not None:
            return self.pick(names)
        schema = pa.schema([self.schema.field(name) for name in names])
        return Stream(schema, lambda: (batch.select(names) for batch in self.batches()), self.rows)


def whole(table: "pa.Table") -> Stream:
    """Return a table in memory as a stream."""
    return Stream(
        table.schema, lambda: iter(table.to_batches()), table.num_rows, lambda names: whole(table.select(names))
    )


def regrouped(batches: "Iterable[pa.RecordBatch | pa.Table]", n_rows: int) -> "Iterator[pa.Table]":
    """Yield the rows in tables of ``n_rows`` each, the last of which may be shorter, whatever pieces they come in."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    held = 0
    for batch in batches:
        piece = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        start = 0
        while held + piece.num_rows - start >= n_rows:
            end = start + n_rows - held
            yield pa.concat_tables([*waiting, piece.slice(start, end - start)])
            waiting, held, start = [], 0, end
        if start < piece.num_rows:
            waiting.append(piece.slice(start))
            held += piece.num_rows - start
    if held:
        yield pa.concat_tables(waiting)


def ahead(make: Callable[[Piece], Made], pieces: Iterable[Piece], threads: int) -> Iterator[Made]:
    """Yield what is made of each piece, in their order; up to ``threads`` are worked on while the caller uses one.

    Arrow and NumPy work outside of Python's lock, so threads are enough.
    """
    if threads < 2:
        yield from map(make, pieces)
        return
    with ThreadPoolExecutor(threads) as pool:
        working: deque[Future[Made]] = deque()
        try:
            for piece in pieces:
                working.append(pool.submit(make, piece))
                if len(working) > threads:
                    yield working.popleft().result()
            while working:
                yield working.popleft().result()
        finally:
            for each in working:
                each.cancel()
