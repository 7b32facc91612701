"""Delimited text in blocks; what becomes of single dirty texts stands in test_dirty_text.py."""

import bz2
import gzip
import lzma
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from serpens import glance
from serpens.errors import ConfigurationError, DataError
from serpens.formats import delimited

ROW = "1.5,word\n"
MANY = 200_000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def batches(**read):
    stream = delimited.open_table("t.csv", read)
    return list(stream.batches())


def refusal(**read):
    with pytest.raises(DataError) as caught:
        batches(**read)
    return str(caught.value)


def long(odd=b"", after=MANY // 2):
    """Return many blocks of rows with something odd among them, on line ``after`` + 2."""
    row = ROW.encode()
    return b"x,y\n" + row * after + odd + row * (MANY - after)


def test_a_long_text_comes_in_pieces_and_twice():
    Path("t.csv").write_bytes(long())
    stream = delimited.open_table("t.csv", {})
    pieces = list(stream.batches())
    assert len(pieces) > 1
    assert stream.schema == pa.schema([("x", pa.string()), ("y", pa.string())])
    assert all(piece.schema == stream.schema for piece in pieces)
    assert sum(map(len, pieces)) == MANY
    assert pa.Table.from_batches(pieces) == pa.Table.from_batches(stream.batches())


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (b"1\n", "every row must have 2 fields, one for each column; line 100002 has 1: mend that line, or the header"),
        (b'"1"2,3\n', "quotes must be closed and doubled inside; line 100002: ',' expected after '\"'"),
        (b'1,"2\n', "quotes must be closed and doubled inside; line 100002: unexpected end of data"),
        (
            b"1,\xe9\n",
            "the text must be utf-8; byte 0xe9 in line 100002 is not: if the file is latin-1, declare read: {encoding: "
            "latin-1}, else its own encoding, or mend the line",
        ),
        (
            b"1,\x00\n",
            "a text must hold no NUL; line 100002 has one: the file is damaged, or in another encoding, which can be "
            "declared, such as read: {encoding: utf-16-le}",
        ),
    ],
)
def test_what_is_wrong_far_down_is_told_with_its_line(monkeypatch, n_threads, odd, message):
    monkeypatch.setattr(pa, "cpu_count", lambda: n_threads)
    Path("t.csv").write_bytes(long(odd))
    assert refusal() == f"t.csv: {message}"


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_of_two_faults_the_first_is_told(monkeypatch, n_threads):
    monkeypatch.setattr(pa, "cpu_count", lambda: n_threads)
    rows = long(b"1\n").decode() + '"1"2,3\n'
    Path("t.csv").write_text(rows)
    assert "line 100002 has 1" in refusal()


def test_an_undecodable_byte_far_down_in_another_encoding():
    text = long("1,é\n".encode()).decode()
    data = text.encode("utf-16-le")
    Path("t.csv").write_bytes(data[:-1])
    assert refusal(encoding="utf-16-le") == (
        "t.csv: the text must be utf-16-le; line 200002 is not (truncated data): the file is damaged"
    )
    Path("t.csv").write_bytes(text.replace("\n", "\r\n").encode("cp1252").replace(b"\xe9", b"\x81"))
    assert refusal(encoding="cp1252") == (
        "t.csv: the text must be cp1252; byte 0x81 in line 100002 is not: declare another encoding in read, or mend "
        "the line"
    )


def test_a_row_may_be_longer_than_a_block(monkeypatch):
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1000)
    word = "a\nb" * 5000
    Path("t.csv").write_text(f'x,y\n1,"{word}"\n2,{"c" * 5000}\n')
    assert pa.Table.from_batches(batches()).to_pydict() == {"x": ["1", "2"], "y": [word, "c" * 5000]}


