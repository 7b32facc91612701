import gzip
import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serpens import stages
from serpens.config import Study
from serpens.errors import DataError
from serpens.io import COHORT
from serpens.settings import collect as settings_of

TEXT = "code,dose\n007,1.50\n008,\n"
COLUMNS = {"code": ["007", "008"], "dose": ["1.50", ""]}
SIMULATORS = """
import numpy as np

DEPTH = 3

def good(*, rows, seed, scale=1.0):
    return {"x": np.random.default_rng(seed).normal(size=rows) * scale, "word": ["a"] * rows}

def short(*, rows, seed):
    return {"x": np.zeros(rows), "y": np.zeros(rows - 1)}

def one_number(*, rows, seed):
    return 3

def amplitudes(*, rows, seed):
    return {"psi": np.full(rows, 1j)}

def nothing(*, rows, seed):
    return {}

def broken(*, rows, seed):
    raise ValueError("the step must be smaller")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, content):
    data = content.encode() if isinstance(content, str) else content
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def refusal(action, *arguments, **named):
    with pytest.raises(DataError) as caught:
        action(*arguments, **named)
    return str(caught.value)


def collected(data, read=None, cohort=None, **options):
    """Return the table that a study's data become, and what is told of its source."""
    claim = {"test_on": {"file": cohort}} if cohort else {}
    given = {"question": "Why?", "target": "y", "data": data, "read": read or {}} | claim
    with stages.collect(settings_of(Study.model_validate(given)), **options) as found:
        table = pa.Table.from_batches(found.stream.batches(), found.stream.schema)
        return table, found.source()


def simulated(name, rows=4, seed=0, **arguments):
    from serpens.sources import simulation

    made = simulation.simulated(name, rows=rows, seed=seed, arguments=arguments)
    return pa.Table.from_batches(made.stream.batches(), made.stream.schema), made


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.tsv.gz"])
def test_text_stays_as_it_stands(here, name):
    write(name, TEXT.replace(",", "\t") if ".tsv" in name else TEXT)
    assert collected(name)[0].to_pydict() == COLUMNS


def test_parquet_keeps_its_types(here):
    table = pa.table({"n": [1, 2], "word": ["007", None], "when": pa.array([0, 1], pa.timestamp("ms"))})
    pq.write_table(table, "t.parquet")
    assert collected("t.parquet")[0].equals(table)


def test_metadata_of_pandas_is_left_behind(here):
    import pandas as pd

    pd.DataFrame({"x": [1.0]}).to_parquet("t.parquet")
    assert collected("t.parquet")[0].schema.metadata is None


def test_a_byte_order_mark_is_no_part_of_a_name(here):
    write("t.csv", "\ufeff" + TEXT)
    assert collected("t.csv")[0].column_names == ["code", "dose"]


def test_quoted_fields_may_hold_delimiters_quotes_and_line_ends(here):
    write("t.csv", 'a,b\n"1,5","say ""no"""\r\n"two\r\nlines",x\n')
    assert collected("t.csv")[0].to_pydict() == {"a": ["1,5", "two\r\nlines"], "b": ['say "no"', "x"]}


def test_a_blank_line_is_no_row(here):
    write("t.csv", "a,b\n\n1,2\n\n")
    assert collected("t.csv")[0].num_rows == 1


def test_the_source_says_what_was_read(here):
    write("t.csv", TEXT)
    source = collected("t.csv")[1].model_dump(exclude_none=True)
    assert source.pop("time").startswith("20")
    assert source == {
        "kind": "file",
        "origin": "t.csv",
        "bytes": len(TEXT),
        "sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
        "rows": 2,
        "columns": 2,
        "parts": (),
        "joined": (),
    }


def test_the_right_sha256_is_accepted(here):
    write("t.csv", TEXT)
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    assert collected({"file": "t.csv", "sha256": digest})[1].sha256 == digest


def test_another_sha256_is_refused(here):
    write("t.csv", TEXT)
    found = hashlib.sha256(TEXT.encode()).hexdigest()
    assert refusal(collected, {"file": "t.csv", "sha256": "0" * 64}) == (
        f"t.csv: sha256 must be {'0' * 64}; it is {found}: the file is not the one that the study names, "
        "so get that one, or correct data.sha256"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "a,b\n", "t.csv: there must be at least one row of data; there is none"),
        (
            "t.csv",
            'a,b\n1,"2\n3"\n4\n',
            "t.csv: every row must have 2 fields, one for each column; line 4 has 1: mend that line, or the header",
        ),
    ],
)
def test_a_faulty_file_says_where(here, name, content, message):
    write(name, content)
    assert refusal(collected, name) == message


def test_a_file_that_is_not_there_is_refused(here):
    assert refusal(collected, "t.csv") == "t.csv: the file must exist; it does not"
    (here / "t.csv").mkdir()
    assert refusal(collected, "t.csv") == "t.csv: the file must exist; it does not"


def test_a_gzipped_file_that_is_cut_off_is_refused(here):
    whole = gzip.compress(TEXT.encode() * 100)
    (here / "t.csv.gz").write_bytes(whole[:-10])
    assert refusal(collected, "t.csv.gz") == (
        "t.csv.gz: cannot be read; Compressed file ended before the end-of-stream marker was reached"
    )


def test_a_gzipped_file_that_is_damaged_is_refused(here):
    whole = bytearray(gzip.compress(TEXT.encode()))
    whole[10] ^= 0xFF
    (here / "t.csv.gz").write_bytes(whole)
    assert refusal(collected, "t.csv.gz").startswith("t.csv.gz: cannot be read; ")


def test_a_text_file_called_parquet_is_refused(here):
    write("t.parquet", TEXT)
    assert refusal(collected, "t.parquet") == (
        "t.parquet: must be Parquet, as its name says; Parquet magic bytes not found in footer. "
        "Either the file is corrupted or this is not a parquet file."
    )


