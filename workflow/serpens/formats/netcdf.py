"""NetCDF: each cell of the chosen variables a row, with a column for each coordinate.

A variable on time, lat and lon becomes rows in this order of dimensions, the last one changing fastest. A dimension
without a coordinate is the number of the cell along it. Times are decoded, fill values are missing.
"""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
import xarray as xr
from numpy.typing import NDArray

from serpens.errors import DataError, listed
from serpens.formats.registry import Read
from serpens.formats.tables import not_as_named, piece, rows_at_once, schema_of
from serpens.streams import Stream

CLASSIC = b"CDF"
Block = dict[Hashable, slice]


def open_table(path: str, read: Read) -> Stream:
    """Return the table.

    Raises
    ------
    DataError
        If the file is no NetCDF, a variable is not there, or the variables lie on different dimensions.
    """
    with _opened(path) as dataset:
        variables = _chosen(path, dataset, read)
        columns = _columns(dataset, variables)
        schema = schema_of(path, [(name, dtype) for name, _, dtype in columns])
        shape, dims = dataset[variables[0]].shape, dataset[variables[0]].dims

    def batches() -> Iterator[pa.RecordBatch]:
        with _opened(path) as dataset:
            for block in _blocks(dims, shape, rows_at_once(len(schema))):
                yield piece(path, schema, [_flat(dataset, name, dims, block) for _, name, _ in columns])

    return Stream(schema, batches)


def header(path: str, read: Read) -> list[str]:
    """Return the names of coordinates and variables."""
    with _opened(path) as dataset:
        columns = _columns(dataset, _chosen(path, dataset, read))
    names: list[str] = schema_of(path, [(name, dtype) for name, _, dtype in columns]).names
    return names


def count(path: str, read: Read) -> int:
    """Return the number of cells."""
    with _opened(path) as dataset:
        return prod(dataset[_chosen(path, dataset, read)[0]].shape)


@contextmanager
def _opened(path: str) -> Iterator[xr.Dataset]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            engine = "scipy" if file.read(len(CLASSIC)) == CLASSIC else "h5netcdf"
        with xr.open_dataset(path, engine=engine, decode_timedelta=False, cache=False) as dataset:
            yield dataset
    except (OSError, RuntimeError, ValueError, TypeError, IndexError) as err:
        raise not_as_named(path, "NetCDF", err) from err


def _chosen(path: str, dataset: xr.Dataset, read: Read) -> list[str]:
    """Return the variables that become columns: those that are named, or all where they share their dimensions."""
    there = [str(name) for name, variable in dataset.data_vars.items() if variable.dims]
    every = [*there, *(str(name) for name in dataset.coords)]
    described = listed(f"{name} ({', '.join(map(str, dataset[name].dims))})" for name in there) or "none"
    wanted = list(read.get("variables", there))
    if absent := [name for name in wanted if name not in every]:
        msg = f"{path}: read.variables must be variables of the file; there are {described}, found {absent[0]!r}"
        raise DataError(msg)
    if not wanted:
        msg = f"{path}: there must be a variable with dimensions; there is none"
        raise DataError(msg)
    if len({frozenset(dataset[name].dims) for name in wanted}) > 1:
        msg = (
            f"{path}: the variables of one table must have the same dimensions; there are {described}: "
            "set read: {variables: [...]}"
        )
        raise DataError(msg)
    return wanted


def _columns(dataset: xr.Dataset, variables: list[str]) -> list[tuple[str, str, np.dtype[Any]]]:
    """Return name, source and type of each column: dimensions, other coordinates on them, then the variables."""
    dims = dataset[variables[0]].dims
    indices = [(str(dim), str(dim), dataset[dim].dtype) for dim in dims]
    others = [name for name, values in dataset.coords.items() if name not in dims and set(values.dims) <= set(dims)]
    known = [str(name) for name in (*others, *variables) if name not in dims]
    return indices + [(name, name, dataset[name].dtype) for name in dict.fromkeys(known)]


def _blocks(dims: tuple[Hashable, ...], shape: tuple[int, ...], at_once: int) -> Iterator[Block]:
    """Yield the parts of an array, in the order of its cells, each of at most ``at_once`` cells."""
    axis = next((axis for axis in range(len(shape)) if prod(shape[axis + 1 :]) <= at_once), len(shape) - 1)
    step = max(1, at_once // max(1, prod(shape[axis + 1 :])))
    for outer in product(*map(range, shape[:axis])):
        for start in range(0, shape[axis], step):
            block = {dim: slice(place, place + 1) for dim, place in zip(dims, outer, strict=False)}
            yield block | {dims[axis]: slice(start, start + step)}


def _flat(dataset: xr.Dataset, name: str, dims: tuple[Hashable, ...], block: Block) -> NDArray[Any]:
    """Return the values of a variable or a coordinate in a block, one for each of its cells."""
    shape = tuple(len(range(dataset.sizes[dim])[block.get(dim, slice(None))]) for dim in dims)
    variable = dataset[name]
    part = variable[{dim: block[dim] for dim in variable.dims if dim in block}]
    own = [dim for dim in dims if dim in part.dims]
    values = part.transpose(*own).to_numpy()
    spread = values.reshape([shape[place] if dim in own else 1 for place, dim in enumerate(dims)])
    found: NDArray[Any] = np.broadcast_to(spread, shape).ravel()
    return found
