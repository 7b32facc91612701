"""Formats whose columns have types: Parquet, Arrow, Excel, NumPy."""

import re
from datetime import date, datetime
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from serpens import io
from serpens.errors import DataError
from serpens.formats import excel, registry, tables
from serpens.streams import Stream

TABLE = pa.table(
    {
        "n": pa.array([1, None, 2**60], pa.int64()),
        "x": [0.5, None, float("inf")],
        "word": ["007", None, "\u00e9"],
        "when": pa.array([0, 1, None], pa.timestamp("ms")),
        "level": pa.array(["a", None, "b"]).dictionary_encode(),
    }
)


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


def feather(content, path, rows=2):
    with pa.ipc.new_file(path, content.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
        file.write_table(content, max_chunksize=rows)


# Parquet and Arrow.


@pytest.mark.parametrize("name", ["t.parquet", "t.feather", "t.arrow"])
def test_types_are_kept_and_notes_of_other_programs_are_not(name):
    noted = TABLE.replace_schema_metadata({"pandas": "{}"})
    pq.write_table(noted, name) if name == "t.parquet" else feather(noted, name)
    found = table(name)
    assert found.equals(TABLE)
    assert found.schema.metadata is None


def test_an_arrow_stream_is_read_too():
    with pa.ipc.new_stream("t.arrow", TABLE.schema) as file:
        file.write_table(TABLE)
    assert table("t.arrow").equals(TABLE)


@pytest.mark.parametrize("name", ["t.parquet", "t.feather"])
def test_a_large_row_group_comes_in_pieces(name, monkeypatch):
    monkeypatch.setattr(tables, "CELLS", 200)
    numbers = pa.table({"a": range(1000), "b": range(1000)})
    pq.write_table(numbers, name, row_group_size=1000) if name == "t.parquet" else feather(numbers, name, rows=1000)
    pieces = list(registry.open_table(name, {}).batches())
    assert max(map(len, pieces)) <= 100
    assert pa.Table.from_batches(pieces).equals(numbers)


def test_levels_that_differ_from_piece_to_piece_are_written_once():
    first, second = (pa.array(words).dictionary_encode() for words in (["a", "b"], ["c", "a"]))
    pieces = [pa.RecordBatch.from_arrays([each], names=["level"]) for each in (first, second)]
    io.write_stream("t.parquet", Stream(pieces[0].schema, lambda: iter(pieces)))
    assert table("t.parquet")["level"].to_pylist() == ["a", "b", "c", "a"]


def test_parquet_that_is_cut_off():
    pq.write_table(TABLE, "t.parquet")
    cut("t.parquet", 300)
    assert refusal("t.parquet") == (
        "t.parquet: must be Parquet, as its name says; Parquet magic bytes not found in footer. "
        "Either the file is corrupted or this is not a parquet file."
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.feather: must be an Arrow file, as its name says; Tried reading schema message, was null or length 0"),
        (b"a,b\n1,2\n" * 9, "t.feather: must be an Arrow file, as its name says; "),
        (b"FEA1" + bytes(20), "t.feather: must be Feather of version 2; it is of version 1, which is no longer read: "),
    ],
)
def test_arrow_that_is_none(content, message):
    Path("t.feather").write_bytes(content)
    assert refusal("t.feather").startswith(message)


def test_arrow_that_is_cut_off():
    feather(TABLE, "t.feather")
    cut("t.feather", 500)
    assert refusal("t.feather").startswith("t.feather: must be an Arrow file, as its name says; ")


def test_names_are_checked_in_every_format_with_columns():
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    feather(twice, "t.feather")
    assert refusal("t.feather") == "t.feather: a column name must occur once; 'a' occurs more often"
    feather(pa.table({" ": [1]}), "t.feather")
    assert refusal("t.feather") == "t.feather: every column must have a name; column 1 of 1 has none"


# Excel.


def workbook(**sheets):
    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save("t.xlsx")
    return book