def test_a_damaged_parquet_file_is_refused(here):
    pq.write_table(pa.table({"a": list(range(10_000))}), "t.parquet")
    whole = (here / "t.parquet").read_bytes()
    (here / "t.parquet").write_bytes(whole[:4] + bytes(len(whole) - 12) + whole[-8:])
    assert refusal(collected, "t.parquet").startswith("t.parquet: must be Parquet, as its name says; ")


def test_parquet_column_names_are_checked_too(here):
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), "t.parquet")
    assert refusal(collected, "t.parquet") == ("t.parquet: a column name must occur once; 'a' occurs more often")


def test_a_cohort_is_joined_below_and_marked(here):
    write("a.csv", "x,y\n1,2\n3,4\n")
    write("b.csv", "y,x\n6,5\n")
    table, source = collected("a.csv", cohort="b.csv")
    assert table.to_pydict() == {"x": ["1", "3", "5"], "y": ["2", "4", "6"], COHORT: [False, False, True]}
    assert (source.rows, source.columns, source.origin) == (3, 2, "a.csv")
    assert (source.cohort.rows, source.cohort.columns, source.cohort.origin) == (1, 2, "b.csv")


def test_a_cohort_with_other_columns_is_refused(here):
    write("a.csv", "x,y\n1,2\n")
    write("b.csv", "x,z\n1,2\n")
    assert refusal(collected, "a.csv", cohort="b.csv") == (
        "b.csv must have the columns of a.csv; it lacks y, and has besides z"
    )
    write("c.csv", "x\n1\n")
    assert refusal(collected, "a.csv", cohort="c.csv") == (
        "c.csv must have the columns of a.csv; it lacks y, and has besides none"
    )


def test_a_cohort_of_whole_numbers_joins_numbers(here):
    pq.write_table(pa.table({"x": [0.5]}), "a.parquet")
    pq.write_table(pa.table({"x": [2]}), "b.parquet")
    assert collected("a.parquet", cohort="b.parquet")[0]["x"].to_pylist() == [0.5, 2.0]


def test_a_cohort_of_other_types_is_refused(here):
    write("a.csv", "w,x\na,1\n")
    pq.write_table(pa.table({"w": ["b"], "x": [2.0]}), "b.parquet")
    assert refusal(collected, "a.csv", cohort="b.parquet") == (
        "b.parquet must have columns of the types of a.csv; column 'x' is double there, and string in a.csv: "
        "give both as text, or both as Parquet of the same types"
    )


def test_our_simulator_is_found_by_name():
    table, made = simulated("qubit", rows=5, seed=3, time=(1.0, 2.0))
    assert table.column_names == ["drive", "detuning", "damping", "time", "excited_population"]
    assert table.num_rows == 5
    assert made.origin == "qubit(rows=5, seed=3, time=(1.0, 2.0))"
    assert made.bytes == 200
    source = collected({"simulator": "qubit", "rows": 5})[1]
    assert (source.kind, source.rows, source.columns, source.bytes) == ("simulator", 5, 5, 200)


def test_a_simulation_is_made_again_and_another_seed_makes_another():
    first, again, other = (simulated("qubit", seed=seed) for seed in (1, 1, 2))
    assert first[0].equals(again[0])
    assert first[1].sha256 == again[1].sha256 != other[1].sha256


def test_your_own_simulator_gets_its_arguments(here):
    write("mine.py", SIMULATORS)
    one, ten = simulated("mine.py:good"), simulated("mine.py:good", scale=10.0)
    assert one[0]["word"].to_pylist() == ["a"] * 4
    assert [10 * x for x in one[0]["x"].to_pylist()] == ten[0]["x"].to_pylist()
    assert ten[1].origin == "mine.py:good(rows=4, seed=0, scale=10.0)"


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("broken", {}, "must return named columns; it raised ValueError: the step must be smaller"),
        (
            "good",
            {"size": 3},
            "must return named columns; it raised TypeError: good() got an unexpected keyword argument 'size'",
        ),
        ("one_number", {}, "must return named columns; found int"),
        ("nothing", {}, "must return named columns; it returned none"),
        ("short", {}, "must return 4 values a column; column 'y' has shape (3,)"),
        ("amplitudes", {}, "must return columns of numbers, times or words; column 'psi' holds complex128"),
        ("absent", {}, "cannot be loaded; AttributeError: module 'simulator_mine' has no attribute 'absent'"),
        ("DEPTH", {}, "cannot be loaded; TypeError: 3 is not a callable object"),
    ],
)
def test_a_simulator_that_breaks_its_word_is_named(here, function, arguments, message):
    write("mine.py", SIMULATORS)
    assert refusal(simulated, f"mine.py:{function}", **arguments) == f"simulator mine.py:{function} {message}"


def test_a_simulator_that_is_no_python_is_named(here):
    write("mine.py", "def simulate(:\n")
    assert refusal(simulated, "mine.py:simulate") == (
        "simulator mine.py:simulate cannot be loaded; SyntaxError: invalid syntax (mine.py, line 1)"
    )


@pytest.mark.parametrize("name", ["qbit", "absent.py:simulate", "notes.txt:simulate"])
def test_a_simulator_that_is_nowhere_is_refused(here, name):
    assert refusal(simulated, name) == f"simulator must be one of qubit, or file.py:function; found {name!r}"


def test_a_simulator_may_hold_data_classes(here):
    write(
        "mine.py",
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass State:\n    x: int\n"
        "def simulate(*, rows, seed):\n    return {'x': [State(i).x for i in range(rows)]}\n",
    )
    assert simulated("mine.py:simulate")[0]["x"].to_pylist() == [0, 1, 2, 3]
