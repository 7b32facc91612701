import numpy as np
import pandas as pd
import pytest
from tests.unit.splitting import split
from tests.unit.tabular import clean

from serpens import judgement, series
from serpens.artefacts import Series
from serpens.errors import DataError

SERIES = Series(time="t", horizon=3, history=4, season=2)


def columns(values, start=0, **further):
    n = len(values)
    return {
        "y": np.asarray(values, dtype=float),
        "t": np.datetime64("2000-01-01") + np.arange(start, start + n),
        "row": np.array([str(i) for i in range(start, start + n)], dtype=object),
    } | further


def test_windows_hold_what_was_known_and_what_came():
    train = columns(np.arange(20.0) ** 2)
    schema = series.learn(train, target="y", types={}, series=SERIES)
    prepared = series.prepare(schema, train)
    assert len(prepared.examples) == 20 - 4 - 3 + 1
    # the first origin is row 3 (value 9): inputs are rows 0..3, outputs rows 4..6
    scale = schema.target.scale
    np.testing.assert_allclose(prepared.examples.X[0] * scale, np.array([0, 1, 4, 9]) - 9, rtol=1e-5)
    np.testing.assert_allclose(prepared.examples.y[0] * scale, np.array([16, 25, 36]) - 9, rtol=1e-5)
    assert list(prepared.truth[:3]) == [16, 25, 36]
    assert list(prepared.keys["row"][:4]) == ["4", "5", "6", "5"]
    assert (prepared.keys["origin"][:3] == train["t"][3]).all()
    assert (prepared.keys["time"] - prepared.keys["origin"]).astype(int).tolist() == [1, 2, 3] * 14


def test_test_windows_reach_back_and_all_outputs_lie_in_the_part():
    train, test = columns(np.arange(20.0)), columns(np.arange(20.0, 26.0), start=20)
    schema = series.learn(train, target="y", types={}, series=SERIES)
    prepared = series.prepare(schema, test, past=train)
    assert len(prepared.examples) == 6 - 3 + 1
    assert prepared.keys["time"].min() == test["t"][0]
    assert prepared.offset[0, 0] == 19


@pytest.mark.parametrize("name", ["y", "z"])
def test_no_window_sees_beyond_its_origin(name):
    rng = np.random.default_rng(0)
    train = columns(rng.normal(size=40), z=rng.normal(size=40))
    train["y"][10:13] = np.nan
    schema = series.learn(train, target="y", types={"z": "number"}, series=SERIES)
    before = series.prepare(schema, train).examples.X
    for later in range(5, 37):
        planted = dict(train)
        planted[name] = train[name].copy()
        planted[name][later:] = 1e6
        after = series.prepare(schema, planted).examples.X
        origins = np.arange(len(before)) + SERIES.history - 1
        known = origins < later
        assert (after[known] == before[known]).all()
        assert not (after[~known] == before[~known]).all()


@pytest.mark.parametrize("name", ["y", "z"])
def test_a_series_that_starts_late_shows_nothing_before_it_starts(name):
    rng = np.random.default_rng(0)
    train = columns(rng.normal(size=30), z=rng.normal(size=30))
    train[name][:10] = np.nan
    schema = series.learn(train, target="y", types={"z": "number"}, series=SERIES)
    before = series.prepare(schema, train)
    planted = dict(train)
    planted[name] = train[name].copy()
    planted[name][10:] = 1e6
    after = series.prepare(schema, planted)
    origins = before.keys["origin"][:: SERIES.horizon]
    known = origins < train["t"][10]
    assert (after.examples.X[known] == before.examples.X[known]).all()
    # without a value of the target there is nothing to forecast from; without one of another column there is
    assert known.sum() == (0 if name == "y" else 10 - SERIES.history + 1)


def test_test_rows_change_no_window_of_other_parts_and_no_scale():
    def made(ahead):
        n = 100
        days = np.datetime64("2000-01-01") + np.arange(n)
        y, z = np.random.default_rng(0).normal(size=(2, n))
        y[80:] += ahead
        z[80:] -= ahead
        frame = pd.DataFrame({"t": days, "y": y, "z": z})
        result = clean(frame, target="y", time="t", horizon=3, features=["z"])
        asked = {
            "claim": {"new": None, "after": "t", "column": None, "file": None},
            "folds": None,
            "fractions": {"validation": 0.2, "calibration": 0.1, "test": 0.2},
            "clean": {"outliers": "keep", "impute": "median", "indicator": True},
            "columns": {},
            "select": None,
            "series": {"time": "t", "horizon": 3, "history": 4},
        }
        parts, schema = split(asked, 0, result.columns, result.digest)
        validation = judgement.prepare(schema, parts["validation"], parts["train"])
        return parts, schema, (judgement.prepare(schema, parts["train"]).examples, validation.examples)

    parts, schema, windows = made(ahead=0)
    _, planted_schema, planted = made(ahead=1e6)
    assert len(parts["test"]["y"]) == 20
    assert schema == planted_schema
    assert all((a.X == b.X).all() and (a.y == b.y).all() for a, b in zip(windows, planted, strict=True))


def test_the_first_test_window_sees_the_last_row_before_it_and_no_output():
    train, test = columns(np.arange(20.0)), columns(np.arange(20.0, 26.0), start=20)
    schema = series.learn(train, target="y", types={}, series=SERIES)
    before = series.prepare(schema, test, past=train)
    later = columns(np.r_[test["y"][:1], np.full(5, 1e6)], start=20)
    after = series.prepare(schema, later, past=train)
    assert (after.examples.X[:2] == before.examples.X[:2]).all()
    assert not (after.examples.X[2] == before.examples.X[2]).all()


def test_a_missing_truth_is_not_scored():
    train = columns(np.arange(20.0))
    train["y"][10] = np.nan
    schema = series.learn(train, target="y", types={}, series=SERIES)
    prepared = series.prepare(schema, train)
    assert np.isnan(prepared.truth).sum() == 3
    assert np.isfinite(prepared.examples.X).all()


def test_a_series_that_is_too_short_says_so():
    with pytest.raises(DataError, match=r"at least history \+ horizon = 7 rows; it has 6"):
        series.learn(columns(np.arange(6.0)), target="y", types={}, series=SERIES)