def test_excel_keeps_types_and_passes_over_empty_rows():
    workbook(
        one=[
            ["id", "dose", "when", "ok", 2024],
            ["007", 1, datetime(2024, 2, 29, 12, 30), True, "a"],
            [None, None, None, None, None],
            ["008", 1.5, date(2024, 3, 1), False, None],
            ["009"],
        ]
    )
    found = table("t.xlsx")
    assert [str(field.type) for field in found.schema] == ["string", "double", "timestamp[us]", "bool", "string"]
    assert found.to_pydict() == {
        "id": ["007", "008", "009"],
        "dose": [1.0, 1.5, None],
        "when": [datetime(2024, 2, 29, 12, 30), datetime(2024, 3, 1), None],
        "ok": [True, False, None],
        "2024": ["a", None, None],
    }


def test_cells_of_several_types_become_text():
    workbook(one=[["x"], [1.5], ["n/a"], [datetime(2024, 1, 2)], [True]])
    assert table("t.xlsx")["x"].to_pylist() == ["1.5", "n/a", "2024-01-02", "true"]


def test_a_sheet_is_chosen_by_number_or_name():
    workbook(first=[["x"], [1]], second=[["title"], ["y"], [2], [3]])
    assert table("t.xlsx", sheet=1).to_pydict() == {"x": [1]}
    assert table("t.xlsx", sheet="second", skip_rows=1).to_pydict() == {"y": [2, 3]}


@pytest.mark.parametrize(
    ("read", "message"),
    [
        ({}, "t.xlsx: it must be said which sheet is meant; there are 1 'a', 2 'b c': set read: {sheet: ...}"),
        ({"sheet": 3}, "t.xlsx: read.sheet must be one of the sheets; there are 1 'a', 2 'b c', found 3"),
        ({"sheet": "c"}, "t.xlsx: read.sheet must be one of the sheets; there are 1 'a', 2 'b c', found 'c'"),
        (
            {"sheet": 2},
            "t.xlsx, sheet 'b c', row 1 must name every column; the cell in B is empty: split merged cells and "
            "give each column a name of its own, or pass over lines above the names with read: {skip_rows: ...}",
        ),
        (
            {"sheet": "a", "skip_rows": 9},
            "t.xlsx, sheet 'a': row 10 must name the columns; the sheet ends before it",
        ),
        (
            {"sheet": 1},
            "t.xlsx, sheet 'a', row 3: there must be no more cells than the 2 named columns; C3 holds 'note': name its "
            "column, or clear it",
        ),
    ],
)
def test_a_sheet_that_is_no_table(read, message):
    book = workbook(a=[["x", "y"], [1, 2], [3, 4, "note"]], **{"b c": [["dose", None, "y"], [1, 2, 3]]})
    book["b c"].merge_cells("A1:B1")
    book.save("t.xlsx")
    assert refusal("t.xlsx", **read) == message


def test_a_formula_that_was_never_computed_is_no_empty_cell(monkeypatch):
    monkeypatch.setattr(excel, "CHUNK", 50)  # so that the cell is cut in two
    workbook(a=[["x", "y"], [1, "=A2+1"], [2, "=A3+1"]])
    assert refusal("t.xlsx") == (
        "t.xlsx, sheet 'a': a formula must have been saved with its value; B2 has none: open the workbook in a "
        "spreadsheet program, and save it"
    )
    with ZipFile("t.xlsx") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile("t.xlsx", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, re.sub(rb"</f><v ?/>|</f><v></v>", b"</f><v>7</v>", content))
    assert table("t.xlsx").to_pydict() == {"x": [1, 2], "y": [7, 7]}


def test_excel_that_names_a_column_twice():
    workbook(a=[["x", "x"], [1, 2]])
    assert refusal("t.xlsx") == "t.xlsx, sheet 'a', row 1: a column name must occur once; 'x' occurs more often"


def test_excel_that_is_none():
    Path("t.xlsx").write_text("x,y\n1,2\n")
    assert refusal("t.xlsx") == "t.xlsx: must be an Excel workbook, as its name says; File is not a zip file"
    workbook(a=[["x"], *([n] for n in range(1000))])
    cut("t.xlsx", 3000)
    assert refusal("t.xlsx") == "t.xlsx: must be an Excel workbook, as its name says; File is not a zip file"


