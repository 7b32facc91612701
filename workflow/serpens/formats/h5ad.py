"""AnnData: a row a cell; what is known of cells (``obs``) and what was measured of each gene are the columns.

The matrix is ``raw/X`` if there is one, else ``X``, unless ``read.layer`` says another. One that was scaled over all
cells has learned from the test rows already: a matrix that nobody chose and that holds negative values is refused.
A sparse matrix is read in blocks of rows; one that is stored by columns is first turned in a temporary file.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serpens.errors import DataError, listed
from serpens.formats.hdf5 import opened
from serpens.formats.registry import Read
from serpens.formats.tables import arrow_type, arrow_values, check_names, rows_at_once
from serpens.streams import Stream

KIND = "AnnData"
# Values of a sparse matrix that are turned at once.
ENTRIES = 2_000_000
RAW, MAIN = "raw", "X"
# Where the raw matrix and its genes lie, since AnnData 0.7 and before.
RAW_PLACES = {"raw/X": "raw/var", "raw.X": "raw.var"}
# What AnnData calls an index without a name of its own.
NAMELESS = ("_index", "index")
INDEX = "obs_names"
SCALED = (
    "{path}: the matrix {layer} holds negative values, as after scaling over all cells, by which training would know "
    "the test cells; there are {there}: say which one holds what was measured, with read: {{layer: ...}}"
)
Take = Callable[[int, int], NDArray[Any]]
Rows = Callable[[int, int], pa.Array]


def open_table(path: str, read: Read) -> Stream:
    """Return the table.

    Raises
    ------
    DataError
        If the file is no AnnData, has no such layer, or the matrix looks scaled and was not chosen.
    """
    with opened(path, KIND) as file:
        obs = _obs_columns(path, file)
        genes = _gene_names(path, file, _layer(path, file, read))
        matrix = file[_layer(path, file, read)]
        values = arrow_type(path, MAIN, _dtype(matrix))
        _check(path, [name for name, _, _ in obs], genes)
        schema = pa.schema([*((name, type_) for name, type_, _ in obs), *((gene, values) for gene in genes)])
        n_cells = _n_cells(path, file, matrix, len(genes))
    at_once = rows_at_once(len(schema))

    def batches() -> Iterator[pa.RecordBatch]:
        with opened(path, KIND) as file:
            layer = _layer(path, file, read)
            columns = [take for _, _, take in _obs_columns(path, file)]
            with _dense(path, file[layer]) as take:
                for start in range(0, n_cells, at_once):
                    stop = min(start + at_once, n_cells)
                    dense = take(start, stop)
                    if "layer" not in read and (dense < 0).any():
                        raise DataError(SCALED.format(path=path, layer=layer, there=listed(_layers(file))))
                    arrays = [known(start, stop) for known in columns]
                    arrays += [pa.array(gene, values) for gene in np.ascontiguousarray(dense.T)]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return Stream(schema, batches)


def header(path: str, read: Read) -> list[str]:
    """Return the columns of ``obs`` and the names of the genes."""
    with opened(path, KIND) as file:
        obs = [name for name, _, _ in _obs_columns(path, file)]
        genes = _gene_names(path, file, _layer(path, file, read))
    _check(path, obs, genes)
    return obs + genes


def count(path: str, read: Read) -> int:
    """Return the number of cells."""
    with opened(path, KIND) as file:
        return len(file["obs"][_index(path, file, "obs")])


def _check(path: str, obs: list[str], genes: list[str]) -> None:
    if both := sorted(set(obs) & set(genes)):
        msg = (
            f"{path}: a column of obs and a gene may not have one name; {listed(map(repr, both))} is both: rename the "
            "column of obs"
        )
        raise DataError(msg)
    if len(set(genes)) < len(genes):
        twice = sorted({gene for gene in genes if genes.count(gene) > 1})
        msg = (
            f"{path}: the name of a gene must occur once; {listed(map(repr, twice))} occurs more often: make them "
            "unique (adata.var_names_make_unique())"
        )
        raise DataError(msg)
    check_names(path, obs + genes)


# The matrix.


def _layer(path: str, file: h5py.File, read: Read) -> str:
    """Return the place of the chosen matrix in the file."""
    there = _layers(file)
    wanted = read.get("layer") or next((name for name in (RAW, MAIN) if name in there), None)
    if wanted not in there:
        missing = f"found {wanted!r}" if wanted else "it has neither"
        msg = f"{path}: read.layer must be one of the matrices; there are {listed(there) or 'none'}, {missing}"
        raise DataError(msg)
    return there[str(wanted)]


def _layers(file: h5py.File) -> dict[str, str]:
    """Return the places of the matrices by what the study calls them."""
    own = [(RAW, place) for place in RAW_PLACES] + [(MAIN, MAIN)]
    found = {name: place for name, place in own if place in file}
    return found | {name: f"layers/{name}" for name in file.get("layers", {})}


def _dtype(matrix: h5py.Dataset | h5py.Group) -> np.dtype[Any]:
    found: np.dtype[Any] = matrix["data"].dtype if isinstance(matrix, h5py.Group) else matrix.dtype
    return found


def _shape(matrix: h5py.Dataset | h5py.Group) -> tuple[int, ...]:
    shape = (
        matrix.shape
        if isinstance(matrix, h5py.Dataset)
        else matrix.attrs.get("shape", matrix.attrs.get("h5sparse_shape"))
    )
    return tuple(map(int, shape))


def _by_column(matrix: h5py.Group) -> bool:
    """Return whether a sparse matrix is stored by columns (CSC)."""
    kind = matrix.attrs.get("encoding-type", matrix.attrs.get("h5sparse_format", "csr"))
    return "csc" in (kind.decode() if isinstance(kind, bytes) else str(kind))


def _n_cells(path: str, file: h5py.File, matrix: h5py.Dataset | h5py.Group, n_genes: int) -> int:
    n_cells = len(file["obs"][_index(path, file, "obs")])
    if (shape := _shape(matrix)) != (n_cells, n_genes):
        found = " x ".join(map(str, shape))
        msg = f"{path}: the matrix must have {n_cells} cells x {n_genes} genes, as obs and var have; it has {found}"
        raise DataError(msg)
    return n_cells


@contextmanager
def _dense(path: str, matrix: h5py.Dataset | h5py.Group) -> Iterator[Take]:
    """Yield a function that returns some rows of the matrix, shape (rows, genes)."""
    if isinstance(matrix, h5py.Dataset):
        yield lambda start, stop: matrix[start:stop]
        return
    if not _by_column(matrix):
        yield _rows_of(path, matrix["data"], matrix["indices"], matrix["indptr"][:], _shape(matrix)[1])
        return
    n_entries = matrix["data"].shape[0]
    with TemporaryFile() as data, TemporaryFile() as indices:
        # np.memmap refuses a file of no bytes
        turned = np.memmap(data, matrix["data"].dtype, shape=max(1, n_entries), mode="w+")
        places = np.memmap(indices, np.int32, shape=max(1, n_entries), mode="w+")
        starts = _turned(path, matrix, turned, places)
        yield _rows_of(path, turned, places, starts, _shape(matrix)[1])


def _rows_of(path: str, data: Any, indices: Any, starts: NDArray[Any], n_genes: int) -> Take:
    """Return what reads a sparse matrix by rows: entries of row i lie from ``starts[i]`` to ``starts[i + 1]``."""
    from scipy.sparse import csr_array

    def take(start: int, stop: int) -> NDArray[Any]:
        first, last = int(starts[start]), int(starts[stop])
        found = data[first:last], indices[first:last], starts[start : stop + 1] - first
        try:
            rows = csr_array(found, shape=(stop - start, n_genes))
            rows.check_format(full_check=True)  # or a wrong index would be written beside the array
        except ValueError as err:
            raise _damaged(path, str(err)) from err
        dense: NDArray[Any] = rows.toarray()
        return dense

    return take


def _damaged(path: str, why: str) -> DataError:
    return DataError(f"{path}: the sparse matrix is damaged; {why}: write the file anew")


def _turned(path: str, matrix: h5py.Group, data: NDArray[Any], indices: NDArray[Any]) -> NDArray[np.int64]:
    """Sort the entries of a matrix that is stored by columns by rows; return where each row starts.

    Entries are counted for each row, then each goes to the next free place of its row: two readings of the file, each
    ``ENTRIES`` at a time, so that memory does not grow with the matrix.
    """
    n_rows, n_entries = _shape(matrix)[0], matrix["data"].shape[0]
    column_starts = matrix["indptr"][:]
    n_of_row = np.zeros(n_rows, dtype=np.int64)
    for first in range(0, n_entries, ENTRIES):
        rows = matrix["indices"][first : first + ENTRIES]
        if rows.min() < 0 or rows.max() >= n_rows:
            raise _damaged(path, f"row index values must be >= 0 and < {n_rows}")
        n_of_row += np.bincount(rows, minlength=n_rows)
    starts = np.concatenate([[0], np.cumsum(n_of_row)])
    free = starts[:-1].copy()
    for first in range(0, n_entries, ENTRIES):
        rows = matrix["indices"][first : first + ENTRIES]
        values = matrix["data"][first : first + ENTRIES]
        columns = np.searchsorted(column_starts, np.arange(first, first + len(rows)), side="right") - 1
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        # how many entries of the same row stand before it here
        before = np.arange(len(rows)) - np.searchsorted(rows, rows, side="left")
        places = free[rows] + before
        data[places], indices[places] = values[order], columns[order]
        free += np.bincount(rows, minlength=n_rows)
    return starts


# What is known of cells and genes.


def _index(path: str, file: h5py.File, table: str) -> str:
    """Return the name of the dataset that names the rows of ``obs`` or ``var``."""
    group = file.get(table)
    if isinstance(group, h5py.Group):
        if (name := _word(group.attrs.get("_index", "_index"))) in group:
            return name
    elif isinstance(group, h5py.Dataset) and group.dtype.names:
        return str(group.dtype.names[0])
    msg = f"{path}: must be AnnData, as its name says; it has no {table} with an index"
    raise DataError(msg)


def _gene_names(path: str, file: h5py.File, layer: str) -> list[str]:
    table = RAW_PLACES.get(layer, "var")
    return [_word(name) for name in file[table][_index(path, file, table)][:]]


def _word(stored: Any) -> str:
    return stored.decode() if isinstance(stored, bytes) else str(stored)


def _obs_columns(path: str, file: h5py.File) -> list[tuple[str, pa.DataType, Rows]]:
    """Return name, type and reader of the cells' names and of each column of ``obs``, in its order."""
    index, obs = _index(path, file, "obs"), file["obs"]
    if isinstance(obs, h5py.Dataset):  # before AnnData 0.7: one dataset, and the categories of its codes elsewhere
        order, known = obs.dtype.names, file.get("uns", {})
    else:
        order, known = map(_word, obs.attrs.get("column-order", ())), {}
    found = [_obs_column(path, INDEX if index in NAMELESS else index, obs, index, known)]
    return found + [_obs_column(path, name, obs, name, known) for name in order if name != index]


