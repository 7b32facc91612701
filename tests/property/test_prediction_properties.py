"""What a trained study makes of a row depends on the row and the schema alone, bit for bit."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serpens import features, io, learning, pieces, stages
from serpens.errors import DataError
from serpens.learning import Treatments

numbers = st.none() | st.floats(-1e9, 1e9) | st.integers(-3, 3).map(float)
words = st.none() | st.sampled_from(["red", "green", "blue", "π", ""])
times = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
treatments = st.fixed_dictionaries(
    {
        "outliers": st.sampled_from(["keep", "clip", "flag"]),
        "impute": st.sampled_from(["median", "mean", "mode", "zero"]),
        "indicator": st.booleans(),
    }
)
TYPES = {"x2": "number", "x10": "number", "t": "time", "c": "category"}


@st.composite
def tables(draw):
    rows = draw(st.lists(st.tuples(numbers, numbers, times, words), min_size=4, max_size=30))
    x2, x10, t, c = zip(*rows, strict=True)
    return {
        "x2": np.array(x2, dtype=np.float64),
        "x10": np.array(x10, dtype=np.float64),
        "t": np.array([np.datetime64("NaT") if v is None else v for v in t], dtype="datetime64[us]"),
        "c": np.array(c, dtype=object),
        "y": np.array(["a", "b"] * len(rows), dtype=object)[: len(rows)],
    }


def learned(table, study):
    given = Treatments(study, {})
    return learning.learn(
        pieces.held(table), task="classification", target="y", classes=("a", "b"), types=TYPES, treatments=given
    )


def rows_of(table, rows):
    return {name: values[rows] for name, values in table.items()}


@settings(max_examples=150, deadline=None)
@given(tables(), treatments, st.data())
def test_features_are_those_of_training(tmp_path_factory, table, study, data):
    schema = learned(table, study)
    n = len(table["y"])
    path = tmp_path_factory.getbasetemp() / "train.safetensors"
    whole = {"train": pieces.held(table)} | {
        part: pieces.held(rows_of(table, slice(0, 1))) for part in ("validation", "calibration", "test")
    }

    def write(part, n_rows, examples):
        found = [each.arrays() for each in examples]
        if part == "train":
            io.write_pieces(path, n_rows, found)

    stages.encode(schema, whole, write)
    trained = io.map_arrays(path)["X"]
    order = np.array(data.draw(st.permutations(range(n))))
    assert features.encode(schema, rows_of(table, order)).tobytes() == trained[order].tobytes()
    one_by_one = [features.encode(schema, rows_of(table, slice(i, i + 1))) for i in range(n)]
    assert np.concatenate(one_by_one).tobytes() == trained.tobytes()
    # columns in another order, without the target, with one that training did not have; text as Arrow has it
    names = data.draw(st.permutations(list(TYPES)))
    other = (
        {"new": np.zeros(n)} | {name: table[name] for name in names} | {"c": pa.array(table["c"], pa.large_string())}
    )
    assert features.encode(schema, other).tobytes() == trained.tobytes()
    # times in a finer unit
    finer = table | {"t": table["t"].astype("datetime64[ns]")}
    assert features.encode(schema, finer).tobytes() == trained.tobytes()


@settings(max_examples=30, deadline=None)
@given(tables(), treatments)
def test_a_level_that_training_did_not_see_is_zeros_and_counted(table, study):
    schema = learned(table, study)
    (c,) = (feature for feature in schema.features if feature.name == "c")
    seen, counted = features.encode_counted(
        schema, table | {"c": np.array(["ultraviolet"] * len(table["y"]), dtype=object)}
    )
    assert not seen[:, : len(c.levels)].any()
    assert counted[0].tolist() == [0, 0, len(table["y"])]


@settings(max_examples=30, deadline=None)
@given(tables(), treatments, st.sampled_from(list(TYPES)))
def test_a_missing_column_is_refused(table, study, name):
    schema = learned(table, study)
    with pytest.raises(DataError) as caught:
        features.encode(schema, {other: values for other, values in table.items() if other != name})
    assert str(caught.value).startswith(f"column {name!r} must be there; it is not")
