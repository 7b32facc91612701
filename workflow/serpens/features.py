"""From cleaned rows to arrays: what is learned on training rows, and how it is applied to any rows.

Columns are named NumPy arrays: numbers float64 with NaN, times datetime64 with NaT, categories text with None.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens.artefacts import Feature, ImageShape, Schema, Target
from serpens.config import Task
from serpens.data import Examples, Problem
from serpens.errors import DataError, nearest

Columns = Mapping[str, NDArray[Any]]

# A category with more levels than this keeps its most frequent ones: a rarer level has too few rows to learn from.
MAX_LEVELS = 50


@dataclass(frozen=True)
class Prepared:
    """A part of the data, ready to train on and to be scored.

    Attributes
    ----------
    keys
        What says which prediction this is: ``row``; for forecasts also ``origin``, ``step`` and ``time``.
        Each array has one entry a prediction: ``(n,)``, or ``(n * horizon,)``.
    truth
        Class codes, or values in the target's own units; NaN where a forecast cannot be judged.
    offset
        ``(n, 1)``: added to a decoded value; the last value before the origin of a forecast, else 0.
    """

    examples: Examples
    keys: Columns
    truth: NDArray[Any]
    offset: NDArray[np.float64]


def problem(schema: Schema) -> Problem:
    """Return the shape of the problem that the schema poses to a model."""
    if schema.series is not None:
        history = schema.series.history
        return Problem(
            task=schema.task,
            input_shape=(history * (1 + len(schema.features)),),
            n_outputs=schema.series.horizon,
            history=history,
            season=schema.series.season,
        )
    width = sum(map(_width, schema.features))
    return Problem(
        task=schema.task,
        input_shape=schema.image.shape if schema.image else (width,),
        n_outputs=len(schema.target.classes) or 1,
    )


def learn(
    train: Columns,
    *,
    task: Task,
    target: str,
    classes: Sequence[str],
    types: Mapping[str, str],
    image: tuple[int, int, int] | None = None,
    weight: str | None = None,
) -> Schema:
    """Learn imputation, scaling and category tables on the training rows.

    Parameters
    ----------
    train
        Columns of the training rows.
    types
        Type of each feature: number, category or time. Their order is not used: features are taken in natural
        order of their names (``x2`` before ``x10``), so that the order of columns in a file does not matter.
    image
        Channels, height, width that the features fill, all scaled by one mean and deviation.

    Raises
    ------
    DataError
        If the features do not fill the image.
    """
    features = [_learn_feature(name, types[name], train[name]) for name in sorted(types, key=_natural)]
    if image is not None:
        features = _learn_pixels(features, train, image)
    center, scale = (0.0, 1.0) if classes else _moments(train[target])
    return Schema(
        task=task,
        target=Target(name=target, classes=tuple(classes), center=center, scale=scale),
        features=tuple(features),
        image=ImageShape(shape=image) if image else None,
        weight=weight,
        n_train=len(train[target]),
    )


def prepare(schema: Schema, columns: Columns) -> Prepared:
    """Turn rows into arrays with what the schema learned.

    Raises
    ------
    DataError
        If a column of the schema is missing or a class is unknown.
    """
    X = encode(schema, columns)
    target = _column(columns, schema.target.name)
    if schema.target.classes:
        truth = codes(target, schema.target)
        y: NDArray[Any] = truth
    else:
        truth = target.astype(np.float64)
        y = ((truth - schema.target.center) / schema.target.scale).astype(np.float32)[:, None]
    weight = _column(columns, schema.weight).astype(np.float32) if schema.weight else None
    return Prepared(
        examples=Examples(X=X, y=y, weight=weight),
        keys={"row": columns["row"]},
        truth=truth,
        offset=np.zeros((len(X), 1)),
    )


def encode(schema: Schema, columns: Columns) -> NDArray[np.float32]:
    """Return the inputs ``(n, *input_shape)`` of rows; the target is not looked at."""
    inputs = [_encode_feature(feature, _column(columns, feature.name)) for feature in schema.features]
    X = np.concatenate(inputs, axis=1).astype(np.float32)
    return X.reshape(len(X), *problem(schema).input_shape)


def decode(schema: Schema, prediction: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities as they are, and values ``(n, n_outputs)`` in the target's own units."""
    if schema.target.classes:
        return prediction
    return prediction * schema.target.scale + schema.target.center + offset