def _obs_column(
    path: str, name: str, obs: h5py.Group | h5py.Dataset, own: str, known: Mapping[str, Any]
) -> tuple[str, pa.DataType, Rows]:
    if isinstance(obs, h5py.Dataset):
        field = obs.fields(own)
        if (levels := f"{own}_categories") in known:
            return name, *_category(field, known[levels])
        return name, *_plain(path, name, field, obs.dtype[own])
    stored = obs[own]
    if isinstance(stored, h5py.Dataset):
        if "categories" in stored.attrs:  # AnnData 0.7: a reference to the categories beside the codes
            return name, *_category(stored, obs[stored.attrs["categories"]])
        return name, *_plain(path, name, stored, stored.dtype)
    if {"codes", "categories"} <= stored.keys():
        return name, *_category(stored["codes"], stored["categories"])
    if {"values", "mask"} <= stored.keys():  # numbers and truth values that may be missing
        values, mask = stored["values"], stored["mask"]
        type_ = arrow_type(path, name, values.dtype)
        return name, type_, lambda start, stop: _masked(path, name, values, mask, start, stop, type_)
    kind = stored.attrs.get("encoding-type", "a group")
    msg = f"{path}: a column of obs must hold numbers, words or categories; {name!r} holds {kind}: remove it from obs"
    raise DataError(msg)


def _plain(path: str, name: str, stored: Any, dtype: np.dtype[Any]) -> tuple[pa.DataType, Rows]:
    type_ = arrow_type(path, name, dtype)
    return type_, lambda start, stop: arrow_values(path, name, stored[start:stop], type_)


def _masked(
    path: str, name: str, values: h5py.Dataset, mask: h5py.Dataset, start: int, stop: int, type_: pa.DataType
) -> pa.Array:
    found, gone = values[start:stop], mask[start:stop]
    if pa.types.is_string(type_):
        words = found.astype(object)
        words[gone] = None
        return arrow_values(path, name, words, type_)
    return pa.array(found, type_, mask=gone)


def _category(codes: Any, categories: h5py.Dataset) -> tuple[pa.DataType, Rows]:
    """Return type and reader of a category; a code below 0 is missing."""
    levels = pa.array([_word(level) for level in categories[:]], pa.string())

    def take(start: int, stop: int) -> pa.Array:
        found = codes[start:stop].astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(found, mask=found < 0), levels)

    return pa.dictionary(pa.int32(), pa.string()), take
