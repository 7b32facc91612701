"""What cleaned rows hold: columns described, and the content digested, while the rows pass by."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from serpens.artefacts import Histogram
from serpens.distinct import Distinct

HISTOGRAM_BINS, SHOWN_LEVELS = 20, 12
# Of a category with more levels than this the most frequent ones are not told.
MAX_COUNTED = 10_000


class Description:
    """A column as it is kept.

    Parameters
    ----------
    low, high
        Least and greatest value, for numbers and times.

    Notes
    -----
    Mean and standard deviation of pieces are put together as Chan, Golub and LeVeque (1983) do, in the order of the
    pieces.
    """

    def __init__(self, low: float | None, high: float | None) -> None:
        # without them no value will come
        self.range = (low or 0.0, high or 0.0)
        self.rows = 0
        self.known = 0
        self.mean = 0.0
        self.squares = 0.0
        self.distinct = Distinct()
        self.levels: Counter[str] | None = Counter()
        self.counts = np.zeros(HISTOGRAM_BINS, dtype=np.int64)
        self.edges: tuple[float, ...] = ()
        self.type: pa.DataType = pa.null()

    def add(self, values: pa.Array) -> None:
        """Add a piece of the column."""
        self.type = values.type
        self.rows += len(values)
        known = values.drop_null() if values.null_count else values
        if not len(known):
            return
        self.distinct.add(known)
        if pa.types.is_floating(values.type):
            self._add_numbers(known.to_numpy())
        elif pa.types.is_string(values.type) and self.levels is not None:
            found = known.value_counts()
            if len(found) <= MAX_COUNTED:
                self.levels += Counter(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))
            if len(found) > MAX_COUNTED or len(self.levels) > MAX_COUNTED:
                self.levels = None
        self.known += len(known)

    def _add_numbers(self, x: Any) -> None:
        mean = float(x.mean())
        squares = float(np.square(x - mean).sum())
        total = self.known + len(x)
        shift = mean - self.mean
        self.mean += shift * (len(x) / total)
        self.squares += squares + shift * shift * (self.known * len(x) / total)
        counts, edges = np.histogram(x, bins=HISTOGRAM_BINS, range=self.range)
        self.counts += counts
        self.edges = tuple(edges.tolist())

    def entry(self) -> dict[str, Any]:
        """Return the fields of a :class:`serpens.artefacts.ColumnAccount` that the values fill."""
        said: dict[str, Any] = {"missing": self.rows - self.known, "distinct": self.distinct.n}
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
        frequent = sorted(self.levels.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_LEVELS]
        return said | {"levels": tuple(frequent)}


class ContentDigest:
    """sha256 of a table, the same for the same values however they are stored.

    Each table that is added counts with its rows, so tables are to be cut by the rows alone.
    """

    def __init__(self) -> None:
        self.content = hashlib.sha256()

    def add(self, table: pa.Table) -> None:
        """Add rows."""
        for name in sorted(table.column_names):
            self.content.update(f"\x1d{name}\x1e{len(table)}\x1e".encode())
            for part in _bytes(table.column(name).combine_chunks()):
                self.content.update(part)

    def hexdigest(self, known: Mapping[str, Any]) -> str:
        """Return 64 hexadecimal digits for all rows, and what is known of their columns."""
        whole = self.content.copy()
        whole.update(json.dumps(known, sort_keys=True).encode())
        return whole.hexdigest()


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
