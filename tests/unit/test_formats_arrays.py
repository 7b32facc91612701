"""Formats of arrays: AnnData, HDF5, NetCDF."""

from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from scipy import sparse

from serpens import io
from serpens.errors import DataError
from serpens.formats import h5ad, registry, tables

GENES = ["G1", "G2", "G3"]
COUNTS = np.array([[0, 1, 0], [2, 0, 3], [0, 0, 0], [4, 5, 0]], dtype=np.float32)
SCALED = COUNTS - COUNTS.mean(axis=0)
TEXT = h5py.string_dtype()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table(path, **read):
    stream = registry.open_table(path, read)
    found = pa.Table.from_batches(stream.batches(), stream.schema)
    assert registry.header(path, read) == found.column_names
    assert registry.count(path, read) == found.num_rows
    return found


def refusal(path, **read):
    with pytest.raises(DataError) as caught:
        list(registry.open_table(path, read).batches())
    return str(caught.value)


def cut(path, n_bytes):
    Path(path).write_bytes(Path(path).read_bytes()[:n_bytes])


# AnnData.


def put(file, place, matrix):
    """Write a matrix as AnnData does."""
    if isinstance(matrix, np.ndarray):
        file[place] = matrix
        return
    group = file.create_group(place)
    group.attrs["encoding-type"] = f"{matrix.format}_matrix"
    group.attrs["shape"] = matrix.shape
    for part in ("data", "indices", "indptr"):
        group[part] = getattr(matrix, part)


def put_index(file, place, names, **attributes):
    group = file.create_group(place)
    group.attrs.update({"_index": "_index", "column-order": []} | attributes)
    group.create_dataset(group.attrs["_index"], data=names, dtype=TEXT)
    return group


def annotated(X=None, raw=None, genes=GENES, raw_genes=GENES, layers=(), index="_index", **obs):
    """Write cells c0, c1 and so on with columns of obs."""
    with h5py.File("t.h5ad", "w") as file:
        columns = put_index(file, "obs", [f"c{n}" for n in range(4)], _index=index, **{"column-order": list(obs)})
        for name, values in obs.items():
            if isinstance(values, dict):
                group = columns.create_group(name)
                for part, stored in values.items():
                    group[part] = stored
            else:
                columns[name] = values
        put_index(file, "var", genes)
        if X is not None:
            put(file, "X", X)
        if raw is not None:
            put_index(file, "raw/var", raw_genes)
            put(file, "raw/X", raw)
        for name, matrix in dict(layers).items():
            put(file, f"layers/{name}", matrix)


def matrix_of(found):
    return np.column_stack([found[gene].to_numpy() for gene in GENES])