def test_excel_comes_in_pieces(monkeypatch):
    monkeypatch.setattr(tables, "CELLS", 20)
    workbook(a=[["x", "y"], *([n, -n] for n in range(25))])
    assert [len(piece) for piece in registry.open_table("t.xlsx", {}).batches()] == [10, 10, 5]


# NumPy.


def test_an_array_of_two_dimensions():
    np.save("t.npy", np.asfortranarray(np.arange(6, dtype=">f4").reshape(3, 2)))
    found = table("t.npy")
    assert found.to_pydict() == {"x_0": [0.0, 2.0, 4.0], "x_1": [1.0, 3.0, 5.0]}
    assert found.schema.types == [pa.float32()] * 2


def test_a_structured_array():
    rows = [(1, "a", "2024-02-29", (1.0, 2.0), (7,)), (2, "\u00e9", "NaT", (3.0, 4.0), (8,))]
    dtype = [("n", "i2"), ("word", "U3"), ("day", "M8[D]"), ("at", "f8", (2,)), ("inner", [("k", "u1")])]
    np.save("t.npy", np.array(rows, dtype=dtype))
    assert table("t.npy").to_pydict() == {
        "n": [1, 2],
        "word": ["a", "\u00e9"],
        "day": [datetime(2024, 2, 29), None],
        "at_0": [1.0, 3.0],
        "at_1": [2.0, 4.0],
        "inner.k": [7, 8],
    }


def test_arrays_of_one_length():
    np.savez_compressed("t.npz", X=np.arange(4).reshape(2, 2), y=np.array([b"no", b"yes"]))
    assert table("t.npz").to_pydict() == {"X_0": [0, 2], "X_1": [1, 3], "y": ["no", "yes"]}


def test_arrays_come_in_pieces(monkeypatch):
    monkeypatch.setattr(tables, "CELLS", 20)
    np.savez("t.npz", X=np.zeros((25, 2)))
    assert [len(piece) for piece in registry.open_table("t.npz", {}).batches()] == [10, 10, 5]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"y": np.array(["a", 1], dtype=object)},
            "t.npz: arrays must hold numbers or words; 'y' holds pickled objects, whose reading would run code: write "
            "them with a type of NumPy's",
        ),
        (
            {"X": np.zeros((2, 3)), "y": np.zeros(3)},
            "t.npz: arrays of one table must have one number of rows; 'X' has 2, 'y' has 3",
        ),
        ({"X": np.float64(1)}, "t.npz: an array must have rows; 'X' is a single value"),
        (
            {"X": np.zeros((2, 3, 4))},
            "t.npz: a table has rows and columns; 'X' has 3 dimensions: write it with one row a sample",
        ),
        (
            {"X": np.zeros(2, dtype=complex)},
            "t.npz: a column must hold numbers, times or words; 'X' holds complex128: leave it out of the file",
        ),
        ({"x": np.zeros((2, 1)), "x_0": np.zeros(2)}, "t.npz: a column name must occur once; 'x_0' occurs more often"),
    ],
)
def test_arrays_that_are_no_table(arrays, message):
    np.savez("t.npz", **arrays)
    assert refusal("t.npz") == message


def test_pickled_objects_are_not_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.save("t.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    assert refusal("t.npy").startswith("t.npy: arrays must hold numbers or words; 'x' holds pickled objects")
    Path("t.npy").write_bytes(Path("t.npy").read_bytes()[-60:])  # the bare pickle
    assert refusal("t.npy").startswith("t.npy: must be a file of NumPy, as its name says; ")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "n_bytes", "message"),
    [
        ("t.npy", 200, "mmap length is greater than file size"),
        ("t.npy", 4, "EOF: reading magic string, expected 8 bytes got 4"),
        ("t.npz", 200, "File is not a zip file"),
        ("t.npz", 0, "File is not a zip file"),
    ],
)
def test_arrays_that_are_cut_off(name, n_bytes, message):
    np.save(name, np.arange(100.0)) if name == "t.npy" else np.savez(name, x=np.arange(100.0))
    cut(name, n_bytes)
    assert refusal(name) == f"{name}: must be a file of NumPy, as its name says; {message}"
