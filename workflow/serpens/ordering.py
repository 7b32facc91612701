"""Sorting a table that may be larger than memory: its rows are dealt to files by ranges of their keys, and each sorted.

What comes out depends on the rows alone, not on the order in which they came or on where the ranges were cut.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serpens.streams import ahead

# Values that are sorted in memory at once.
RANGE_CELLS = 8_000_000


# A piece of the table, parted by ranges.
Parts = list[pa.Table]


class Dealt(Protocol):
    """Rows dealt to ranges of their keys, to be had once; what they wait in is given back with the context."""

    schema: pa.Schema

    @property
    def n_ranges(self) -> int:
        """How many ranges there are."""

    def ordered(self, threads: int = 1) -> Iterator[pa.Table]:
        """Yield the rows of each range in order."""

    def __enter__(self) -> "Dealt": ...

    def __exit__(self, *_: object) -> None: ...


def n_ranges(n_rows: int, n_columns: int) -> int:
    """Return into how many ranges a table of this size is dealt."""
    return max(1, math.ceil(n_rows * n_columns / RANGE_CELLS))


def in_order(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Return a table sorted by its keys."""
    return table.take(pc.sort_indices(table, [(key, "ascending") for key in keys])).combine_chunks()


class Cuts:
    """Where ranges of keys begin.

    Parameters
    ----------
    at
        Table of the keys at which ranges begin, in order, without the first; its columns are the keys, the first one
        to be compared first. None of their values is missing.
    """

    def __init__(self, at: pa.Table) -> None:
        self.at = at
        self.keys: list[str] = at.column_names

    @classmethod
    def of(cls, sample: pa.Table, n: int) -> "Cuts":
        """Return where a sample of keys falls into ``n`` ranges of equal size."""
        ordered = in_order(sample, sample.column_names)
        return cls(ordered.take([len(ordered) * place // n for place in range(1, n)] if len(ordered) else []))

    @property
    def n_ranges(self) -> int:
        """How many ranges there are."""
        return len(self.at) + 1

    def deal(self, table: pa.Table, rows: NDArray[np.bool_] | None = None) -> Parts:
        """Part a piece of the table by ranges; may be called from any thread.

        Parameters
        ----------
        rows
            Those that are dealt, where not all are: keys of others may be missing.
        """
        if rows is not None and rows.all():
            rows = None
        if self.n_ranges == 1:
            return [table if rows is None else table.filter(pa.array(rows))]
        keys = table.select(self.keys)
        place = self._places(keys if rows is None else keys.filter(pa.array(rows)))
        order = np.argsort(place, kind="stable")
        # what is left out is not copied before
        dealt = table.take(pa.array(order if rows is None else np.flatnonzero(rows)[order]))
        ends = np.searchsorted(place[order], np.arange(self.n_ranges + 1))
        return [dealt.slice(low, high - low) for low, high in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]

    def _places(self, table: pa.Table) -> NDArray[np.int64]:
        """Return the range of each row: how many cuts are not above its keys, found by bisection."""
        low = np.zeros(len(table), dtype=np.int64)
        high = np.full(len(table), len(self.at), dtype=np.int64)
        own = [table.column(key) for key in self.keys]
        for _ in range(len(self.at).bit_length()):
            middle = (low + high) // 2
            at = pa.array(np.minimum(middle, len(self.at) - 1))
            above = self._not_before(own, [self.at.column(key).take(at) for key in self.keys])
            open_ = low < high
            low = np.where(open_ & above, middle + 1, low)
            high = np.where(open_ & ~above, middle, high)
        return low

    def _not_before(self, own: list[pa.ChunkedArray], cut: list[pa.ChunkedArray]) -> NDArray[np.bool_]:
        """Return whether each row's keys are at least those of its cut."""
        found = np.ones(len(own[0]), dtype=bool)
        for mine, other in zip(reversed(own), reversed(cut), strict=True):
            equal = np.asarray(pc.equal(mine, other))
            found = np.asarray(pc.greater(mine, other)) | (equal & found)
        return found


class Ranges:
    """Rows dealt to ranges of their keys, which wait in files, or in memory where there is one range.

    Parameters
    ----------
    cuts
        Where ranges begin.
    folder
        Where the files are; they are removed with the context.
    """

    def __init__(self, schema: pa.Schema, cuts: Cuts, folder: Path) -> None:
        self.schema = schema
        self.cuts = cuts
        self.files = [folder / f"{place}.arrow" for place in range(cuts.n_ranges)]
        self.writers: list[pa.RecordBatchStreamWriter] = []
        self.here: list[pa.Table] = []
        if cuts.n_ranges > 1:
            folder.mkdir(parents=True, exist_ok=True)
            self.writers = [pa.ipc.new_stream(str(path), schema) for path in self.files]

    def __enter__(self) -> "Ranges":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        for path in self.files:
            path.unlink(missing_ok=True)

    def _close(self) -> None:
        for writer in self.writers:
            writer.close()
        self.writers = []

    @property
    def n_ranges(self) -> int:
        """How many ranges there are."""
        return len(self.files)

    def add(self, parts: Parts) -> None:
        """Keep what was dealt."""
        if not self.writers:
            self.here += parts
        for writer, part in zip(self.writers, parts, strict=False):
            if part.num_rows:
                writer.write_table(part)

    def ordered(self, threads: int = 1) -> Iterator[pa.Table]:
        """Yield the rows of each range in order, once all were added."""
        if not self.writers:
            here, self.here = self.here, []
            yield in_order(pa.concat_tables(here) if here else self.schema.empty_table(), self.cuts.keys)
            return
        self._close()
        yield from ahead(self._load, self.files, threads)

    def _load(self, path: Path) -> pa.Table:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            table = in_order(reader.read_all(), self.cuts.keys)
        path.unlink()
        return table
