"""What holds for every table: order says nothing, nothing is lost, and the test rows teach nothing."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.unit.splitting import split
from tests.unit.tabular import clean

from serpens import io, ordering, splits
from serpens.dataartefacts import Cleaning
from serpens.errors import DataError

# a word of each kind that a column of people's tables holds
WORDS = {
    "number": ["1", "1.0", "2.5", "-3", "1e-3", "NA", ""],
    "category": ["red", "blue", "Blue", "n/a", "", "none"],
    "time": ["2024-01-31", "2024-02-01", "2024-02-01T12:00", ""],
    "constant": ["same"],
}
ASKED = {
    "claim": dict.fromkeys(["new", "after", "column", "file"]),
    "folds": None,
    "fractions": {"validation": 0.2, "calibration": 0.1, "test": 0.25},
    "image": None,
    "clean": {"outliers": "keep", "impute": "median", "indicator": True},
    "columns": {},
    "select": None,
    "series": None,
}
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def tables(draw, min_rows=2, max_rows=30):
    """Draw a raw table with a target y of numbers, and up to four further columns."""
    n = draw(st.integers(min_rows, max_rows))
    kinds = draw(st.lists(st.sampled_from(sorted(WORDS)), min_size=1, max_size=4))
    columns = {
        "y": [f"{value}.5" if value else "" for value in draw(st.lists(st.integers(0, 30), min_size=n, max_size=n))]
    }
    for place, kind in enumerate(kinds):
        columns[f"x{place}"] = draw(st.lists(st.sampled_from(WORDS[kind]), min_size=n, max_size=n))
    return pd.DataFrame(columns, dtype="str")


def cleaned(frame, **roles):
    """Return the cleaned table; a table that nothing can be predicted from is no example."""
    try:
        return clean(frame, target="y", task="regression", **roles)
    except DataError as err:
        assume("must have values" not in str(err))
        assume("at least one column must be left" not in str(err))
        assume("a target of regression" not in str(err))
        raise


def written(frame):
    path = Path("clean.parquet")
    io.write_table(path, frame)
    return path.read_bytes()


def sides(result, folds=None):
    """Return the part of each row, by its name."""
    content = result.frame["content"].to_numpy(dtype=object)
    fractions = {part: share for part, share in ASKED["fractions"].items() if part != "test" or not folds}
    labels = splits.by_key(content, split=0, folds=folds, fractions=fractions)
    return dict(zip(result.frame["row"], labels.tolist(), strict=True))


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("clean"))
        yield


@few
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_does_not_matter(frame, random):
    rows, names = list(frame.index), list(frame.columns)
    random.shuffle(rows)
    random.shuffle(names)
    first, second = cleaned(frame), cleaned(frame.loc[rows, names])
    assert written(first.frame) == written(second.frame)
    assert sides(first, folds=5) == sides(second, folds=5)
    assert first.digest == second.digest


@few
@given(tables(), st.sampled_from([None, "i"]), st.booleans(), st.integers(1, 40))
def test_pieces_and_ranges_do_not_matter(frame, name, with_time, n_pieces):
    frame = frame.assign(d=[f"2024-01-{1 + place % 3:02d}" for place in range(len(frame))])
    if name:
        frame = frame.assign(i=[f"r{place % 20}" for place in range(len(frame))])
        frame = frame.drop_duplicates("i") if len(frame) < 25 else frame.head(20)
    roles = {"id": name, "time": "d" if with_time else None}
    together = cleaned(frame, **roles)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "RANGE_CELLS", 3 * len(frame.columns))
        apart = cleaned(frame, pieces=n_pieces, threads=2, **roles)
    assert written(together.frame) == written(apart.frame)
    assert (together.account, together.digest) == (apart.account, apart.digest)


@few
@given(tables(min_rows=3), st.data())
def test_adding_rows_moves_no_old_row(frame, data):
    first = data.draw(st.integers(2, len(frame) - 1))
    try:
        before = sides(cleaned(frame.head(first)))
    except DataError:
        assume(False)
    after = sides(cleaned(frame))
    assert before.items() <= after.items()


@few
@given(tables(), st.booleans())
def test_every_row_and_column_is_accounted_for(frame, with_id):
    if with_id:
        # each row is told twice, as when two exports are put together
        frame = frame.assign(i=[f"r{place}" for place in range(len(frame))])
        frame = pd.concat([frame, frame])
    result = cleaned(frame, id="i" if with_id else None)
    rows = result.account.rows
    assert rows.read == len(frame)
    assert rows.kept == len(result.frame)
    assert rows.read + rows.inserted == rows.kept + sum(rows.dropped.values())
    assert result.frame["row"].is_unique
    entries = result.account.columns
    assert [entry.name for entry in entries] == list(frame.columns)
    assert all(entry.kept == (entry.reason is None) for entry in entries)
    features = {entry.name for entry in entries if entry.kept and entry.role != "id"}
    assert features == set(result.frame.columns) - {"row", "content"}
    result.account.write("cleaning.json")
    assert Cleaning.read("cleaning.json") == result.account


@few
@given(tables(), st.integers(2, 3))
def test_exact_duplicates_are_never_on_two_sides(frame, times):
    result = cleaned(pd.concat([frame] * times))
    part = result.frame["row"].map(sides(result, folds=5))
    assert part.groupby(result.frame["content"]).nunique().max() == 1
    known = len(frame) - (frame["y"] == "").sum()
    assert result.account.rows.duplicates >= known * (times - 1)


@few
@given(tables(min_rows=12), st.data())
def test_test_rows_teach_preprocessing_nothing(frame, data):
    frame = frame.assign(i=[f"r{place}" for place in range(len(frame))], y=[f"{i}.5" for i in range(len(frame))])
    result = cleaned(frame, id="i")
    part = frame["i"].map(sides(result))
    assume(set(part) >= {"train", "validation", "test"})
    other = frame.copy()
    for name in frame.columns.drop(["i", "y"]):
        # another value of the same column, so that its type stays
        other.loc[part == "test", name] = data.draw(st.sampled_from(sorted(set(frame[name]))))
    other.loc[part == "test", "y"] = "1000000"
    again = cleaned(other, id="i")
    assume(again.digest.columns == result.digest.columns)
    assert learned(result) == learned(again)


def learned(result):
    """Return the bytes of schema.json."""
    _, schema = split(ASKED, 0, result.columns, result.digest)
    schema.write("schema.json")
    return Path("schema.json").read_bytes()
