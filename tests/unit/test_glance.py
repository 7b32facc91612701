"""What a glance at a table's file tells."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serpens.errors import ConfigurationError
from serpens.glance import count_rows, header


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_header_of_every_kind_of_file():
    text = "a,b b,é\r\n1,2,3\r\n"
    Path("t.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    Path("t.csv.gz").write_bytes(gzip.compress(text.encode()))
    Path("t.tsv").write_text(text.replace(",", "\t"), encoding="utf-8")
    Path("t.tsv.gz").write_bytes(gzip.compress(text.replace(",", "\t").encode()))
    pq.write_table(pa.table({"a": [1], "b b": [2], "é": [3]}), "t.parquet")
    for path in ("t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.parquet"):
        assert header(path) == ["a", "b b", "é"], path
        assert count_rows(path, 10) == 1, path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.csv is empty; its first line must name the columns"),
        (b"a,b,a\n", "t.csv has two columns named 'a'; rename one"),
        (b"a,,b\n", "column 2 of t.csv has no name; give it one in the first line"),
        ("a,größe\n".encode("latin-1"), "t.csv is not UTF-8: column 2 reads 'gr��e'; convert the file"),
        (b"a" * 200_000, "t.csv cannot be read as a table: field larger than field limit (131072)"),
    ],
)
def test_wrong_headers(content, message):
    Path("t.csv").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        header("t.csv")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("t.csv.gz", "t.csv.gz cannot be read as a table: Not a gzipped file"),
        ("t.parquet", "t.parquet cannot be read as Parquet: "),
    ],
)
def test_files_that_are_not_what_their_name_says(path, message):
    Path(path).write_bytes(b"a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match=message):
        header(path)


def test_rows_are_counted_not_lines_and_no_further_than_asked():
    Path("t.csv").write_text('a,b\n1,"two\nlines"\n\n3,4\n', encoding="utf-8")
    assert count_rows("t.csv", 10) == 2
    assert count_rows("t.csv", 1) == 1
    Path("t.csv").write_text("a,b\n", encoding="utf-8")
    assert count_rows("t.csv", 10) == 0
