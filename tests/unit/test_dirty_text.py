"""Dirty texts, and what becomes of each: its columns, or the message that refuses it."""

import bz2
import gzip
import lzma
from pathlib import Path

import pyarrow as pa
import pytest

from serpens.errors import DataError
from serpens.formats import delimited

MEND = "mend that line, or the header"
TITLE = "if it is a title, declare read: {skip_rows: 1}"
COMMA = 'if "," is not the delimiter, declare another'
RENAME = "rename it there, or declare read: {header: true, names: […]}"
QUOTES = "quotes must be closed and doubled inside"
FIRST = "the first line must name the columns"
WIDE = [f"gene_{number}" for number in range(3000)]

# of each: its bytes or text, what is declared, and the columns or the message
READ = {
    "semicolons with decimal commas": ("x;y\n1,5;2,5\n3,5;4\n", {}, {"x": ["1,5", "3,5"], "y": ["2,5", "4"]}),
    "tabs in a csv": ("x\ty\n1,5\t2\n", {}, {"x": ["1,5"], "y": ["2"]}),
    "bars": ("x|y\n1|2\n", {}, {"x": ["1"], "y": ["2"]}),
    "a declared colon": ("x:y\n1:2\n", {"delimiter": ":"}, {"x": ["1"], "y": ["2"]}),
    "a declared delimiter that is no ASCII": ("x§y\n1§2\n", {"delimiter": "§"}, {"x": ["1"], "y": ["2"]}),
    "runs of spaces": (" x   y \n1    2\n 3 4\n", {"delimiter": " "}, {"x": ["1", "3"], "y": ["2", "4"]}),
    "leading zeros and trailing ones": ("x,y\n007,1.50\n", {}, {"x": ["007"], "y": ["1.50"]}),
    "integers above 2^53": ("x,y\n9007199254740993,1\n", {}, {"x": ["9007199254740993"], "y": ["1"]}),
    "infinities and words for missing": ("x,y\ninf,NA\n,null\n", {}, {"x": ["inf", ""], "y": ["NA", "null"]}),
    "blanks around values": ("x,y\n 1 , a\n", {}, {"x": [" 1 "], "y": [" a"]}),
    "a byte order mark": (b"\xef\xbb\xbfx,y\n1,2\n", {}, {"x": ["1"], "y": ["2"]}),
    "a byte order mark and UTF-8 declared": (
        b"\xef\xbb\xbfx,y\n1,2\n",
        {"encoding": "utf-8"},
        {"x": ["1"], "y": ["2"]},
    ),
    "UTF-16 with a mark": ("x,é\n1,ü\n".encode("utf-16"), {}, {"x": ["1"], "é": ["ü"]}),
    "UTF-16 BE with a mark": (b"\xfe\xff" + "x,y\n1,2\n".encode("utf-16-be"), {}, {"x": ["1"], "y": ["2"]}),
    "UTF-16 LE by its zero bytes": ("x,y\n1,2\n".encode("utf-16-le"), {}, {"x": ["1"], "y": ["2"]}),
    "UTF-16 BE by its zero bytes": ("x,y\n1,2\n".encode("utf-16-be"), {}, {"x": ["1"], "y": ["2"]}),
    "UTF-32 with a mark": ("x,y\n1,2\n".encode("utf-32"), {}, {"x": ["1"], "y": ["2"]}),
    "latin-1, declared": ("x,y\nKöln,1\n".encode("latin-1"), {"encoding": "latin-1"}, {"x": ["Köln"], "y": ["1"]}),
    "cp1252, declared": ("x,y\n5 €,1\n".encode("cp1252"), {"encoding": "cp1252"}, {"x": ["5 €"], "y": ["1"]}),
    "CRLF": ("x,y\r\n1,2\r\n", {}, {"x": ["1"], "y": ["2"]}),
    "CR alone": ("x,y\r1,2\r", {}, {"x": ["1"], "y": ["2"]}),
    "line ends of all kinds": ("x,y\n1,2\r\n3,4\r5,6", {}, {"x": ["1", "3", "5"], "y": ["2", "4", "6"]}),
    "no line end at the end": ("x,y\n1,2", {}, {"x": ["1"], "y": ["2"]}),
    "blank lines, and lines of blanks": ("\nx,y\n\n1,2\n   \n3,4\n\n", {}, {"x": ["1", "3"], "y": ["2", "4"]}),
    "quotes with delimiters and line ends": ('x,y\n"a,b","c\nd"\n', {}, {"x": ["a,b"], "y": ["c\nd"]}),
    "doubled quotes": ('x,y\n"say ""no""",""""\n', {}, {"x": ['say "no"'], "y": ['"']}),
    "quotes inside a field": ("x,y\n5\" pipe,6'\n", {}, {"x": ['5" pipe'], "y": ["6'"]}),
    "a blank before a quote": ('x,y\n1, "2"\n', {}, {"x": ["1"], "y": [' "2"']}),
    "single quotes, declared": ("x,y\n'a,b',1\n", {"quote": "'"}, {"x": ["a,b"], "y": ["1"]}),
    "no quotes, declared": ('x,y\n"a,b"\n', {"quote": False}, {"x": ['"a'], "y": ['b"']}),
    "escapes, declared": ('x,y\na\\,b,"\\""\n', {"escape": "\\"}, {"x": ["a,b"], "y": ['"']}),
    "quoted nothing and nothing": ('x,y\n"",\n', {}, {"x": [""], "y": [""]}),
    "one column": ("x\n1\n\n2\n", {}, {"x": ["1", "2"]}),
    "one column with a missing value in quotes": ('x\n1\n""\n2\n', {}, {"x": ["1", "", "2"]}),
    "one row": ("x,y\n1,2\n", {}, {"x": ["1"], "y": ["2"]}),
    "a header and no row": ("x,y\n", {}, {"x": [], "y": []}),
    "no header, declared": ("1,2\n3,4\n", {"header": False, "names": ["x", "y"]}, {"x": ["1", "3"], "y": ["2", "4"]}),
    "numbers as names, declared": ("2023,2024\n1,2\n", {"header": True}, {"2023": ["1"], "2024": ["2"]}),
    "other names, declared": ("x,x\n1,2\n", {"header": True, "names": ["x", "y"]}, {"x": ["1"], "y": ["2"]}),
    "a header one name short, mended": (
        "x,y\nr1,1,2\n",
        {"header": True, "names": ["row", "x", "y"]},
        {"row": ["r1"], "x": ["1"], "y": ["2"]},
    ),
    "a title, declared": ("Table 1\n\nx,y\n1,2\n", {"skip_rows": 2}, {"x": ["1"], "y": ["2"]}),
    "comments, declared": ("# by me\nx,y\n1,2\n#3\n3,#4\n", {"comment": "#"}, {"x": ["1", "3"], "y": ["2", "#4"]}),
    "a header over two lines": ('"x\n1",y\n1,2\n', {}, {"x\n1": ["1"], "y": ["2"]}),
    "names with blanks around them": (" x , y\n1,2\n", {}, {"x": ["1"], "y": ["2"]}),
    "names with accents, slashes, emoji and markup": (
        "größe,a/b,😀,<b>&amp;,class\n1,2,3,4,5\n",
        {},
        {"größe": ["1"], "a/b": ["2"], "😀": ["3"], "<b>&amp;": ["4"], "class": ["5"]},
    ),
    "a name that begins with #": ("#chrom\tpos\nX\t1\n", {}, {"#chrom": ["X"], "pos": ["1"]}),
    "3,000 columns": (
        f"{','.join(WIDE)}\n{','.join(map(str, range(3000)))}\n",
        {},
        {name: [str(number)] for number, name in enumerate(WIDE)},
    ),
    "a header of 200 kB": ("x" * 200_000 + ",y\n1,2\n", {}, {"x" * 200_000: ["1"], "y": ["2"]}),
    "control characters": ("x,y\n\x01\x0c,\x1a\n", {}, {"x": ["\x01\x0c"], "y": ["\x1a"]}),
    "a byte order mark where files were joined": ("x,y\n\ufeff1,2\n", {}, {"x": ["\ufeff1"], "y": ["2"]}),
}
REFUSED = {
    "an empty file": ("", {}, f"{FIRST}; the file is empty"),
    "a file of blank lines": ("\n\n", {}, f"{FIRST}; the file is empty"),
    "more lines to skip than there are": (
        "x,y\n1,2\n",
        {"skip_rows": 5},
        f"{FIRST}; the file is empty after 5 lines that are skipped",
    ),
    "two columns of one name": (
        "x,y,x\n1,2,3\n",
        {},
        f"a column name must occur once; 'x' occurs more often: {RENAME}",
    ),
    "names that blanks alone tell apart": (
        "x, x\n1,2\n",
        {},
        f"a column name must occur once; 'x' occurs more often: {RENAME}",
    ),
    "a column without a name": (
        "x,,z\n1,2,3\n",
        {},
        "every column must have a name; column 2 of 3 has none: name it there, or declare "
        "read: {header: true, names: [x, column_2, z]}",
    ),
    "a delimiter at the end of every line": (
        "x,y,\n1,2,\n",
        {},
        'every column must have a name; column 3 of 3 has none; every line ends in ",": name it there, or declare '
        "read: {header: true, names: [x, y, rest]}",
    ),
    "a delimiter at the end of every row": (
        "x,y\n1,2,\n3,4,\n",
        {},
        "the header must name every column; line 1 has 2 names, and the rows from line 2 on have 3 fields: if every "
        f"row ends in a delimiter, declare read: {{header: true, names: [x, y, rest]}}; {TITLE}; {COMMA}",
    ),
    "a header one name short": (
        "mpg,cyl\nMazda,21,6\nFiat,32,4\n",
        {},
        "the header must name every column; line 1 has 2 names, and the rows from line 2 on have 3 fields: if the "
        f"first column names the rows, declare read: {{header: true, names: [row, mpg, cyl]}}; {TITLE}; {COMMA}",
    ),
    "a header with a name too many": (
        "x,y,z\n1,2\n3,4\n",
        {},
        "the header must name every column; line 1 has 3 names, and the rows from line 2 on have 2 fields: "
        f"{TITLE}; {COMMA}",
    ),
    "names for other columns": (
        "1,2,3\n",
        {"header": False, "names": ["x", "y"]},
        "every column must have a name; read.names has 2, and the rows from line 1 on have 3 fields: correct it, or "
        'declare another delimiter than ","',
    ),
    "a title": (
        "Table 1: weights\nx,y,z\n1,2,3\n",
        {},
        "the header must name every column; line 1 has 1 name, and the rows from line 2 on have 3 fields: "
        f"{TITLE}; {COMMA}",
    ),
    "two titles": (
        "Table 1\nby us, and others\nx,y,z\n1,2,3\n4,5,6\n",
        {},
        "the header must name every column; line 1 has 1 name, and the rows from line 3 on have 3 fields: if it is a "
        f"title, declare read: {{skip_rows: 2}}; {COMMA}",
    ),
    "a comment on top": (
        "# made by us\nx,y,z\n1,2,3\n",
        {},
        "the header must name every column; line 1 has 1 name, and the rows from line 2 on have 3 fields: if it is a "
        f'comment, declare read: {{comment: "#"}}; {COMMA}',
    ),
    "a comment between rows": (
        "x,y\n1,2\n# a break\n3,4\n",
        {},
        f"every row must have 2 fields, one for each column; line 3 has 1: {MEND}, or if it is a comment, declare "
        'read: {comment: "#"}',
    ),
    "a header that is data": (
        "5.1,-3,1e4\n4.9,3,1\n",
        {},
        f"{FIRST}; line 1 holds numbers alone: if they are data, declare read: {{header: false, names: "
        "[column_1, column_2, column_3]} with the right names; if they are names, read: {header: true}",
    ),
    "two delimiters that fit": (
        "a;b,c\n1;2,3\n",
        {},
        'one delimiter must fit; "," and ";" fit equally: declare read: {delimiter: ","} or read: {delimiter: ";"}',
    ),
    "spaces between fields": (
        "x y  z\n1 2  3\n",
        {},
        "a delimiter must separate the fields; there is no comma, semicolon, tab or bar, and every line has 3 words: "
        'if spaces separate them, declare read: {delimiter: " "}, else the one column with read: {delimiter: ","}',
    ),
    "single quotes": (
        "'x','y'\n'1','2'\n",
        {},
        "quotes must be known; every name in line 1 stands in ': declare read: {quote: \"'\"}, or if they belong to "
        "the names, read: {quote: false}",
    ),
    "a row with too few fields": (
        'x,y\n1,"2\n3"\n4\n5,6\n',
        {},
        f"every row must have 2 fields, one for each column; line 4 has 1: {MEND}",
    ),
    "a row with too many fields": (
        "x,y\n1,2\n1,2,3\n",
        {},
        f"every row must have 2 fields, one for each column; line 3 has 3: {MEND}",
    ),
    "a comma in the text of one column": (
        "text\nyes\nno, never\n",
        {},
        f"every row must have 1 field, one for each column; line 3 has 2: {MEND}, or declare another delimiter",
    ),
    "text after a closing quote": ('x,y\n1,"2"3\n', {}, f"{QUOTES}; line 2: ',' expected after '\"'"),
    "text after a closing quote, and a quoted field": (
        'x,y\n"1"2,"3"\n',
        {},
        f"{QUOTES}; line 2: ',' expected after '\"'",
    ),
    "a quote that is never closed": ('x,y\n1,2\n3,"4\n5,6\n', {}, f"{QUOTES}; line 3: unexpected end of data"),
    "latin-1": (
        "x,y\n1,2\nKöln,1\n".encode("latin-1"),
        {},
        "the text must be utf-8; byte 0xf6 in line 3 is not: if the file is latin-1, declare read: {encoding: "
        "latin-1}, else its own encoding, or mend the line",
    ),
    "cp1252": (
        "x,y\n5 €,1\n".encode("cp1252"),
        {},
        "the text must be utf-8; byte 0x80 in line 2 is not: if the file is cp1252, declare read: {encoding: cp1252}, "
        "else its own encoding, or mend the line",
    ),
    "latin-1, declared as UTF-16": (
        "x,y\n1,2\n".encode("latin-1"),
        {"encoding": "utf-16"},
        "utf-16 must begin with a byte order mark; it has none: declare utf-16-le or utf-16-be",
    ),
    "UTF-16 that is cut off": (
        "x,y\n1,2\n".encode("utf-16")[:-1],
        {},
        "the text must be utf-16-le; line 2 is not (truncated data): the file is damaged",
    ),
    "a NUL": (
        "x,y\n1,\x002\n",
        {},
        "a text must hold no NUL; line 2 has one: the file is damaged, or in another encoding, which can be declared, "
        "such as read: {encoding: utf-16-le}",
    ),
}
ROWS = "x,y\n1,2\n" * 2000
PACKERS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(name, content, read):
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    stream = delimited.open_table(name, read)
    return pa.Table.from_batches(stream.batches(), stream.schema).to_pydict()


