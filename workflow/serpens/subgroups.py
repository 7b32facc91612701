"""Scores of subgroups: whom a model serves worse than others."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens.errors import DataError

MISSING = "missing"
# More values of a word than this are no subgroups.
MOST_LEVELS = 20
# Numbers and times are cut into so many subgroups with as many rows each.
N_RANGES = 4

Mask = NDArray[np.bool_]


def of_columns(columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, str, Mask]]:
    """Yield the subgroups of test rows: column, level, and which rows are in it.

    Words are their own levels; numbers and times are cut at the quartiles of the test rows.

    Raises
    ------
    DataError
        If a column of words has too many.
    """
    for name, values in columns.items():
        if values.dtype.kind in "fiuM":
            yield from ((name, level, rows) for level, rows in _ranges(values))
            continue
        words = np.array([MISSING if value is None else str(value) for value in values], dtype=object)
        levels, counts = np.unique(words, return_counts=True)
        if len(levels) > MOST_LEVELS:
            msg = (
                f"subgroups must have at most {MOST_LEVELS} values; column {name!r} has {len(levels):,} among the test "
                "rows: group its values in a column of its own, or leave it out of subgroups"
            )
            raise DataError(msg)
        for level in sorted(levels, key=lambda level: (level == MISSING, -counts[levels == level][0], level)):
            yield name, str(level), words == level


def _ranges(values: NDArray[Any]) -> Iterator[tuple[str, Mask]]:
    gone = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values.astype(np.float64))
    known = values[~gone]
    if len(known):
        different = np.unique(known)
        if len(different) <= N_RANGES:
            yield from ((_text(value), values == value) for value in different)
        else:
            shares = np.linspace(0, 1, N_RANGES + 1)[1:-1]
            cuts = np.unique(np.quantile(known, shares, method="higher"))
            place = np.searchsorted(cuts, values, side="right")
            for number in range(len(cuts) + 1):
                rows = (place == number) & ~gone
                if rows.any():
                    yield f"{_text(values[rows].min())} to {_text(values[rows].max())}", rows
    if gone.any():
        yield MISSING, gone


def _text(value: Any) -> str:
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[s]")).removesuffix("T00:00:00")
    return f"{float(value):.6g}"