@pytest.mark.parametrize("stored", [np.asarray, sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("cells", [3, 6, 1000])
def test_a_matrix_is_read_in_blocks_however_it_is_stored(stored, cells, monkeypatch):
    monkeypatch.setattr(tables, "CELLS", cells)
    monkeypatch.setattr(h5ad, "ENTRIES", 2)
    annotated(stored(COUNTS))
    found = table("t.h5ad")
    assert found.column_names == ["obs_names", *GENES]
    assert found["obs_names"].to_pylist() == ["c0", "c1", "c2", "c3"]
    assert found.schema.types[1:] == [pa.float32()] * 3
    np.testing.assert_array_equal(matrix_of(found), COUNTS)


def test_a_large_sparse_matrix_by_columns_is_the_one_by_rows(monkeypatch):
    monkeypatch.setattr(h5ad, "ENTRIES", 7)
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.4, size=(50, 30)).astype(np.int32)
    turned = np.zeros(np.count_nonzero(dense), np.int32), np.zeros(np.count_nonzero(dense), np.int32)
    with h5py.File("m.h5", "w") as file:
        put(file, "X", sparse.csc_array(dense))
        starts = h5ad._turned("m.h5", file["X"], *turned)
    np.testing.assert_array_equal(sparse.csr_array((*turned, starts), shape=dense.shape).toarray(), dense)


def test_entries_of_one_place_are_added():
    twice = sparse.csr_array((np.ones(2, np.float32), [1, 1], [0, 2, 2, 2, 2]), shape=(4, 3))
    annotated(twice)
    assert table("t.h5ad")["G2"].to_pylist() == [2.0, 0.0, 0.0, 0.0]


def test_what_is_known_of_cells_are_columns():
    annotated(
        COUNTS,
        index="barcode",
        n=np.arange(4),
        kind={"codes": np.array([1, 0, -1, 1], np.int8), "categories": [b"B", b"T"]},
        cluster={"codes": np.array([0, 1, 1, 0], np.int8), "categories": [10, 20]},
        age={"values": np.array([1, 2, 3, 4]), "mask": np.array([False, True, False, False])},
        note=np.array(["a", "\u00e9", "", "d"], dtype=object),
    )
    found = table("t.h5ad").drop_columns(GENES)
    assert found.to_pydict() == {
        "barcode": ["c0", "c1", "c2", "c3"],
        "n": [0, 1, 2, 3],
        "kind": ["T", "B", None, "T"],
        "cluster": ["10", "20", "20", "10"],
        "age": [1, None, 3, 4],
        "note": ["a", "\u00e9", "", "d"],
    }
    assert found.schema.field("cluster").type == pa.dictionary(pa.int32(), pa.string())


def test_the_raw_matrix_and_its_genes_come_before_the_scaled_one():
    annotated(SCALED[:, :2], raw=sparse.csr_array(COUNTS), genes=GENES[:2])
    np.testing.assert_array_equal(matrix_of(table("t.h5ad")), COUNTS)


def test_a_scaled_matrix_is_taken_only_when_it_is_named():
    annotated(SCALED, layers={"counts": COUNTS})
    assert refusal("t.h5ad") == (
        "t.h5ad: the matrix X holds negative values, as after scaling over all cells, by which training would know the "
        "test cells; there are X, counts: say which one holds what was measured, with read: {layer: ...}"
    )
    np.testing.assert_array_equal(matrix_of(table("t.h5ad", layer="counts")), COUNTS)
    np.testing.assert_array_equal(matrix_of(table("t.h5ad", layer="X")), SCALED)


def test_a_file_as_anndata_wrote_it_before_its_version_7():
    obs = np.array(
        [(b"c0", 1, 2), (b"c1", 0, 3), (b"c2", -1, 4), (b"c3", 1, 5)], [("index", "S2"), ("k", "i1"), ("n", "i8")]
    )
    with h5py.File("t.h5ad", "w") as file:
        file["obs"], file["X"], file["uns/k_categories"] = obs, SCALED, np.array([b"B", b"T"])
        file["var"] = file["raw.var"] = np.array([(b"G1",), (b"G2",), (b"G3",)], [("index", "S2")])
        group = file.create_group("raw.X")
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", (4, 3)
        matrix = sparse.csr_array(COUNTS)
        group["data"], group["indices"], group["indptr"] = matrix.data, matrix.indices, matrix.indptr
    found = table("t.h5ad")
    assert found.select(["obs_names", "k", "n"]).to_pydict() == {
        "obs_names": ["c0", "c1", "c2", "c3"],
        "k": ["T", "B", None, "T"],
        "n": [2, 3, 4, 5],
    }
    np.testing.assert_array_equal(matrix_of(found), COUNTS)


@pytest.mark.parametrize(
    ("made", "read", "message"),
    [
        (
            {"X": COUNTS, "G2": np.arange(4)},
            {},
            "t.h5ad: a column of obs and a gene may not have one name; 'G2' is both: rename the column of obs",
        ),
        (
            {"X": COUNTS, "genes": ["a", "b", "a"]},
            {},
            "t.h5ad: the name of a gene must occur once; 'a' occurs more often: make them unique "
            "(adata.var_names_make_unique())",
        ),
        (
            {"X": COUNTS},
            {"layer": "raw"},
            "t.h5ad: read.layer must be one of the matrices; there are X, found 'raw'",
        ),
        ({}, {}, "t.h5ad: read.layer must be one of the matrices; there are none, it has neither"),
        (
            {"X": COUNTS[:3]},
            {},
            "t.h5ad: the matrix must have 4 cells x 3 genes, as obs and var have; it has 3 x 3",
        ),
        (
            {"X": COUNTS, "odd": {"x": [1]}},
            {},
            "t.h5ad: a column of obs must hold numbers, words or categories; 'odd' holds a group: remove it from obs",
        ),
    ],
)
def test_anndata_that_is_no_table(made, read, message):
    annotated(**made)
    assert refusal("t.h5ad", **read) == message


def test_anndata_whose_sparse_matrix_is_damaged():
    for stored, message in (
        (sparse.csr_array, "indices must be < 3"),
        (sparse.csc_array, "row index values must be >= 0 and < 4"),
    ):
        matrix = stored(COUNTS)
        matrix.indices[2] = 7
        annotated(matrix)
        assert refusal("t.h5ad") == f"t.h5ad: the sparse matrix is damaged; {message}: write the file anew"


def test_anndata_that_is_none():
    Path("t.h5ad").write_text("x,y\n1,2\n")
    assert refusal("t.h5ad") == (
        "t.h5ad: must be AnnData, as its name says; Unable to synchronously open file (file signature not found)"
    )
    with h5py.File("t.h5ad", "w") as file:
        file["x"] = [1]
    assert refusal("t.h5ad") == "t.h5ad: must be AnnData, as its name says; it has no obs with an index"
    annotated(COUNTS)
    cut("t.h5ad", 3000)
    assert refusal("t.h5ad").startswith(
        "t.h5ad: must be AnnData, as its name says; Unable to synchronously open file (truncated file: eof = 3000"
    )


def test_twenty_thousand_genes_are_written_and_read_again():
    n_cells, n_genes = 200, 20_000
    counts = sparse.random_array((n_cells, n_genes), density=0.05, rng=np.random.default_rng(0), format="csr")
    with h5py.File("t.h5ad", "w") as file:
        put_index(file, "obs", [f"c{n}" for n in range(n_cells)])
        put_index(file, "var", [f"g{n}" for n in range(n_genes)])
        put(file, "X", counts.astype(np.float32))
    stream = registry.open_table("t.h5ad", {})
    sizes = []
    counted = pa.Table.from_batches

    def pieces():
        for piece in stream.batches():
            sizes.append(len(piece))
            yield piece

    assert io.write_stream("t.parquet", type(stream)(stream.schema, pieces)) == n_cells
    assert max(sizes) * n_genes <= tables.CELLS  # 49 cells at once
    found = counted(registry.open_table("t.parquet", {}).batches())
    assert found.num_columns == 1 + n_genes
    for gene in (0, 7, 19_999):
        np.testing.assert_array_equal(
            found[f"g{gene}"].to_numpy(), counts[:, [gene]].toarray()[:, 0].astype(np.float32)
        )
    # so wide a table has row groups of at least so many rows
    assert n_cells < io.GROUP_ROWS
    assert pq.ParquetFile("t.parquet").num_row_groups == 1


# HDF5.


@pytest.fixture
def measured():
    with h5py.File("t.h5", "w") as file:
        file["run/x"], file["run/y"] = np.arange(3.0), np.arange(3, dtype=">i2")
        file.create_dataset("run/word", data=["a", "b", "\u00e9"], dtype=TEXT)
        file["image"] = np.arange(6).reshape(3, 2)
        file["deep/table"] = np.array([(1, b"a"), (2, b"b")], [("n", "i4"), ("w", "S1")])
        file["deep/one"], file["cube"], file["empty/inner/x"] = 3.0, np.zeros((2, 2, 2)), [1]


@pytest.mark.parametrize(
    ("dataset", "columns"),
    [
        ("/run", {"word": ["a", "b", "\u00e9"], "x": [0.0, 1.0, 2.0], "y": [0, 1, 2]}),
        ("run/x", {"x": [0.0, 1.0, 2.0]}),
        ("image", {"image_0": [0, 2, 4], "image_1": [1, 3, 5]}),
        ("/deep/table", {"n": [1, 2], "w": ["a", "b"]}),
    ],
)
@pytest.mark.usefixtures("measured")
def test_datasets_are_columns(dataset, columns):
    assert table("t.h5", dataset=dataset).to_pydict() == columns


def test_the_only_dataset_need_not_be_named():
    with h5py.File("t.hdf5", "w") as file:
        file["a/b"] = [1, 2]
    assert table("t.hdf5").to_pydict() == {"b": [1, 2]}


THERE = "there are /cube, /deep/one, /deep/table, /empty/inner/x, /image, /run/word, /run/x, /run/y"


@pytest.mark.parametrize(
    ("read", "message"),
    [
        ({}, f"t.h5: it must be said which dataset is meant; {THERE}: set read: {{dataset: ...}}"),
        (
            {"dataset": "/no"},
            f"t.h5: read.dataset must be one of the datasets, or a group of them; {THERE}, found '/no'",
        ),
        ({"dataset": "/empty"}, f"t.h5: the group '/empty' must hold datasets; it holds none; {THERE}"),
        ({"dataset": "/deep"}, "t.h5: a dataset must have rows; /deep/one is a single value"),
        (
            {"dataset": "/"},
            "t.h5: a table has rows and columns; 'cube' has 3 dimensions: write it with one row a sample",
        ),
    ],
)
@pytest.mark.usefixtures("measured")
def test_datasets_that_are_no_table(read, message):
    assert refusal("t.h5", **read) == message


def test_datasets_of_several_lengths():
    with h5py.File("t.h5", "w") as file:
        file["x"], file["y"] = [1, 2], [1, 2, 3]
    assert refusal("t.h5", dataset="/") == (
        "t.h5: datasets of one table must have one number of rows; /x has 2, /y has 3: name one with "
        "read: {dataset: ...}"
    )


def test_hdf5_comes_in_pieces(monkeypatch):
    monkeypatch.setattr(tables, "CELLS", 20)
    with h5py.File("t.h5", "w") as file:
        file["x"] = np.zeros((25, 2))
    assert [len(piece) for piece in registry.open_table("t.h5", {}).batches()] == [10, 10, 5]


def test_hdf5_that_is_none():
    Path("t.h5").write_bytes(b"")
    assert refusal("t.h5") == (
        "t.h5: must be HDF5, as its name says; Unable to synchronously open file (file signature not found)"
    )


# NetCDF.


def climate(engine="h5netcdf", **variables):
    temperature = np.array([[[1.0, 2.0]], [[3.0, np.nan]]])
    xr.Dataset(
        {"t2m": (("time", "lat", "lon"), temperature), **variables},
        coords={"time": pd.to_datetime(["2024-02-29", "2024-03-01"]), "lon": [10, 20]},
    ).to_netcdf("t.nc", engine=engine, encoding={"t2m": {"_FillValue": -99.0, "scale_factor": 0.5}})


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_each_cell_is_a_row_with_its_coordinates(engine):
    climate(engine)
    found = table("t.nc").to_pydict()
    assert found["time"] == [datetime(2024, 2, 29)] * 2 + [datetime(2024, 3, 1)] * 2
    assert (found["lat"], found["lon"]) == ([0] * 4, [10, 20, 10, 20])
    np.testing.assert_array_equal(found["t2m"], [1.0, 2.0, 3.0, np.nan])


def test_variables_of_the_same_dimensions_make_one_table():
    climate(
        rain=(("time", "lon", "lat"), np.arange(4).reshape(2, 2, 1)),
        height=(("lat", "lon"), [[7.0, 8.0]]),
        crs=((), 4326),
    )
    assert refusal("t.nc") == (
        "t.nc: the variables of one table must have the same dimensions; there are t2m (time, lat, lon), "
        "rain (time, lon, lat), height (lat, lon): set read: {variables: [...]}"
    )
    found = table("t.nc", variables=["t2m", "rain"])
    assert found.column_names == ["time", "lat", "lon", "t2m", "rain"]
    assert found["rain"].to_pylist() == [0, 1, 2, 3]
    assert table("t.nc", variables=["height"]).to_pydict() == {"lat": [0, 0], "lon": [10, 20], "height": [7.0, 8.0]}


def test_coordinates_beside_the_dimensions_are_columns_too():
    grid = xr.Dataset(
        {"v": (("y", "x"), [[1, 2], [3, 4]])},
        coords={"lat": (("y", "x"), [[5.0, 6.0], [7.0, 8.0]]), "name": ("x", ["a", "b"]), "run": 3},
    )
    grid.to_netcdf("t.nc", engine="h5netcdf")
    found = table("t.nc")
    assert {name: found[name].to_pylist() for name in ("y", "x", "lat", "name", "v", "run")} == {
        "y": [0, 0, 1, 1],
        "x": [0, 1, 0, 1],
        "lat": [5.0, 6.0, 7.0, 8.0],
        "name": ["a", "b", "a", "b"],
        "v": [1, 2, 3, 4],
        "run": [3] * 4,
    }


def test_variables_whose_dimensions_are_in_another_order_meet_cell_by_cell():
    across = np.arange(6).reshape(2, 3)
    xr.Dataset({"v": (("a", "b"), across), "w": (("b", "a"), 10 * across.T)}).to_netcdf("t.nc", engine="h5netcdf")
    found = table("t.nc")
    assert found["v"].to_pylist() == [0, 1, 2, 3, 4, 5]
    assert found["w"].to_pylist() == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize("cells", [5, 20, 50, 120, 1000])
def test_blocks_of_any_size_give_the_same_rows(cells, monkeypatch):
    values = np.arange(60).reshape(3, 4, 5)
    xr.Dataset({"v": (("a", "b", "c"), values)}).to_netcdf("t.nc", engine="h5netcdf")
    monkeypatch.setattr(tables, "CELLS", cells)
    pieces = list(registry.open_table("t.nc", {}).batches())
    assert max(map(len, pieces)) <= max(1, cells // 4)
    found = pa.Table.from_batches(pieces)
    assert found["v"].to_pylist() == list(range(60))
    assert found["c"].to_pylist() == list(range(5)) * 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x,y\n", "t.nc: must be NetCDF, as its name says; "),
        (b"", "t.nc: must be NetCDF, as its name says; "),
        (b"CDF\x01", "t.nc: must be NetCDF, as its name says; "),
    ],
)
def test_netcdf_that_is_none(content, message):
    Path("t.nc").write_bytes(content)
    assert refusal("t.nc").startswith(message)


def test_netcdf_without_what_is_asked_for():
    climate()
    assert refusal("t.nc", variables=["t2m", "rain"]) == (
        "t.nc: read.variables must be variables of the file; there are t2m (time, lat, lon), found 'rain'"
    )
    xr.Dataset({"v": 1}).to_netcdf("t.nc", engine="h5netcdf")
    assert refusal("t.nc") == "t.nc: there must be a variable with dimensions; there is none"
