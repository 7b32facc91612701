"""Raw rows that come after training become the inputs that training made of them, in any order and number."""

import pandas as pd
import pyarrow as pa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.unit.tabular import clean

from serpens import features, learning, newrows, pieces
from serpens.errors import DataError

KEY = b"k" * 32
# a column of each kind: what the study says of it, and words that stand in it
COLUMNS = {
    "plain": ({}, ["1", "-3", " 2.5", "1e-3", "+7", "NA", ""]),
    "weight": ({"unit": "kg", "units": {"g": 0.001}}, ["12 kg", "500 g", "3.1", "0.7kg", "-"]),
    "price": ({"decimal": ",", "thousands": "."}, ["1.234,5", "2,5", "1.000.000", "n/a"]),
    "depth": ({"missing": ("-999",), "min": 0.0}, ["-999", "0", "3.25", "1000000000000"]),
    "day": ({}, ["31.12.2024", "29.02.2024", "13.01.1999", ""]),
    "seen": ({"zone": "Europe/Berlin", "type": "time"}, ["2024-07-01 12:00", "2024-01-01T00:00+02:00", "unknown"]),
    "sex": ({"spelling": {"male": ("M", "m"), "female": ("F",)}}, ["M", "m", "male", " F", "female", "?", "Ω"]),
    "who": ({}, ["ann", "bob", "cleo", ""]),
}
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def tables(draw):
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=5, unique=True))
    n = draw(st.integers(4, 30))
    columns = {name: draw(st.lists(st.sampled_from(COLUMNS[name][1]), min_size=n, max_size=n)) for name in names}
    return pd.DataFrame(
        columns | {"key": [f"r{i:02d}" for i in range(n)], "y": ["a", "b"] * (n // 2) + ["a"] * (n % 2)}
    )


def trained(frame):
    """Return what training knows, and the inputs of the rows by their order in the raw table."""
    said = {name: COLUMNS[name][0] for name in frame.columns if name in COLUMNS}
    personal = {"who": "hash"} if "who" in frame else {}
    try:
        result = clean(frame.astype("str"), target="y", id="key", columns=said, personal=personal, key=KEY)
    except DataError as err:
        # a column of so few words is clear or it is not; that is no matter of later rows
        assume(False)
        raise AssertionError from err
    types = {name: each["type"] for name, each in result.digest.columns.items() if each["role"] == "feature"}
    schema = learning.learn(
        pieces.held(result.columns), task="classification", target="y", classes=("a", "b"), types=types
    )
    assert result.columns["row"].tolist() == frame["key"].tolist()
    return schema, result.account, features.encode(schema, result.columns)


@few
@given(tables(), st.data())
def test_new_rows_become_the_inputs_of_training(frame, data):
    schema, account, X = trained(frame)
    raw = pa.Table.from_pandas(frame, preserve_index=False)

    def inputs(rows):
        return features.encode(schema, newrows.apply(schema, account, rows, key=KEY))

    assert inputs(raw).tobytes() == X.tobytes()
    order = data.draw(st.permutations(range(len(frame))))
    assert inputs(raw.take(order)).tobytes() == X[order].tobytes()
    assert b"".join(inputs(raw.slice(i, 1)).tobytes() for i in range(len(frame))) == X.tobytes()
    # columns in another order, with one that training did not have, without id and target
    names = data.draw(st.permutations([name for name in raw.column_names if name not in ("key", "y")]))
    other = raw.select(names).append_column("new", pa.array([1] * len(frame)))
    assert inputs(other).tobytes() == X.tobytes()
    # in several pieces, some of them as levels
    levels = pa.table({name: raw.column(name).dictionary_encode() for name in raw.column_names})
    assert inputs(pa.concat_tables([raw.slice(2), raw.slice(0, 2)])).tobytes() == X[[*range(2, len(X)), 0, 1]].tobytes()
    assert inputs(levels).tobytes() == X.tobytes()


@few
@given(tables())
def test_the_account_survives_being_written(frame):
    schema, account, X = trained(frame)
    again = type(account).model_validate_json(account.model_dump_json())
    raw = pa.Table.from_pandas(frame, preserve_index=False)
    assert features.encode(schema, newrows.apply(schema, again, raw, key=KEY)).tobytes() == X.tobytes()
