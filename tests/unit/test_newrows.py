"""New raw rows: what is read, and what is refused, each with its whole message."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.unit.tabular import clean

from serpens import features, learning, newrows, pieces
from serpens.errors import DataError

KEY = b"k" * 32
OTHER = ", as it did when the study was made; it is of type {}: give it the type that it had there"
N = 8


@pytest.fixture
def study():
    """Return schema and account of a study with a column of each kind."""
    frame = pd.DataFrame(
        {
            "age": ["30", "41", "52", "NA"] * 2,
            "mass": ["1 kg", "2000 g", "3.5 kg", "4"] * 2,
            "stage": ["one", "two", "three", "two"] * 2,
            "code": np.array([1, 2, 3, 2] * 2),
            "smokes": [True, False, False, None] * 2,
            "size": np.array([1.5, 2.5, np.nan, -9.0] * 2),
            "seen": pd.to_datetime(["2024-01-31", "2024-02-29", None, "2024-03-01"] * 2),
            "grade": pd.Categorical(["low", "high", "mid", "unknown"] * 2),
            "who": ["ann", "bob", "cleo", "dora"] * 2,
            "y": ["a", "b"] * 4,
        }
    )
    said = {
        "age": {"min": 0, "max": 120},
        "mass": {"unit": "kg", "units": {"g": 0.001}},
        "code": {"type": "category"},
        "size": {"missing": ("-9",)},
        "grade": {"missing": ("unknown",), "spelling": {"mid": ("middle",)}},
    }
    result = clean(frame, target="y", columns=said, personal={"who": "hash"}, key=KEY)
    types = {name: each["type"] for name, each in result.digest.columns.items() if each["role"] == "feature"}
    schema = learning.learn(
        pieces.held(result.columns), task="classification", target="y", classes=("a", "b"), types=types
    )
    assert len(types) == 9
    return schema, result.account


@pytest.fixture
def row():
    """Return a new row as it would be collected."""
    columns = {
        "age": ["33"],
        "mass": ["500 g"],
        "stage": ["two"],
        "code": [3],
        "smokes": [False],
        "size": [0.5],
        "seen": [pd.Timestamp("2024-02-29")],
        "grade": pa.array(["middle"]).dictionary_encode(),
        "who": ["bob"],
    }
    return {name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()}


def applied(study, row, **changes):
    table = pa.table(row | {name: pa.array(values) for name, values in changes.items()})
    return {name: values.to_pylist() for name, values in newrows.apply(*study, table, key=KEY).items()}


def refusal(study, row, **changes):
    with pytest.raises(DataError) as caught:
        applied(study, row, **changes)
    return str(caught.value)


def test_a_row_is_read_as_training_read_it(study, row):
    read = applied(study, row)
    (who,) = read.pop("who")
    assert len(who) == 16
    assert read == {
        "age": [33.0],
        "mass": [0.5],
        "stage": ["two"],
        "code": ["3"],
        "smokes": ["false"],
        "size": [0.5],
        "seen": [pd.Timestamp("2024-02-29").to_pydatetime()],
        "grade": ["mid"],
    }


@pytest.mark.parametrize(
    ("column", "values", "read"),
    [
        # the same value, written or not
        ("age", [33], 33.0),
        ("age", [33.5], 33.5),
        ("size", ["0.5"], 0.5),
        ("seen", ["2024-02-29T12:00"], pd.Timestamp("2024-02-29T12:00").to_pydatetime()),
        ("grade", ["high"], "high"),
        ("mass", [0.25], 0.25),
        # missing in every way that training knew
        ("age", ["NA"], None),
        ("age", [float("nan")], None),
        ("size", [-9.0], None),
        ("size", ["-9"], None),
        ("grade", ["unknown"], None),
        # nothing but missing values
        *(
            (column, pa.nulls(1), None)
            for column in ("age", "mass", "stage", "code", "smokes", "size", "seen", "grade")
        ),
        # a level that training did not see stays
        ("stage", ["four"], "four"),
        ("code", [77], "77"),
        ("grade", ["NA"], "NA"),
    ],
)
def test_what_a_value_becomes(study, row, column, values, read):
    assert applied(study, row, **{column: values})[column] == [read]


def test_a_level_that_training_did_not_see_is_zeros_and_counted(study, row):
    schema, _ = study
    columns = newrows.apply(*study, pa.table(row | {"stage": pa.array(["four"])}), key=KEY)
    X, counts = features.encode_counted(schema, columns)
    place = [feature.name for feature in schema.features].index("stage")
    assert counts[place].tolist() == [0, 0, 1]
    assert np.isfinite(X).all()


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "age",
            ["old"],
            "column 'age' must hold numbers; row 1 is 'old': repair these rows, name the words that mean a missing "
            "value (columns: {age: {missing: [...]}}), or declare another type",
        ),
        (
            "age",
            ["130"],
            "column 'age' must be at most 120; row 1 is 130.0: repair these rows, or correct columns.age.max",
        ),
        (
            "age",
            [130.0],
            "column 'age' must be at most 120; row 1 is 130.0: repair these rows, or correct columns.age.max",
        ),
        (
            "mass",
            ["3 lb"],
            "column 'mass' must hold numbers in kg; row 1 is '3 lb': repair these rows, name the words that mean a "
            "missing value (columns: {mass: {missing: [...]}}), or declare another type",
        ),
        (
            "size",
            [float("inf")],
            "column 'size' must be finite; row 1 is inf: repair these rows, or declare them missing",
        ),
        (
            "seen",
            ["29.02.2024"],
            "column 'seen' must hold times such as 2024-01-31, or a declared format; row 1 is '29.02.2024': repair "
            "these rows",
        ),
        ("age", [True], "column 'age' must hold words" + OTHER.format("bool")),
        ("size", [pd.Timestamp("2024-02-29")], "column 'size' must hold numbers" + OTHER.format("timestamp[us]")),
        ("seen", [1.5], "column 'seen' must hold times" + OTHER.format("double")),
        ("stage", [2], "column 'stage' must hold words" + OTHER.format("int64")),
        ("code", ["3"], "column 'code' must hold numbers" + OTHER.format("string")),
        ("smokes", ["false"], "column 'smokes' must hold true or false" + OTHER.format("string")),
        (
            "smokes",
            [["false"]],
            "column 'smokes' must hold numbers, times or words; it holds list<item: string>: convert it, or drop it",
        ),
    ],
)
def test_what_is_refused(study, row, column, values, message):
    assert refusal(study, row, **{column: values}) == message


def test_a_missing_column_is_refused(study, row):
    row["agee"] = row.pop("age")
    assert refusal(study, row) == "column 'age' must be there once; it is not; did you mean 'agee'?"


def test_a_column_that_is_there_twice_is_refused(study, row):
    table = pa.table(row).append_column("age", pa.array(["1"]))
    with pytest.raises(DataError) as caught:
        newrows.apply(*study, table, key=KEY)
    assert str(caught.value) == "column 'age' must be there once; there are 2 of this name"


def test_schema_and_account_of_two_studies_are_refused(study, row):
    schema, account = study
    others = account.model_copy(update={"columns": account.columns[1:]})
    with pytest.raises(DataError) as caught:
        newrows.apply(schema, others, pa.table(row), key=KEY)
    assert str(caught.value) == (
        "the schema and the account of cleaning must be those of one study; column 'age' is an input in the one, and "
        "not read in the other: take schema.json and cleaning.json from one folder"
    )


@pytest.mark.parametrize(("key", "given"), [(b"", "there is none"), (b"x" * 32, "the one given is c7d96f5d")])
def test_another_key_is_refused(study, row, key, given):
    with pytest.raises(DataError) as caught:
        newrows.apply(*study, pa.table(row), key=key)
    assert str(caught.value) == (
        f"columns about people must be hashed with the key of the study, whose fingerprint is {study[1].key}; {given}: "
        "give the key in the file .serpens-key of the folder in which the study was made"
    )


def test_a_value_about_a_person_stands_in_no_message():
    frame = pd.DataFrame({"pay": ["1", "2", "3", "4"], "y": ["a", "b"] * 2})
    result = clean(frame, target="y", personal={"pay": "keep"})
    schema = learning.learn(
        pieces.held(result.columns), task="classification", target="y", classes=("a", "b"), types={"pay": "number"}
    )
    with pytest.raises(DataError) as caught:
        newrows.apply(schema, result.account, pa.table({"pay": ["secret"]}))
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith("column 'pay' must hold numbers; row 1 is '***'")


def test_what_read_says_of_numbers_holds_for_new_rows():
    frame = pd.DataFrame({"x": ["1,5", "2.000,5", "3", "4"], "y": ["a", "b"] * 2})
    result = clean(frame, target="y", numbers={"decimal": ",", "thousands": "."})
    schema = learning.learn(
        pieces.held(result.columns), task="classification", target="y", classes=("a", "b"), types={"x": "number"}
    )
    assert newrows.apply(schema, result.account, pa.table({"x": ["1.234,5"]}))["x"].to_pylist() == [1234.5]
