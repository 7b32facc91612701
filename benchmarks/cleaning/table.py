"""Write a messy table: ``python table.py ROWS FILE``. 30 columns, about 250 bytes a row.

Numbers with blanks around them, gaps written in several words and as -9.99, quoted words with commas, rows without a
target, and one row in a hundred twice.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NUMBERS = tuple(f"x{place}" for place in range(24))
LEVELS = {"site": ("Oslo", "Lima", "Pune", "Graz", "Kyiv"), "kind": tuple(f"kind {place}" for place in range(12))}
NOTES = ("plain", '"a, quoted"', '"he said ""no"""', "x;y")
GAPS = ("", "", "", "", " ", "NA", "?", "n/a", "null", "-9.99")
AT_ONCE = 250_000


def write(path: Path, rows: int) -> None:
    """Write the table; the same rows for the same number."""
    rng = np.random.default_rng(1)
    with path.open("wb") as file:
        for start in range(0, rows, AT_ONCE):
            piece = _piece(rng, min(AT_ONCE, rows - start), start)
            if not start:
                file.write(",".join(piece.column_names).encode() + b"\n")
            lines = pc.binary_join_element_wise(*(column.combine_chunks() for column in piece.columns), ",")
            file.write("\n".join([*lines.to_pylist(), ""]).encode())


def _piece(rng: np.random.Generator, n: int, start: int) -> pa.Table:
    ids = pc.utf8_lpad(pa.array(np.arange(start, start + n)).cast(pa.string()), 9, "0")
    columns: dict[str, Any] = {"id": pc.binary_join_element_wise("P", ids, "")}
    for place, name in enumerate(NUMBERS):
        values = rng.normal(50, 20, n) if place % 4 else rng.integers(0, 5000, n).astype(float)
        words = pa.array(np.round(values, (0, 3, 5, 6)[place % 4])).cast(pa.string())
        gaps = pa.array(np.array(GAPS)[rng.integers(0, len(GAPS), n)])
        words = pc.if_else(pa.array(rng.random(n) < 0.04), gaps, words)
        columns[name] = _blanks(rng, words, n)
    for name, levels in LEVELS.items():
        columns[name] = _blanks(rng, pa.array(np.array([*levels, "NA"])[rng.integers(0, len(levels) + 1, n)]), n)
    days = np.datetime64("2010-01-01") + rng.integers(0, 4000, n).astype("timedelta64[D]")
    columns["day"] = pa.array(days).cast(pa.string())
    columns["note"] = pa.array(np.array(NOTES)[rng.integers(0, len(NOTES), n)])
    columns["outcome"] = pa.array(np.array(["yes", "no", " yes", ""])[rng.choice(4, n, p=[0.3, 0.66, 0.03, 0.01])])
    table = pa.table(columns)
    twice = n // 100
    once = table.slice(0, n - twice)
    again = once.take(pa.array(rng.choice(n - twice, twice, replace=False)))
    return pa.concat_tables([once, again]).take(pa.array(rng.permutation(n)))


def _blanks(rng: np.random.Generator, words: pa.Array, n: int) -> pa.Array:
    blank = pa.array(np.where(rng.random(n) > 0.9, " ", "").astype(object), pa.string())
    return pc.binary_join_element_wise(blank, words, blank, "")


if __name__ == "__main__":
    write(Path(sys.argv[2]), int(sys.argv[1]))
