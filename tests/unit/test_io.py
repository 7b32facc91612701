import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from serpens import io
from serpens.errors import DataError
from serpens.streams import Stream, whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    io.write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="Out of range float values"):
        io.write_json(path, {"new": float("nan")})
    with pytest.raises(RuntimeError), io.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"old": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_arrays_come_back_as_they_were_also_transposed_and_without_a_dimension(tmp_path):
    arrays = {"t": np.arange(6.0).reshape(2, 3).T, "scalar": np.array(3), "empty": np.zeros((0, 2), np.float32)}
    io.write_arrays(tmp_path / "a.safetensors", arrays)
    back = io.read_arrays(tmp_path / "a.safetensors")
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_the_same_columns_give_the_same_bytes(tmp_path):
    columns = {
        "x": np.array([1.0, np.nan]),
        "c": np.array(["a", None], dtype=object),
        "t": np.array(["2000-01-01", "NaT"], dtype="datetime64[us]"),
    }
    for name in ("a", "b"):
        io.write_columns(tmp_path / name, columns)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    back = io.read_columns(tmp_path / "a")
    assert back["c"].tolist() == ["a", None]
    assert np.isnat(back["t"][1])
    assert np.isnan(back["x"][1])


def test_broken_json_says_what_to_do(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a.json: not valid JSON .*; delete the file and run again to make it anew"):
        io.read_json(tmp_path / "a.json")


def test_rows_become_csv_with_empty_fields_for_none(tmp_path):
    io.write_rows(tmp_path / "a.csv", [{"a": 1, "b": None}, {"a": "x,y", "b": 0.5}])
    assert (tmp_path / "a.csv").read_text() == 'a,b\n1,\n"x,y",0.5\n'


def test_a_table_without_rows_keeps_its_columns(tmp_path):
    io.write_rows(tmp_path / "a.csv", [], columns=["a", "b"])
    assert (tmp_path / "a.csv").read_text() == "a,b\n"
    assert io.read_rows(tmp_path / "a.csv") == []


def test_a_stream_gives_the_same_file_whatever_its_pieces_are(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "GROUP_CELLS", 20)
    monkeypatch.setattr(io, "GROUP_ROWS", 1)
    table = pa.table({"a": range(37), "b": [f"w{i}" for i in range(37)]})
    for size in (1, 7, 10, 37):
        pieces = Stream(table.schema, lambda size=size: iter(table.to_batches(max_chunksize=size)))
        assert io.write_stream(tmp_path / f"{size}.parquet", pieces) == 37
    assert len({io.sha256(path) for path in tmp_path.glob("*.parquet")}) == 1
    stream = io.read_stream(tmp_path / "7.parquet", ["b"])
    assert [len(batch) for batch in stream.batches()] == [10, 10, 10, 7]
    assert pa.Table.from_batches(stream.batches(), stream.schema) == table.select(["b"])


def test_the_first_rows_of_a_stream_are_had_without_its_first_piece(tmp_path):
    table = pa.table({"a": range(37), "b": [f"w{i}" for i in range(37)]})
    io.write_stream(tmp_path / "a.parquet", whole(table))
    for stream in (io.read_stream(tmp_path / "a.parquet"), whole(table)):
        assert stream.select(["b"]).head(3).to_pydict() == {"b": ["w0", "w1", "w2"]}
        assert stream.head(100).num_rows == 37
    io.write_stream(tmp_path / "none.parquet", whole(table.slice(0, 0)))
    none = io.read_stream(tmp_path / "none.parquet")
    assert (none.schema, none.rows, none.head(3)) == (table.schema, 0, None)


def test_words_that_come_again_are_stored_once_and_others_without_a_dictionary(tmp_path):
    table = pa.table({"again": ["a", "b"] * 50, "differ": [f"w{i}" for i in range(100)], "x": np.arange(100.0)})
    io.write_stream(tmp_path / "a.parquet", whole(table))
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    encodings = {group.column(i).path_in_schema: set(group.column(i).encodings) for i in range(3)}
    assert "RLE_DICTIONARY" in encodings["again"]
    assert "DELTA_LENGTH_BYTE_ARRAY" in encodings["differ"]
    assert "BYTE_STREAM_SPLIT" in encodings["x"]
    assert pq.read_table(tmp_path / "a.parquet") == table


@pytest.mark.parametrize("before", [0, 5])
def test_a_stream_that_fails_leaves_no_file(tmp_path, monkeypatch, before):
    monkeypatch.setattr(io, "GROUP_CELLS", 2)
    monkeypatch.setattr(io, "GROUP_ROWS", 1)
    table = pa.table({"a": range(before)})

    def pieces():
        yield from table.to_batches()
        raise DataError("gone")

    with pytest.raises(DataError, match="gone"):
        io.write_stream(tmp_path / "a.parquet", Stream(table.schema, pieces))
    assert not list(tmp_path.iterdir())


def test_arrays_that_are_written_in_pieces_are_the_same_file_whatever_these_are(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"X": rng.normal(size=(10, 2, 3)).astype(np.float32), "y": np.arange(10)}
    for size in (1, 3, 10):
        pieces = ({name: array[i : i + size] for name, array in arrays.items()} for i in range(0, 10, size))
        io.write_pieces(tmp_path / f"{size}.safetensors", 10, pieces)
    assert len({io.sha256(path) for path in tmp_path.iterdir()}) == 1
    for read in (io.read_arrays, io.map_arrays):  # the one is safetensors' own
        found = read(tmp_path / "3.safetensors")
        assert {name: (array.dtype, array.tolist()) for name, array in found.items()} == {
            name: (array.dtype, array.tolist()) for name, array in arrays.items()
        }


def test_what_is_written_into_mapped_arrays_changes_no_file(tmp_path):
    io.write_pieces(tmp_path / "a.safetensors", 2, [{"y": np.array([1, 2])}])
    mapped = io.map_arrays(tmp_path / "a.safetensors")["y"]
    assert torch.from_numpy(mapped).sum() == 3  # without torch's warning of an array that may not be written
    mapped[0] = 9
    assert io.map_arrays(tmp_path / "a.safetensors")["y"].tolist() == [1, 2]


def test_arrays_that_end_early_leave_nothing(tmp_path):
    def pieces():
        yield {"y": np.array([1])}
        raise DataError("gone")

    with pytest.raises(DataError):
        io.write_pieces(tmp_path / "a.safetensors", 2, pieces())
    assert not list(tmp_path.iterdir())


def test_several_tables_are_written_in_one_go_and_none_when_one_fails(tmp_path):
    schema = pa.schema({"a": pa.int64()})
    paths = {name: tmp_path / f"{name}.parquet" for name in ("one", "two")}

    def batches(*, fail):
        for i in range(3):
            yield {name: pa.record_batch({"a": [i] * (1 + (name == "two"))}, schema=schema) for name in paths}
        if fail:
            raise DataError("gone")

    with pytest.raises(DataError):
        io.write_streams(paths, schema, batches(fail=True))
    assert not list(tmp_path.iterdir())
    assert io.write_streams(paths, schema, batches(fail=False)) == {"one": 3, "two": 6}
    assert io.read_columns(paths["two"])["a"].tolist() == [0, 0, 1, 1, 2, 2]
