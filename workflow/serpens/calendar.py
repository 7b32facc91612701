"""Regular series: the step between rows, and the moments that should be there."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serpens.errors import DataError

# How far from its moment, in steps, a time of the float type may lie.
ROUNDING = 1e-3


def regular(times: "pd.Series[Any]") -> NDArray[Any]:
    """Return every moment of the regular series that ``times`` are part of, from the first to the last.

    A step is a fixed span, or a calendar month, quarter or year. Moments may be missing; none may lie between.

    Parameters
    ----------
    times
        Numbers or times, each once, in any order.

    Raises
    ------
    DataError
        If a moment lies off the grid, or there are fewer than three.
    """
    ordered = np.sort(times.to_numpy())
    if len(ordered) < 3:
        msg = f"a series must have at least three rows; it has {len(ordered)}"
        raise DataError(msg)
    steps = np.diff(ordered)
    kinds, counts = np.unique(steps, return_counts=True)
    step = kinds[counts.argmax()]
    grid: NDArray[Any] | None = None
    if np.issubdtype(ordered.dtype, np.datetime64):
        grid = _calendar(ordered, step)
    elif np.issubdtype(ordered.dtype, np.floating):
        grid = _even(ordered, float(np.median(steps)))
    if grid is None:
        n = round((ordered[-1] - ordered[0]) / step)
        grid = ordered[0] + np.arange(n + 1) * step
    off = ~np.isin(ordered, grid)
    if off.any():
        span = pd.Timedelta(step) if np.issubdtype(ordered.dtype, np.datetime64) else step
        msg = (
            f"the series must be regular; most rows are {span} apart, and {ordered[off.argmax()]} lies between: "
            "aggregate to regular moments, or repair the column"
        )
        raise DataError(msg)
    return np.asarray(grid)


def _calendar(ordered: NDArray[np.datetime64], step: np.timedelta64) -> NDArray[np.datetime64] | None:
    """Return the grid of a monthly, quarterly or yearly series on one day of the month (or its last); else None."""
    days = step / np.timedelta64(1, "D")
    months = next(
        (m for m, (low, high) in {1: (28, 31), 3: (90, 92), 12: (365, 366)}.items() if low <= days <= high), 0
    )
    if not months:
        return None
    index = pd.DatetimeIndex(ordered)
    at_end = bool(index.is_month_end.all())
    if not at_end and (index.day != index.day[0]).any():
        return None
    n = ((index[-1].year - index[0].year) * 12 + index[-1].month - index[0].month) // months
    moments = [index[0] + pd.DateOffset(months=months * i) for i in range(n + 1)]
    if at_end:
        moments = [moment + pd.offsets.MonthEnd(0) for moment in moments]
    return np.asarray(pd.DatetimeIndex(moments).to_numpy().astype(ordered.dtype))


def _even(ordered: NDArray[np.float64], step: float) -> NDArray[np.float64] | None:
    """Return the grid of numbers that are evenly spaced but for rounding, such as 0.1, 0.2, 0.3; else None."""
    n = round((ordered[-1] - ordered[0]) / step)
    step = (ordered[-1] - ordered[0]) / n
    place = (ordered - ordered[0]) / step
    index = np.rint(place).astype(np.int64)
    if np.abs(place - index).max() > ROUNDING or np.diff(index).min() < 1:
        return None
    grid = np.asarray(ordered[0] + np.arange(n + 1) * step)
    grid[index] = ordered
    return grid
