import numpy as np
import pandas as pd
import pytest

from serpens.calendar import regular
from serpens.errors import DataError


def times(*words):
    return pd.Series(pd.to_datetime(list(words), format="ISO8601"))


def days(*words):
    return [str(moment)[:10] for moment in regular(times(*words))]


def refusal(values):
    with pytest.raises(DataError) as caught:
        regular(values)
    return str(caught.value)


def test_a_gap_is_filled_whatever_the_order():
    assert days("2024-01-05", "2024-01-01", "2024-01-02", "2024-01-03") == [f"2024-01-0{i}" for i in range(1, 6)]


def test_weeks_hours_and_numbers_have_a_fixed_step():
    assert days("2024-01-01", "2024-01-08", "2024-01-22") == ["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22"]
    assert len(regular(times("2024-01-01T00:00", "2024-01-01T06:00", "2024-01-02T00:00"))) == 5
    assert regular(pd.Series([10.0, 2.0, 4.0, 6.0])).tolist() == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(("n", "start"), [(30, 0.0), (5000, 0.0), (5000, 1.6e9)])
def test_steps_that_binary_numbers_cannot_hold_are_regular(n, start):
    values = np.array([start + i / 10 for i in range(n)])
    values = np.delete(values, 7)
    grid = regular(pd.Series(values))
    assert len(grid) == n
    assert np.isin(values, grid).all()
    assert grid[7] == pytest.approx(start + 0.7, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        (["2024-01-15", "2024-02-15", "2024-04-15"], ["2024-01-15", "2024-02-15", "2024-03-15", "2024-04-15"]),
        (["2024-01-31", "2024-02-29", "2024-04-30"], ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]),
        (["2024-02-29", "2024-03-31", "2024-05-31"], ["2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"]),
        (["2023-12-31", "2024-03-31", "2024-09-30"], ["2023-12-31", "2024-03-31", "2024-06-30", "2024-09-30"]),
        (["2019-05-01", "2020-05-01", "2022-05-01"], ["2019-05-01", "2020-05-01", "2021-05-01", "2022-05-01"]),
    ],
    ids=["months", "ends of months", "ends of months from a short one", "quarters", "years"],
)
def test_the_calendar_has_steps_of_unequal_length(given, filled):
    assert days(*given) == filled


def test_four_weeks_are_no_month():
    assert days("2024-01-01", "2024-01-29", "2024-02-26", "2024-04-22")[3] == "2024-03-25"


def test_a_moment_off_the_grid_is_named():
    assert refusal(times("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04T06:00", "2024-01-05")) == (
        "the series must be regular; most rows are 1 days 00:00:00 apart, and 2024-01-04T06:00:00.000000 lies between: "
        "aggregate to regular moments, or repair the column"
    )
    assert refusal(pd.Series([0.0, 1.0, 2.0, 2.5, 3.0, 4.0])) == (
        "the series must be regular; most rows are 1.0 apart, and 2.5 lies between: "
        "aggregate to regular moments, or repair the column"
    )


def test_a_month_with_another_day_is_named():
    assert "2024-04-30" in refusal(times("2024-01-30", "2024-02-29", "2024-03-30", "2024-04-30"))


def test_two_rows_are_no_series():
    assert refusal(times("2024-01-01", "2024-01-02")) == "a series must have at least three rows; it has 2"
