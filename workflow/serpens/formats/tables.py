"""What readers of tables share: names of columns, how much is read at once, NumPy's values as Arrow's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serpens.errors import DataError, listed

CELLS = 1_000_000
"""Values that are held at once, whatever the file's size."""


def rows_at_once(n_columns: int) -> int:
    """Return how many rows make a piece of a table."""
    return max(1, CELLS // max(1, n_columns))


def check_names(path: str, names: Sequence[str]) -> None:
    """Refuse a table without columns, a column without a name, and two columns of one name.

    Raises
    ------
    DataError
        If there is one.
    """
    if not names:
        msg = f"{path}: there must be at least one column; there is none"
        raise DataError(msg)
    for place, name in enumerate(names, start=1):
        if not name.strip():
            msg = f"{path}: every column must have a name; column {place} of {len(names)} has none"
            raise DataError(msg)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        msg = f"{path}: a column name must occur once; {listed(map(repr, twice))} occurs more often"
        raise DataError(msg)


def not_as_named(path: str, kind: str, err: Exception) -> DataError:
    """Return the error for a file that is not what its name says."""
    return DataError(f"{path}: must be {kind}, as its name says; {err}")


def plain(schema: pa.Schema) -> pa.Schema:
    """Return a schema without what other programs noted in it."""
    return pa.schema([field.remove_metadata() for field in schema])


def columns_of(path: str, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> list[tuple[str, np.dtype[Any]]]:
    """Return the columns that an array becomes: its fields, or ``name``, or ``name_0``, ``name_1`` and so on.

    Parameters
    ----------
    shape
        Of one row: empty for an array of one dimension.

    Raises
    ------
    DataError
        If a row of it is no list of values.
    """
    if dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape = (*shape, *inner)
    if len(shape) > 1 or (dtype.names and shape):
        dims = len(shape) + 1
        msg = f"{path}: a table has rows and columns; {name!r} has {dims} dimensions: write it with one row a sample"
        raise DataError(msg)
    if dtype.names:
        assert dtype.fields is not None
        within = [(f"{name}.{part}" if name else part, dtype.fields[part][0]) for part in dtype.names]
        return [column for inner_name, field in within for column in columns_of(path, inner_name, field, ())]
    return [(f"{name}_{place}", dtype) for place in range(shape[0])] if shape else [(name, dtype)]


def values_of(block: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the values of each of these columns in some rows."""
    if block.dtype.names:
        return [values for part in block.dtype.names for values in values_of(block[part])]
    return list(np.ascontiguousarray(block.T)) if block.ndim == 2 else [block]


def arrow_type(path: str, name: str, dtype: np.dtype[Any]) -> pa.DataType:
    """Return what holds values of a NumPy type.

    Raises
    ------
    DataError
        If nothing does that a table may hold.
    """
    if dtype.kind in "OSU":
        return pa.string()
    if dtype.kind == "M":
        unit = np.datetime_data(dtype)[0]
        return pa.timestamp(unit if unit in ("s", "ms", "us", "ns") else "s")
    try:
        return pa.from_numpy_dtype(dtype.newbyteorder("="))
    except pa.ArrowNotImplementedError as err:
        msg = f"{path}: a column must hold numbers, times or words; {name!r} holds {dtype}: leave it out of the file"
        raise DataError(msg) from err


def arrow_values(path: str, name: str, values: NDArray[Any], type_: pa.DataType) -> pa.Array:
    """Return values of a column as Arrow's.

    Raises
    ------
    DataError
        If a word is not UTF-8.
    """
    if pa.types.is_string(type_):
        try:
            words = [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]
        except UnicodeDecodeError as err:
            msg = f"{path}: words must be UTF-8; column {name!r} holds {err.object!r}"
            raise DataError(msg) from err
        return pa.array(words, type_, from_pandas=True)
    if pa.types.is_timestamp(type_):
        values = values.astype(f"datetime64[{type_.unit}]")
    return pa.array(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")), type_)


def schema_of(path: str, columns: Sequence[tuple[str, np.dtype[Any]]]) -> pa.Schema:
    """Return the schema of columns of NumPy's types, whose names are checked.

    Raises
    ------
    DataError
        As :func:`check_names` and :func:`arrow_type`.
    """
    check_names(path, [name for name, _ in columns])
    return pa.schema([(name, arrow_type(path, name, dtype)) for name, dtype in columns])


def piece(path: str, schema: pa.Schema, columns: Sequence[NDArray[Any]]) -> pa.RecordBatch:
    """Return some rows of a table.

    Raises
    ------
    DataError
        As :func:`arrow_values`.
    """
    arrays = [arrow_values(path, field.name, values, field.type) for field, values in zip(schema, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
