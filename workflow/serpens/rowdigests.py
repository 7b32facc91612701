"""Rows as pairs of numbers, what a row is called and what it holds, sorted and compared in pieces.

A table of any size is digested, sorted and compared in the memory of a few pieces.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serpens.streams import Stream

if TYPE_CHECKING:
    import pyarrow as pa

# Rows that are sorted at once.
SORTED_ROWS = 500_000
# 64 bits of the name, among which even 16 million rows have no two alike; 32 of the content, which are compared alone.
PAIR = np.dtype([("name", "<u8"), ("content", "<u4")])

Pairs = NDArray[Any]


def digested(frame: pd.DataFrame, name: str, leave_out: Sequence[str] = ()) -> Pairs:
    """Return the digests of some rows.

    Parameters
    ----------
    name
        Column that says what a row is called.
    leave_out
        Columns that are no part of what it holds.

    Returns
    -------
    pairs
        (n,) of ``PAIR``, in the order of the rows.
    """
    content = np.zeros(len(frame), dtype=np.uint64)
    for column in sorted(set(frame.columns) - {name, *leave_out}):
        # the order of columns counts, so that values that swap places are a change
        content = (content ^ _hashes(frame[column])) * np.uint64(0x9E3779B97F4A7C15)
        content ^= content >> np.uint64(29)
    pairs = np.empty(len(frame), dtype=PAIR)
    pairs["name"] = _hashes(frame[name])
    pairs["content"] = content >> np.uint64(32)
    return pairs


def _hashes(values: "pd.Series[Any]") -> NDArray[np.uint64]:
    array = values.to_numpy()
    if array.dtype.kind == "f":
        # one zero, and one that is missing
        array = np.where(np.isnan(array), np.nan, array + 0.0)
    elif array.dtype.kind == "M":
        array = array.astype("datetime64[us]")
    elif array.dtype.kind != "b":
        array = array.astype(object)
    hashed: NDArray[np.uint64] = pd.util.hash_array(array)
    return hashed


def scheme() -> str:
    """Return what tells whether digests of another time were made as they are now."""
    values = pd.DataFrame({"row": ["serpens"], "x": [1.5], "t": [np.datetime64("2000-01-01", "us")], "f": [True]})
    return digested(values, "row").tobytes().hex()


def sort(pieces: Iterable[Pairs], n_rows: int, scratch: Path) -> Stream:
    """Return pairs by rising name, piece by piece.

    Parameters
    ----------
    n_rows
        About how many there are.
    scratch
        Folder for what lies there until the stream has been read; of ``PAIR``'s 12 bytes a row.
    """
    import pyarrow as pa

    # names are evenly spread: their first bits part them into files of about the same size
    bits = max(0, (n_rows - 1) // SORTED_ROWS).bit_length()
    files = [scratch / f"{part:04d}" for part in range(1 << bits)]
    for pairs in pieces:
        place = pairs["name"] >> np.uint64(64 - bits) if bits else np.zeros(len(pairs), dtype=np.uint64)
        for part in np.unique(place):
            with files[part].open("ab") as file:
                file.write(pairs[place == part].tobytes())

    def batches() -> "Iterator[pa.RecordBatch]":
        for path in files:
            if path.exists():
                pairs = np.fromfile(path, dtype=PAIR)
                pairs = pairs[np.argsort(pairs["name"], kind="stable")]
                yield pa.record_batch([pa.array(pairs["name"].copy()), pa.array(pairs["content"].copy())], schema)

    schema = pa.schema({"name": pa.uint64(), "content": pa.uint32()})
    return Stream(schema, batches)


def compare(then: Stream, now: Stream) -> tuple[int, int, int]:
    """Return how many rows came, went, and hold something else, of two streams by rising name."""
    added = removed = changed = 0
    olds, news = _pairs(then), _pairs(now)
    old, new = next(olds, None), next(news, None)
    while old is not None and new is not None:
        # up to the smaller of the two last names both pieces are complete
        limit = min(old["name"][-1], new["name"][-1])
        n_old, n_new = (int(np.searchsorted(each["name"], limit, side="right")) for each in (old, new))
        _, i, j = np.intersect1d(old["name"][:n_old], new["name"][:n_new], assume_unique=True, return_indices=True)
        removed += n_old - len(i)
        added += n_new - len(j)
        changed += int((old["content"][i] != new["content"][j]).sum())
        old, new = old[n_old:], new[n_new:]
        old = old if len(old) else next(olds, None)
        new = new if len(new) else next(news, None)
    removed += (0 if old is None else len(old)) + sum(map(len, olds))
    added += (0 if new is None else len(new)) + sum(map(len, news))
    return added, removed, changed


def _pairs(stream: Stream) -> Iterator[Pairs]:
    pieces = (
        batch.slice(start, SORTED_ROWS) for batch in stream.batches() for start in range(0, len(batch), SORTED_ROWS)
    )
    for batch in pieces:
        pairs = np.empty(len(batch), dtype=PAIR)
        for name in ("name", "content"):
            pairs[name] = batch.column(name).to_numpy()
        yield pairs
