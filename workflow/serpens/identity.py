"""What a row is called: by its id, its time, or a digest of its values."""

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from serpens.columns import number_as_text, time_as_text

# Stands for a missing value of any type, so that a row's text does not depend on the type of the column.
NOTHING = "\x00"
SEPARATOR = "\x1f"
# Between these Arrow writes a number that is not whole as Python does.
PLAIN = 1e-4, 1e14


def row_digests(table: pa.Table) -> pa.Array:
    """Return 16 hexadecimal digits of the sha256 of each row's values, columns in order of their names."""
    texts = [as_text(table.column(name).combine_chunks()) for name in sorted(table.column_names)]
    rows = pc.binary_join_element_wise(*texts, SEPARATOR).cast(pa.binary()).to_pylist()
    return pa.array([hashlib.sha256(row).hexdigest()[:16] for row in rows], pa.string())


def as_text(values: pa.Array) -> pa.Array:
    """Return each value as a person writes it; the text of a value depends on no other."""
    if pa.types.is_boolean(values.type):
        return pc.if_else(values, "True", "False")
    if pa.types.is_timestamp(values.type):
        return _by_value(values, lambda moment: time_as_text(pd.Timestamp(moment))).fill_null(NOTHING)
    if pa.types.is_floating(values.type):
        return _numbers(values).fill_null(NOTHING)
    return values.cast(pa.string()).fill_null(NOTHING)


def _by_value(values: pa.Array, text: "object") -> pa.Array:
    once = values.dictionary_encode()
    texts = pa.array([text(value) for value in once.dictionary.to_numpy(zero_copy_only=False)], pa.string())  # type: ignore[operator]
    return texts.take(once.indices)


def _numbers(values: pa.Array) -> pa.Array:
    """Return numbers as :func:`serpens.columns.number_as_text` does, as many as possible at once."""
    numbers = values.fill_null(0.0).to_numpy()
    size = np.abs(numbers)
    whole = (size < PLAIN[1]) & (numbers == np.rint(numbers))
    texts = pc.if_else(
        pa.array(whole),
        pa.array(np.where(whole, numbers, 0).astype(np.int64)).cast(pa.string()),
        values.cast(pa.string()),
    )
    odd = ~whole & ((size < PLAIN[0]) | (size >= PLAIN[1]))
    if odd.any():
        rare = pa.array([number_as_text(number) for number in numbers[odd].tolist()], pa.string())
        texts = pc.replace_with_mask(texts, pa.array(odd), rare)
    return pc.if_else(values.is_valid(), texts, pa.scalar(None, pa.string()))