def refusal(name, content, read):
    with pytest.raises(DataError) as caught:
        table(name, content, read)
    return str(caught.value)


@pytest.mark.parametrize(("content", "read", "columns"), READ.values(), ids=READ)
def test_a_dirty_text_is_read(content, read, columns):
    assert table("t.csv", content, read) == columns
    assert delimited.header("t.csv", read) == list(columns)
    assert delimited.count("t.csv", read) == len(next(iter(columns.values())))


@pytest.mark.parametrize(("content", "read", "message"), REFUSED.values(), ids=REFUSED)
def test_a_dirty_text_is_refused(content, read, message):
    assert refusal("t.csv", content, read) == f"t.csv: {message}"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".dat"])
@pytest.mark.parametrize("packer", PACKERS)
def test_a_packed_text_is_read(suffix, packer):
    content = ROWS.replace(",", "\t") if suffix == ".tsv" else ROWS
    found = table(f"t{suffix}{packer}", PACKERS[packer](content.encode()), {})
    assert found == {"x": ["1", *["x", "1"] * 1999], "y": ["2", *["y", "2"] * 1999]}


def test_a_text_that_is_packed_in_parts_is_read_whole():
    packed = gzip.compress(b"x,y\n1") + gzip.compress(b",2\n3,4\n")
    assert table("t.csv.gz", packed, {}) == {"x": ["1", "3"], "y": ["2", "4"]}


CUT = "Compressed file ended before the end-of-stream marker was reached"


@pytest.mark.parametrize(
    ("packer", "message"),
    [(".gz", CUT), (".bz2", CUT), (".xz", CUT), (".zst", "Truncated compressed stream")],
)
def test_a_packed_text_that_is_cut_off_is_refused(packer, message):
    packed = PACKERS[packer](ROWS.encode())
    assert refusal(f"t.csv{packer}", packed[:-5], {}) == f"t.csv{packer}: cannot be read; {message}"


def test_a_long_packed_text_that_is_cut_off_is_refused_where_it_ends():
    noise = "x,y\n" + "".join(f"{number * 7919 % 1000003},{number}\n" for number in range(60_000))
    packed = gzip.compress(noise.encode())
    assert len(packed) > 100_000
    assert refusal("t.csv.gz", packed[:-5], {}) == f"t.csv.gz: cannot be read; {CUT}"


def test_a_text_that_is_not_packed_is_refused():
    message = refusal("t.csv.gz", ROWS, {})
    assert message == "t.csv.gz: cannot be read; Error -3 while decompressing data: incorrect header check"
