"""What a glance at a table's file tells."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serpens import contents, glance
from serpens.errors import ConfigurationError
from serpens.glance import Values, count_rows, header, look


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
        (b"", "t.csv: the first line must name the columns; the file is empty"),
        (
            b"a,b,a\n",
            "t.csv: a column name must occur once; 'a' occurs more often: rename it there, or declare read: "
            "{header: true, names: […]}",
        ),
        (
            "a,größe\n".encode("latin-1"),
            "t.csv: the text must be utf-8; byte 0xf6 in line 1 is not: if the file is latin-1, declare read: "
            "{encoding: latin-1}, else its own encoding, or mend the line",
        ),
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
        ("t.csv.gz", "t.csv.gz: cannot be read; Error -3 while decompressing data: incorrect header check"),
        ("t.parquet", "t.parquet: must be Parquet, as its name says; "),
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


def rows_of(n_rows, value):
    return "x,word,y\n" + "".join(f"{value(i)},{'abc'[i % 3]},{i % 2}\n" for i in range(n_rows))


def test_a_short_table_is_counted_and_a_long_one_is_told_by_its_length():
    Path("short.csv").write_text(rows_of(500, lambda i: i))
    assert look("short.csv").rows == 500
    Path("long.csv").write_text(rows_of(60_000, lambda i: f"{i / 7:.4f}"))
    told = look("long.csv")
    assert told.rows == pytest.approx(60_000, rel=0.1)
    assert told.size == Path("long.csv").stat().st_size


def test_a_packed_table_is_as_long_as_it_is_unpacked():
    text = rows_of(60_000, lambda i: f"{(i * 7919) % 60_000 / 7:.4f}").encode()
    Path("t.csv.gz").write_bytes(gzip.compress(text))
    told = look("t.csv.gz")
    assert told.rows == pytest.approx(60_000, rel=0.1)
    assert told.size == pytest.approx(len(text), rel=0.1)


def test_a_table_that_is_packed_in_parts_has_them_all():
    lines = [f"{(i * 7919) % 60_000 / 7:.4f},a,1\n" for i in range(30_000)]
    parts = ["x,word,y\n", *("".join(lines[start : start + 500]) for start in range(0, len(lines), 500))]
    Path("t.csv.gz").write_bytes(b"".join(gzip.compress(part.encode()) for part in parts))
    assert look("t.csv.gz").rows == pytest.approx(30_000, rel=0.1)
    Path("few.csv.gz").write_bytes(b"".join(gzip.compress(part.encode()) for part in parts[:5]))
    assert look("few.csv.gz").rows == 2000


def test_parquet_knows_its_rows():
    pq.write_table(pa.table({"a": range(50_000), "b b": ["u", None] * 25_000}), "t.parquet")
    told = look("t.parquet")
    assert told.rows == 50_000
    assert told.values["a"].numbers
    assert told.values["b b"] == (False, False, 1, True)


def test_long_rows_are_looked_at_until_there_are_some():
    width = 20_000
    line = ",".join(["1.5"] * width)
    Path("t.csv").write_text(",".join(f"x{i}" for i in range(width)) + "\n" + f"{line}\n" * 60)
    told = look("t.csv")
    assert told.rows == pytest.approx(60, abs=1)
    assert len(told.values) == width


def test_what_the_first_rows_hold():
    Path("t.csv").write_text('n,whole,gap,word,none\n1.5,1,NA,"a\nb",\n2,2,3,c,\n2.5,1,4,c,\n')
    assert look("t.csv").values == {
        "n": Values(numbers=True, whole=False, distinct=3, gaps=False),
        "whole": Values(numbers=True, whole=True, distinct=2, gaps=False),
        "gap": Values(numbers=True, whole=True, distinct=2, gaps=True),
        "word": Values(numbers=False, whole=False, distinct=2, gaps=False),
        "none": Values(numbers=False, whole=False, distinct=0, gaps=True),
    }


def test_a_look_is_remembered(monkeypatch):
    monkeypatch.setattr(contents, "RACY_NS", -(10**18))  # what was written just now counts as written long ago
    Path("t.csv").write_text("x\n1\n")
    first = look("t.csv")
    monkeypatch.setattr(glance, "_look", None)
    assert look("t.csv") == first
    remembered = contents.remembered().known
    monkeypatch.setattr(contents.remembered(), "known", json.loads(json.dumps(remembered)))  # as the next run reads it
    assert look("t.csv") == first


def test_a_table_that_is_not_packed_as_its_name_says():
    Path("t.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)[:200] + b"rubbish" * 20_000)
    with pytest.raises(ConfigurationError, match=r"^t\.csv\.gz: cannot be read; "):
        look("t.csv.gz")
