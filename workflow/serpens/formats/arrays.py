"""NumPy's files: an array of two dimensions, a structured one, or several of one length in an ``.npz``.

Columns are called after the fields; else ``x`` or, in an ``.npz``, as the array, with ``_0``, ``_1`` and so on where it
has two dimensions. Arrays are mapped, not read whole; those of an ``.npz`` are unpacked into a temporary folder.
Pickled objects are refused: reading one runs what it says.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serpens.errors import DataError, listed
from serpens.formats.registry import Read
from serpens.formats.tables import columns_of, not_as_named, piece, rows_at_once, schema_of, values_of
from serpens.streams import Stream

KIND = "a file of NumPy"
Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
"""Shape, whether columns lie together, type."""


def open_table(path: str, read: Read) -> Stream:
    """Return the table.

    Raises
    ------
    DataError
        If the file is none of NumPy's, holds pickled objects, or is no table.
    """
    headers = _headers(path)
    schema = _schema(path, headers)
    at_once, rows = rows_at_once(len(schema)), _rows(path, headers)

    def batches() -> Iterator[pa.RecordBatch]:
        with _mapped(path) as arrays:
            for start in range(0, rows, at_once):
                blocks = [array[start : start + at_once] for array in arrays.values()]
                yield piece(path, schema, [values for block in blocks for values in values_of(block)])

    return Stream(schema, batches)


def header(path: str, read: Read) -> list[str]:
    """Return the names of the columns, from what stands before the values."""
    names: list[str] = _schema(path, _headers(path)).names
    return names


def count(path: str, read: Read) -> int:
    """Return the length of the arrays."""
    return _rows(path, _headers(path))


def _rows(path: str, headers: Mapping[str, Header]) -> int:
    lengths = {name: shape[0] for name, (shape, _, _) in headers.items()}
    if len(set(lengths.values())) > 1:
        found = listed(f"{name!r} has {rows}" for name, rows in lengths.items())
        msg = f"{path}: arrays of one table must have one number of rows; {found}"
        raise DataError(msg)
    return next(iter(lengths.values()), 0)


def _schema(path: str, headers: Mapping[str, Header]) -> pa.Schema:
    columns: list[tuple[str, np.dtype[Any]]] = []
    for name, (shape, _, dtype) in headers.items():
        if dtype.hasobject:
            msg = (
                f"{path}: arrays must hold numbers or words; {name!r} holds pickled objects, whose reading would run "
                "code: write them with a type of NumPy's"
            )
            raise DataError(msg)
        if not shape:
            msg = f"{path}: an array must have rows; {name!r} is a single value"
            raise DataError(msg)
        own = "" if dtype.names else name
        columns += columns_of(path, own, dtype, shape[1:])
    return schema_of(path, columns)


def _headers(path: str) -> dict[str, Header]:
    """Return what each array says of itself before its values."""
    with _refused(path):
        if path.endswith(".npy"):
            with Path(path).open("rb") as file:
                return {"x": _header(file)}
        found = {}
        with ZipFile(path) as archive:
            for member in archive.namelist():
                with archive.open(member) as packed:
                    found[member.removesuffix(".npy")] = _header(packed)
        return found


def _header(file: Any) -> Header:
    version = np.lib.format.read_magic(file)
    shape, columns_together, dtype = (
        np.lib.format.read_array_header_1_0(file) if version == (1, 0) else np.lib.format.read_array_header_2_0(file)
    )
    return shape, columns_together, dtype


@contextmanager
def _mapped(path: str) -> Iterator[dict[str, NDArray[Any]]]:
    with _refused(path), TemporaryDirectory() as folder:
        if path.endswith(".npy"):
            yield {"x": np.load(path, mmap_mode="r", allow_pickle=False)}
            return
        arrays = {}
        with ZipFile(path) as archive:
            for place, member in enumerate(archive.namelist()):
                unpacked = Path(folder, f"{place}.npy")
                with archive.open(member) as packed, unpacked.open("wb") as file:
                    shutil.copyfileobj(packed, file)
                arrays[member.removesuffix(".npy")] = np.load(unpacked, mmap_mode="r", allow_pickle=False)
        yield arrays


@contextmanager
def _refused(path: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, EOFError, BadZipFile) as err:
        raise not_as_named(path, KIND, err) from err
