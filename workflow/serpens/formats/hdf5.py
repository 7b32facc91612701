"""HDF5: a dataset, or the datasets of a group.

Datasets of one dimension are columns, the fields of a compound type too; one of two dimensions becomes ``name_0``,
``name_1`` and so on. Rows are read a block at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serpens.errors import DataError, listed
from serpens.formats.registry import Read
from serpens.formats.tables import columns_of, not_as_named, piece, rows_at_once, schema_of, values_of
from serpens.streams import Stream


class Part(NamedTuple):
    """A dataset that holds some of the columns."""

    place: str
    columns: list[tuple[str, np.dtype[Any]]]
    rows: int


def open_table(path: str, read: Read) -> Stream:
    """Return the table.

    Raises
    ------
    DataError
        If the file is no HDF5, it is not said which of several datasets is meant, or it is no table.
    """
    parts = _parts(path, read)
    schema = schema_of(path, [column for part in parts for column in part.columns])
    at_once, rows = rows_at_once(len(schema)), parts[0].rows

    def batches() -> Iterator[pa.RecordBatch]:
        with opened(path, "HDF5") as file:
            for start in range(0, rows, at_once):
                blocks: list[NDArray[Any]] = [file[part.place][start : start + at_once] for part in parts]
                yield piece(path, schema, [values for each in blocks for values in values_of(each)])

    return Stream(schema, batches)


def header(path: str, read: Read) -> list[str]:
    """Return the names of the columns, from the types of the datasets."""
    columns = [column for part in _parts(path, read) for column in part.columns]
    names: list[str] = schema_of(path, columns).names
    return names


def count(path: str, read: Read) -> int:
    """Return the length of the datasets."""
    return _parts(path, read)[0].rows


@contextmanager
def opened(path: str, kind: str) -> Iterator[h5py.File]:
    """Open a file for reading.

    Raises
    ------
    DataError
        If it is no HDF5, or what is read of it is damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as err:
        raise not_as_named(path, kind, err) from err


def _parts(path: str, read: Read) -> list[Part]:
    with opened(path, "HDF5") as file:
        every = datasets(file)
        there = f"there are {listed(each.name for each in every)}" if every else "there is none"
        wanted = read.get("dataset")
        if wanted is None:
            if len(every) != 1:
                msg = f"{path}: it must be said which dataset is meant; {there}: set read: {{dataset: ...}}"
                raise DataError(msg)
            chosen = every
        elif wanted not in file:
            msg = f"{path}: read.dataset must be one of the datasets, or a group of them; {there}, found {wanted!r}"
            raise DataError(msg)
        elif isinstance(file[wanted], h5py.Dataset):
            chosen = [file[wanted]]
        else:
            chosen = [each for each in file[wanted].values() if isinstance(each, h5py.Dataset)]
            if not chosen:
                msg = f"{path}: the group {wanted!r} must hold datasets; it holds none; {there}"
                raise DataError(msg)
        parts = [_part(path, each) for each in chosen]
    lengths = {part.place: part.rows for part in parts}
    if len(set(lengths.values())) > 1:
        found = listed(f"{place} has {rows}" for place, rows in lengths.items())
        msg = (
            f"{path}: datasets of one table must have one number of rows; {found}: name one with read: {{dataset: ...}}"
        )
        raise DataError(msg)
    return parts


def _part(path: str, dataset: h5py.Dataset) -> Part:
    if not dataset.shape:
        msg = f"{path}: a dataset must have rows; {dataset.name} is a single value"
        raise DataError(msg)
    name = "" if dataset.dtype.names else dataset.name.rpartition("/")[2]
    shape = dataset.shape[1:]
    return Part(dataset.name, columns_of(path, name, dataset.dtype, shape), dataset.shape[0])


def datasets(group: h5py.Group) -> list[h5py.Dataset]:
    """Return all datasets of a file or a group, in order of their paths."""
    found: list[h5py.Dataset] = []
    group.visititems(lambda _, each: found.append(each) if isinstance(each, h5py.Dataset) else None)
    return sorted(found, key=lambda each: str(each.name))
