"""Forecasting: a regular series is cut into windows, each seeing nothing later than its origin.

The origin of a forecast is the last row that it knows. Inputs are values up to the origin, outputs the ``horizon``
values after it, both relative to the value at the origin: a model then learns changes, which repeat, instead of
levels, which a trend moves out of what was seen in training (Zeng et al. 2023, "Are transformers effective for time
series forecasting?", arXiv 2205.13504, NLinear).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from serpens.artefacts import Feature, Schema, Series, Target
from serpens.data import Examples
from serpens.errors import DataError
from serpens.features import Prepared
from serpens.pieces import Columns


def learn(train: Columns, *, target: str, types: Mapping[str, str], series: Series) -> Schema:
    """Learn the scale of changes, and of the further series, on the training rows.

    Raises
    ------
    DataError
        If the training rows are fewer than one window, or a further series is not a series of numbers.
    """
    if wrong := [name for name, kind in types.items() if kind != "number"]:
        msg = f"a forecast can use only columns of numbers beside the target; {wrong[0]!r} is of type {types[wrong[0]]}"
        raise DataError(msg)
    needed = series.history + series.horizon
    if len(train[target]) < needed:
        msg = (
            f"training needs at least history + horizon = {needed} rows; it has {len(train[target])}: "
            "shorten history or horizon, or collect a longer series"
        )
        raise DataError(msg)
    values = forward_filled(train[target])
    changes = _ahead(values, series.horizon) - values[: -series.horizon, None]
    features = []
    for name in sorted(types):
        filled = forward_filled(train[name])
        features.append(
            Feature(
                name=name,
                type="number",
                center=float(filled.mean()),
                scale=float(filled.std()) or 1.0,
                impute="forward_fill",
            )
        )
    return Schema(
        task="forecasting",
        target=Target(name=target, center=0.0, scale=float(changes.std()) or 1.0),
        features=tuple(features),
        series=series,
        n_train=len(values),
    )


def prepare(schema: Schema, columns: Columns, past: Columns | None = None) -> Prepared:
    """Cut the windows whose ``horizon`` outputs all lie in ``columns``; inputs may reach back into ``past``.

    Parameters
    ----------
    columns
        The rows to forecast, in order of time.
    past
        The rows just before them.

    Notes
    -----
    A gap in the inputs is filled with the last value before it, so that nothing later is seen; a further series that
    starts late has its mean in training before it starts. A gap in the outputs
    is filled so for training too, and never scored: ``truth`` is NaN there.
    """
    series = schema.series
    assert series is not None
    name, history, horizon = schema.target.name, series.history, series.horizon
    joined = {key: _join(past, columns, key) for key in (name, series.time, "row", *(f.name for f in schema.features))}
    observed = joined[name].astype(np.float64)
    start = len(observed) - len(columns[name])
    # row of the first output of the first window, whose origin comes not before the first value
    first = max(start, history, int((~np.isnan(observed)).argmax()) + 1)
    n_windows = len(observed) - first - horizon + 1
    if n_windows < 1:
        msg = (
            f"a part must hold at least one window of history {history} and horizon {horizon} rows; it has "
            f"{len(columns[name])} rows with {start} before them: shorten history or horizon, or give the part "
            "a larger fraction"
        )
        raise DataError(msg)
    values = forward_filled(observed)
    outputs = slice(first, None)
    last = values[first - 1 : first - 1 + n_windows, None]
    inputs = [(_behind(values, history, first, n_windows) - last) / schema.target.scale]
    for feature in schema.features:
        filled = forward_filled(joined[feature.name].astype(np.float64), leading=feature.center)
        further = (filled - feature.center) / feature.scale
        inputs.append(_behind(further, history, first, n_windows))
    y = (_ahead(values[first - 1 :], horizon) - last) / schema.target.scale
    steps = np.tile(np.arange(1, horizon + 1), n_windows)
    return Prepared(
        examples=Examples(X=np.concatenate(inputs, axis=1).astype(np.float32), y=y.astype(np.float32)),
        keys={
            "row": sliding_window_view(joined["row"][outputs], horizon).ravel(),
            "origin": joined[series.time][first - 1 : first - 1 + n_windows].repeat(horizon),
            "step": steps,
            "time": sliding_window_view(joined[series.time][outputs], horizon).ravel(),
        },
        truth=sliding_window_view(observed[outputs], horizon).ravel(),
        offset=last,
    )


def forward_filled(values: NDArray[np.float64], leading: float | None = None) -> NDArray[np.float64]:
    """Replace NaN by the last value before it; leading NaN by ``leading``, or else by the first value there is.

    Raises
    ------
    DataError
        If there is no value at all.
    """
    known = ~np.isnan(values)
    if not known.any():
        msg = "a series must have values; every row of this part is missing"
        raise DataError(msg)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), 0))
    first = values[known.argmax()] if leading is None else leading
    return np.where(known[last], values[last], first)


def _join(past: Columns | None, columns: Columns, name: str) -> NDArray[Any]:
    return columns[name] if past is None else np.concatenate([past[name], columns[name]])


def _ahead(values: NDArray[np.float64], horizon: int) -> NDArray[np.float64]:
    """Return ``(len(values) - horizon, horizon)``: row i holds the values after i."""
    return sliding_window_view(values[1:], horizon)


def _behind(values: NDArray[np.float64], history: int, first: int, n_windows: int) -> NDArray[np.float64]:
    """Return ``(n_windows, history)``: row i holds the values just before output row ``first + i``."""
    return sliding_window_view(values, history)[first - history : first - history + n_windows]