def test_a_row_that_does_not_end_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(delimited, "MOST_ROW_BYTES", 1 << 20)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 16)
    Path("t.csv").write_bytes(long(b'1,"2\n', after=2))
    with pytest.raises(DataError) as caught:
        batches()
    assert str(caught.value) == (
        "t.csv: a row must end within 1 MB; that from line 4 on does not: close the quote that is opened there, or "
        "declare read: {quote: false}"
    )


def test_quotes_in_words_far_down_are_read_as_they_stand():
    Path("t.csv").write_bytes(long(b'5" pipe,"a,b"\n'))
    found = pa.Table.from_batches(batches())
    assert found.num_rows == MANY + 1
    assert found.slice(MANY // 2, 1).to_pylist() == [{"x": '5" pipe', "y": "a,b"}]


@pytest.mark.parametrize("block", range(4, 24))
def test_a_quote_in_a_word_moves_no_end_of_a_row(monkeypatch, block):
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    monkeypatch.setattr(delimited, "COLUMN_BYTES", 0)
    Path("t.csv").write_text('x,y\n5"b,"\nz"\n5,6\n')
    assert pa.Table.from_batches(batches()).to_pydict() == {"x": ['5"b', "5"], "y": ["\nz", "6"]}


@pytest.mark.parametrize(("odd", "times"), [(b'5" pipe,"a,b"\n', 0), (b"   \n", 1)])
def test_the_exact_reader_reads_no_more_than_the_block_that_needs_it(monkeypatch, odd, times):
    read, exact = [], delimited._exact
    monkeypatch.setattr(delimited, "_exact", lambda *given, **named: read.append(given[2]) or exact(*given, **named))
    Path("t.csv").write_bytes(long(odd))
    batches()
    assert len(read) == times
    assert sum(map(len, read)) <= times * delimited.BLOCK_BYTES


@pytest.mark.parametrize("pack", [None, gzip.compress, bz2.compress, lzma.compress])
def test_planning_sees_what_collecting_reads(pack):
    name = {None: "t.csv", gzip.compress: "t.csv.gz", bz2.compress: "t.csv.bz2", lzma.compress: "t.csv.xz"}[pack]
    rows = "".join(f"{number * 7919 % 1000003},{number % 5};" for number in range(30_000)).split(";")
    text = "Title\n\nx;y;\n" + "\n".join(row.replace(",", ";") + ";" for row in rows if row)
    Path(name).write_bytes(pack(text.encode("utf-16")) if pack else text.encode("utf-16"))
    read = {"skip_rows": 2, "header": True, "names": ["x", "y", "rest"]}
    assert glance.header(name, read) == delimited.header(name, read) == ["x", "y", "rest"]
    assert glance.count_rows(name, 100_000, read) == delimited.count(name, read) == 30_000
    told = glance.look(name, read)
    assert told.rows == pytest.approx(30_000, rel=0.1)
    assert told.size == pytest.approx(len(text) * 2, rel=0.1)
    assert told.values["y"] == (True, True, 5, False)


def test_planning_tells_another_reading_of_the_same_file():
    Path("t.csv").write_text("1,5;2,5\n3,5;4,5\n")
    read = {"header": False, "names": ["x", "y"]}
    assert glance.header("t.csv", read | {"delimiter": ";"}) == ["x", "y"]
    assert glance.header("t.csv", read | {"delimiter": ",", "names": ["a", "b", "c"]}) == ["a", "b", "c"]
    with pytest.raises(ConfigurationError, match=r"^t\.csv: every column must have a name; read\.names has 2, and"):
        glance.header("t.csv", read | {"delimiter": ","})


def test_planning_looks_at_text_without_numpy():
    Path("t.csv").write_text("x,y\n1,2\n")
    program = "import sys; from serpens.glance import header, look; header('t.csv'); look('t.csv');"
    program += "print(sorted({'numpy', 'pandas', 'pyarrow'} & set(sys.modules)))"
    path = [str(Path(delimited.__file__).parents[2])]
    program = f"import sys; sys.path = {path} + sys.path; {program}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
