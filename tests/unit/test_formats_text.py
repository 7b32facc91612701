"""Formats of text whose records have a form of their own: JSON lines, FASTA, FASTQ, SMILES."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from serpens.errors import DataError
from serpens.formats import jsonlines, records, registry, tables


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, text):
    data = text if isinstance(text, bytes) else text.encode()
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


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


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.jsonl.gz", "t.ndjson.gz"])
def test_a_json_object_is_a_row_and_its_values_keep_their_types(name):
    write(name, '\ufeff{"n": 1, "x": 0.5, "word": "007", "is": true}\n\n{"x": 2, "word": null, "is": false}\r\n')
    found = table(name)
    assert found.schema == pa.schema(
        [("n", pa.int64()), ("x", pa.float64()), ("word", pa.string()), ("is", pa.bool_())]
    )
    assert found.to_pylist() == [
        {"n": 1, "x": 0.5, "word": "007", "is": True},
        {"n": None, "x": 2.0, "word": None, "is": False},
    ]


def test_an_object_inside_becomes_columns_with_dotted_names():
    write("t.jsonl", '{"place": {"at": {"lat": 1.5}, "name": "K\u00f6ln"}, "y": 1}\n{"y": 2}\n')
    assert table("t.jsonl").to_pydict() == {
        "place.at.lat": [1.5, None],
        "place.name": ["K\u00f6ln", None],
        "y": [1, 2],
    }


@pytest.mark.parametrize(
    ("values", "type_", "found"),
    [
        (["1.50", '"n/a"', "true", "3"], pa.string(), ["1.50", "n/a", "true", "3"]),
        (["9007199254740993", "1"], pa.int64(), [9007199254740993, 1]),
        (["9007199254740993", "0.5"], pa.string(), ["9007199254740993", "0.5"]),
        (["9007199254740992", "0.5"], pa.float64(), [9007199254740992.0, 0.5]),
        (["18446744073709551616", "1"], pa.string(), ["18446744073709551616", "1"]),
        (["null", "null"], pa.string(), [None, None]),
        (["1e3", "null"], pa.float64(), [1000.0, None]),
    ],
)
def test_a_column_has_the_one_type_that_loses_nothing(values, type_, found):
    write("t.jsonl", "".join(f'{{"x": {value}}}\n' for value in values))
    column = table("t.jsonl")["x"]
    assert column.type == type_
    assert column.to_pylist() == found


def test_a_type_that_changes_in_the_last_row_holds_for_all_pieces(monkeypatch):
    monkeypatch.setattr(tables, "CELLS", 2)
    write("t.jsonl", '{"x": 1}\n{"x": 2}\n{"x": 3}\n{"x": 4}\n{"x": "5a"}\n')
    pieces = list(registry.open_table("t.jsonl", {}).batches())
    assert [piece.to_pydict()["x"] for piece in pieces] == [["1", "2"], ["3", "4"], ["5a"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"x": 1}\n{"x": 2',
            "t.jsonl, line 2: must be a JSON object on one line; Expecting ',' delimiter: line 1 column 8 (char 7)",
        ),
        ('{"x": 1}\n[1]\n', 't.jsonl, line 2: must be a JSON object, such as {"x": 1}; found a list'),
        ("3\n", 't.jsonl, line 1: must be a JSON object, such as {"x": 1}; found a number'),
        (
            '{"a": {"b": [1, 2]}}\n',
            "t.jsonl, line 1: a key must hold one value; 'a.b' holds a list: write its values under keys of their own, "
            "or leave the key out",
        ),
        ('\n{"x": 1, "x": 2}\n', "t.jsonl, line 2: a key must occur once; 'x' occurs more often"),
        ('{"a.b": 1, "a": {"b": 2}}\n', "t.jsonl, line 1: a key must occur once; 'a.b' occurs more often"),
        ('{"": 1}\n', "t.jsonl: every column must have a name; column 1 of 1 has none"),
        ("", "t.jsonl: there must be at least one column; there is none"),
        (b'{"x": "K\xf6ln"}\n', "t.jsonl, line 1: the text must be UTF-8; it is not: convert the file"),
    ],
)  # fmt: skip
def test_json_lines_that_are_none(content, message):
    write("t.jsonl", content)
    assert refusal("t.jsonl") == message


def test_json_inside_json_without_end_is_refused():
    write("t.jsonl", '{"x": ' + '{"x": ' * 100_000 + "\n")
    assert refusal("t.jsonl").startswith("t.jsonl, line 1: must be a JSON object on one line; ")


def test_json_lines_that_were_cut_off_when_packed():
    write("t.jsonl.gz", "".join(f'{{"x": {n}}}\n' for n in range(1000)))
    Path("t.jsonl.gz").write_bytes(Path("t.jsonl.gz").read_bytes()[:-12])
    assert refusal("t.jsonl.gz").endswith(
        "; Compressed file ended before the end-of-stream marker was reached: get the file anew"
    )


def test_a_file_called_gz_that_is_not_packed():
    Path("t.fa.gz").write_text(">a\nACGT\n")
    assert refusal("t.fa.gz") == "t.fa.gz: cannot be read; Not a gzipped file (b'>a'): get the file anew"


def test_pieces_of_json_hold_so_many_values_at_most(monkeypatch):
    monkeypatch.setattr(tables, "CELLS", 100)
    held = []
    read_row = jsonlines._rows
    monkeypatch.setattr(jsonlines, "_rows", lambda path: (held.append(1) or row for row in read_row(path)))
    write("t.jsonl", '{"a": 1, "b": 2}\n' * 1000)
    stream = registry.open_table("t.jsonl", {})
    held.clear()
    for place, piece in enumerate(stream.batches(), start=1):
        assert len(piece) == 50
        assert len(held) == 50 * place  # no line is read before its piece is asked for


@pytest.mark.parametrize("name", ["t.fasta", "t.fa", "t.fasta.gz", "t.fa.gz"])
def test_fasta(name):
    write(name, ">s1 first  one\nACGT\nac-*\n\n>s2\r\nMKV.\r\n")
    assert table(name).to_pylist() == [
        {"id": "s1", "description": "first  one", "sequence": "ACGTac-*"},
        {"id": "s2", "description": None, "sequence": "MKV."},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ACGT\n", "t.fa, line 1: the first record must begin with '>'; found 'ACGT'"),
        (">a\n>b\nAC\n", "t.fa, line 1: a sequence must follow its id; 'a' has none"),
        (">a\nAC\n>b\n", "t.fa, line 3: a sequence must follow its id; 'b' has none"),
        ("> a\nAC\n", "t.fa, line 1: an id must follow '>' at once; found '> a'"),
        (">a\nAC\nA1\n", "t.fa, line 3: a sequence must be letters, '*', '-' and '.'; found '1' in 'a': mend the line"),
        (">a\nA C\n", "t.fa, line 2: a sequence must be letters, '*', '-' and '.'; found ' ' in 'a': mend the line"),
        (b">a\nAC\n>\xff\n", "t.fa, line 3: the text must be UTF-8; it is not: convert the file"),
    ],
)
def test_fasta_that_is_none(content, message):
    write("t.fa", content)
    assert refusal("t.fa") == message


@pytest.mark.parametrize("name", ["t.fastq", "t.fq", "t.fastq.gz", "t.fq.gz"])
def test_fastq_has_the_mean_of_its_phred_scores(name):
    write(name, "@r1 lane 2\nACGT\n+\n!!II\n@r2\r\nA\r\n+r2\r\n+\r\n\n")
    assert table(name).to_pylist() == [
        {"id": "r1", "description": "lane 2", "sequence": "ACGT", "quality": 20.0},
        {"id": "r2", "description": None, "sequence": "A", "quality": 10.0},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "@a\nAC\n+\nII\n@b\nAC\n+\n",
            "t.fq, line 5: a record must have four lines: '@' with an id, the sequence, '+', the quality; found "
            "'@b', 'AC', '+'",
        ),
        (
            ">a\nAC\n+\nII\n",
            "t.fq, line 1: a record must have four lines: '@' with an id, the sequence, '+', the quality; found "
            "'>a', 'AC', '+', 'II'",
        ),
        ("@a\nAC\n+\nI\n", "t.fq, line 4: each of the 2 letters of 'a' must have a quality; found 1"),
        ("@a\nAC\n+b\nII\n", "t.fq, line 3: '+' must stand alone or repeat 'a'; found '+b'"),
        ("@a\n\n+\n\n", "t.fq, line 2: a sequence must be letters, '*', '-' and '.'; found nothing in 'a'"),
        ("@a\nA1\n+\nII\n", "t.fq, line 2: a sequence must be letters, '*', '-' and '.'; found '1' in 'a'"),
        ("@a\nAC\n+\nI \n", "t.fq, line 4: a quality must be a character from '!' to '~'; found ' '"),
        ("@ a\nAC\n+\nII\n", "t.fq, line 1: an id must follow '@' at once; found '@ a'"),
    ],
)
def test_fastq_that_is_none(content, message):
    write("t.fq", content)
    assert refusal("t.fq") == message


def test_smiles_and_their_names():
    write("t.smi", "SMILES Name\nCC(=O)Oc1ccccc1C(=O)O aspirin\n\n[Na+].[Cl-]\tcommon  salt\nC\n")
    assert table("t.smi").to_pydict() == {
        "smiles": ["CC(=O)Oc1ccccc1C(=O)O", "[Na+].[Cl-]", "C"],
        "name": ["aspirin", "common  salt", None],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("C\nC,methane\n", "t.smi, line 2: a line must begin with a SMILES; found ',' in 'C,methane'"),
        ("CC(C\n", "t.smi, line 1: each '(' of a SMILES must be closed; 'CC(C' has 1 '(' and 0 ')'"),
        ("[Na+\n", "t.smi, line 1: each '[' of a SMILES must be closed; '[Na+' has 1 '[' and 0 ']'"),
    ],
)
def test_smiles_that_are_none(content, message):
    write("t.smi", content)
    assert refusal("t.smi") == message


def test_pieces_of_records_end_by_number_and_by_length(monkeypatch):
    monkeypatch.setattr(records, "ROWS", 3)
    monkeypatch.setattr(records, "CHARACTERS", 100)
    write("t.fa", "".join(f">s{n}\n{'A' * (98 if n == 4 else 1)}\n" for n in range(9)))
    assert [len(piece) for piece in registry.open_table("t.fa", {}).batches()] == [3, 2, 3, 1]


@pytest.mark.parametrize("name", ["t.fa", "t.fq", "t.smi"])
def test_an_empty_file_has_no_rows(name):
    write(name, "")
    assert table(name).num_rows == 0