def codes(values: NDArray[Any], target: Target) -> NDArray[np.int64]:
    """Return the code of each class.

    Raises
    ------
    DataError
        If a class was not known when the schema was learned.
    """
    code = {name: index for index, name in enumerate(target.classes)}
    try:
        return np.array([code[value] for value in values], dtype=np.int64)
    except KeyError as err:
        msg = f"column {target.name!r} must hold one of the classes {', '.join(target.classes)}; found {err.args[0]!r}"
        raise DataError(msg) from None


def _column(columns: Columns, name: str) -> NDArray[Any]:
    try:
        return columns[name]
    except KeyError:
        msg = f"column {name!r} must be there; it is not{nearest(name, columns)}"
        raise DataError(msg) from None


def _natural(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _width(feature: Feature) -> int:
    return len(feature.levels) if feature.type == "category" else 1 + feature.indicator


def _numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return numbers as they are, and times as days since 1970 with NaN for a missing one."""
    if values.dtype.kind == "M":
        days = (values - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
        return np.asarray(days, dtype=np.float64)
    return np.asarray(values, dtype=np.float64)


def _moments(values: NDArray[np.float64]) -> tuple[float, float]:
    observed = values[~np.isnan(values)]
    scale = float(observed.std())
    # 1e-12 of the mean is rounding, not variation
    return float(observed.mean()), scale if scale > 1e-12 * abs(observed).max() else 1.0


def _learn_feature(name: str, kind: str, values: NDArray[Any]) -> Feature:
    if kind == "category":
        words = np.array(["" if value is None else value for value in values], dtype=object)
        levels, counts = np.unique(words.astype(str), return_counts=True)
        frequent = sorted(zip(-counts, levels, strict=True))[:MAX_LEVELS]
        return Feature(name=name, type="category", levels=tuple(sorted(str(level) for _, level in frequent)))
    numbers = _numbers(values)
    missing = np.isnan(numbers)
    if missing.all():
        # nothing to learn: every value becomes 0, and the indicator would be constant
        return Feature(name=name, type="time" if kind == "time" else "number")
    fill = float(np.nanmedian(numbers))
    center, scale = _moments(np.where(missing, fill, numbers))
    return Feature(
        name=name,
        type="time" if kind == "time" else "number",
        center=center,
        scale=scale,
        fill=fill,
        indicator=bool(missing.any()),
    )


def _learn_pixels(features: list[Feature], train: Columns, image: tuple[int, int, int]) -> list[Feature]:
    if len(features) != np.prod(image) or any(feature.type != "number" for feature in features):
        msg = (
            f"image.shape {list(image)} needs {np.prod(image)} columns of numbers; found {len(features)} columns, "
            f"of type {', '.join(sorted({feature.type for feature in features}))}: mend image.columns or image.shape"
        )
        raise DataError(msg)
    pixels = np.stack([train[feature.name] for feature in features])
    if np.isnan(pixels).any():
        name = features[int(np.isnan(pixels).any(axis=1).argmax())].name
        msg = f"a pixel must have a value; column {name!r} has missing ones: repair or remove these images"
        raise DataError(msg)
    center, scale = _moments(pixels.ravel())
    return [feature.model_copy(update={"center": center, "scale": scale}) for feature in features]


def _encode_feature(feature: Feature, values: NDArray[Any]) -> NDArray[np.float64]:
    if feature.type == "category":
        place = {level: index for index, level in enumerate(feature.levels)}
        chosen = np.array([place.get("" if value is None else value, -1) for value in values])
        hot: NDArray[np.bool_] = chosen[:, None] == np.arange(len(feature.levels))
        return hot.astype(np.float64)
    numbers = _numbers(values)
    missing = np.isnan(numbers)
    scaled = (np.where(missing, feature.fill, numbers) - feature.center) / feature.scale
    return np.stack([scaled, missing], axis=1) if feature.indicator else scaled[:, None]
