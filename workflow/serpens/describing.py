"""What cleaned rows hold: columns described, and the content digested, while the rows pass by."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serpens.dataartefacts import Histogram
from serpens.distinct import Distinct
from serpens.spellings import same_but_spelling

HISTOGRAM_BINS, SHOWN_LEVELS = 20, 12
# Of a category with more levels than this the most frequent ones are not told.
MAX_COUNTED = 10_000


@dataclass
class Description:
    """A column as it is kept; those of pieces add up, in their order, to that of the column.

    Attributes
    ----------
    range
        Least and greatest value of the whole column, for numbers and times.
    squares
        Sum of squared differences from the mean.
    levels
        How often each word occurs; None where there are too many.
    """

    type: pa.DataType
    range: tuple[float, float] = (0.0, 0.0)
    rows: int = 0
    known: int = 0
    mean: float = 0.0
    squares: float = 0.0
    distinct: Distinct = field(default_factory=Distinct)
    levels: Counter[str] | None = field(default_factory=Counter)
    edges: tuple[float, ...] = ()
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(HISTOGRAM_BINS, dtype=np.int64))

    def of(self, values: pa.Array) -> "Description":
        """Return the description of a piece of the column."""
        piece = replace(self, rows=len(values), known=len(values) - values.null_count)
        if not piece.known:
            return piece
        known = values.drop_null() if values.null_count else values
        piece.distinct = Distinct()
        piece.distinct.add(known, known=self.distinct)
        if pa.types.is_string(self.type):
            found = known.value_counts()
            few = len(found) <= MAX_COUNTED
            counted = zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True) if few else ()
            piece.levels = Counter(dict(counted)) if few else None
        elif pa.types.is_floating(self.type):
            x = known.to_numpy()
            piece.mean = float(x.mean())
            piece.squares = float(np.square(x - piece.mean).sum())
            counts, edges = np.histogram(x, bins=HISTOGRAM_BINS, range=self.range)
            piece.counts, piece.edges = counts.astype(np.int64), tuple(edges.tolist())
        return piece

    def merge(self, piece: "Description") -> None:
        """Add the next piece.

        References
        ----------
        Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", The American Statistician 37.
        """
        self.rows += piece.rows
        if not piece.known:
            return
        total = self.known + piece.known
        shift = piece.mean - self.mean
        self.mean += shift * (piece.known / total)
        self.squares += piece.squares + shift * shift * (self.known * piece.known / total)
        self.known = total
        self.distinct.merge(piece.distinct)
        self.counts = self.counts + piece.counts
        self.edges = piece.edges
        if self.levels is not None:
            self.levels = None if piece.levels is None else self.levels + piece.levels
            if self.levels is not None and len(self.levels) > MAX_COUNTED:
                self.levels = None

    def entry(self) -> dict[str, Any]:
        """Return the fields of a :class:`serpens.dataartefacts.ColumnAccount` that the values fill."""
        said: dict[str, Any] = {"missing": self.rows - self.known, "distinct": self.distinct.n}
        said["distinct_exact"] = self.distinct.exact
        if not self.known:
            return said | ({"levels": ()} if pa.types.is_string(self.type) else {})
        if pa.types.is_floating(self.type):
            histogram = Histogram(edges=self.edges, counts=tuple(self.counts.tolist()))
            said |= {"min": self.range[0], "max": self.range[1], "mean": self.mean}
            return said | {"sd": float(np.sqrt(self.squares / self.known)), "histogram": histogram}
        if pa.types.is_timestamp(self.type):
            low, high = (pd.Timestamp(int(end), unit="us").isoformat() for end in self.range)
            return said | {"min": low, "max": high}
        if self.levels is None:
            return said
        frequent = sorted(self.levels.items(), key=lambda item: (-item[1], item[0]))
        return said | {
            "levels": tuple(frequent[:SHOWN_LEVELS]),
            "spellings": same_but_spelling(level for level, _ in frequent),
        }


def digest_of(table: pa.Table) -> bytes:
    """Return the sha256 of a table's values, the same however they are stored."""
    content = hashlib.sha256()
    for name in sorted(table.column_names):
        content.update(f"\x1d{name}\x1e{len(table)}\x1e".encode())
        for part in _bytes(table.column(name).combine_chunks()):
            content.update(part)
    return content.digest()


def _bytes(values: pa.Array) -> list[Any]:
    """Return a column as bytes that depend on its values alone."""
    if pa.types.is_string(values.type):
        text = values.fill_null("")
        size = pc.if_else(values.is_valid(), pc.binary_length(text), -1)
        return [np.ascontiguousarray(size.to_numpy()), *_data(text)]
    if pa.types.is_boolean(values.type):
        return [values.cast(pa.uint8()).to_numpy()]
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64()).fill_null(np.iinfo(np.int64).min)
        return [np.ascontiguousarray(values.to_numpy())]
    return [np.ascontiguousarray(values.fill_null(np.nan).to_numpy())]


def _data(text: pa.Array) -> list[Any]:
    offsets = np.frombuffer(text.buffers()[1], dtype=np.int32)[text.offset : text.offset + len(text) + 1]
    data = text.buffers()[2]
    return [] if data is None or not len(text) else [memoryview(data)[offsets[0] : offsets[-1]]]
