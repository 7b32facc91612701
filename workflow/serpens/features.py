"""From cleaned rows to arrays: what was learned on training rows, applied to any rows.

What a row becomes depends on the row and the schema alone, bit for bit: not on the rows beside it, their order or
number, nor on the order of columns. So nothing here reduces over rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from serpens.artefacts import Feature, Schema, Target, Treated
from serpens.data import Examples, Problem
from serpens.errors import DataError, nearest
from serpens.pieces import Column, Columns, Pieces
from serpens.streams import ahead

if TYPE_CHECKING:
    import pyarrow as pa

# Inputs that are made at once, so that they stay in a core's cache; and the fewest rows of them.
AT_ONCE, LEAST_ROWS = 250_000, 1024


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
    return Problem(
        task=schema.task,
        input_shape=schema.image.shape if schema.image else (_width(schema),),
        n_outputs=len(schema.target.classes) or 1,
    )


def prepare(schema: Schema, columns: Columns) -> Prepared:
    """Turn rows into arrays with what the schema learned.

    Raises
    ------
    DataError
        If a column of the schema is missing or not of its type, or a class is unknown.
    """
    X = encode(schema, columns)
    y, truth = _targets(schema, columns)
    return Prepared(
        examples=Examples(X=X, y=y, weight=_weights(schema, columns)),
        keys={"row": columns["row"]},
        truth=truth,
        offset=np.zeros((len(X), 1)),
    )


def encode(schema: Schema, columns: Columns) -> NDArray[np.float32]:
    """Return the inputs ``(n, *input_shape)`` of cleaned rows; the target is not looked at.

    Parameters
    ----------
    columns
        Arrays of one length by name, in any order; further ones are not looked at. Numbers are of a type of numbers
        with NaN, times datetime64 with NaT, categories text with None. A level that training did not see becomes zeros.

    Raises
    ------
    DataError
        If a column is missing, is not of its type, or holds a number that is none once it is scaled.
    """
    X, _ = encode_counted(schema, columns)
    return X


def encode_counted(schema: Schema, columns: Columns) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the inputs of rows; and of each feature how many values were filled, outside and unlisted ``(k, 3)``."""
    used = {feature.name: _column(columns, feature.name) for feature in schema.features}
    lengths = {name: len(values) for name, values in used.items()}
    n = next(iter(lengths.values()), 0)
    if odd := next((name for name, length in lengths.items() if length != n), None):
        msg = f"columns must be of one length; {odd!r} has {lengths[odd]} values, {next(iter(lengths))!r} {n}"
        raise DataError(msg)
    width = _width(schema)
    X = np.empty((n, width), dtype=np.float32)
    counts = np.zeros((len(schema.features), 3), dtype=np.int64)
    rows = max(LEAST_ROWS, AT_ONCE // max(1, width))
    for start in range(0, n, rows):
        # an input's values lie side by side while they are made; at a distance that is no power of 2, which the
        # cache would put all into one place
        inputs = np.empty((width, rows + 16), dtype=np.float32)[:, : min(rows, n - start)]
        at = 0
        for feature, counted in zip(schema.features, counts, strict=True):
            values = used[feature.name][start : start + rows]
            if feature.type == "category":
                at += _encode_category(feature, values, inputs[at:], counted)
            else:
                at += _encode_number(feature, values, inputs[at:], counted, start)
        X[start : start + rows] = inputs.T
    return X.reshape(n, *problem(schema).input_shape), counts


class Encoding:
    """The examples of a part, piece by piece, and how its values were treated, once all are read.

    Attributes
    ----------
    treated
        By feature, where there was anything to treat.
    """

    def __init__(self, schema: Schema, pieces: Pieces, *, threads: int = 1) -> None:
        self.schema, self.pieces, self.threads = schema, pieces, threads
        self.treated: dict[str, Treated] = {}

    def __iter__(self) -> Iterator[Examples]:
        """Yield the examples of each piece."""
        schema = self.schema
        names = [feature.name for feature in schema.features] + [schema.target.name]
        names += [schema.weight] if schema.weight else []
        total = np.zeros((len(schema.features), 3), dtype=np.int64)

        def encoded(columns: Columns) -> tuple[Examples, NDArray[np.int64]]:
            X, counts = encode_counted(schema, columns)
            return Examples(X=X, y=_targets(schema, columns)[0], weight=_weights(schema, columns)), counts

        for examples, counts in ahead(encoded, self.pieces.columns(names), self.threads):
            total += counts
            yield examples
        self.treated = {
            feature.name: Treated(filled=filled, outside=outside, unlisted=unlisted)
            for feature, (filled, outside, unlisted) in zip(schema.features, total.tolist(), strict=True)
            if filled or outside or unlisted
        }


def decode(schema: Schema, prediction: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities as they are, and values ``(n, n_outputs)`` in the target's own units."""
    if schema.target.classes:
        return prediction
    return prediction * schema.target.scale + schema.target.center + offset


def codes(values: Column, target: Target) -> NDArray[np.int64]:
    """Return the code of each class.

    Raises
    ------
    DataError
        If a class was not known when the schema was learned.
    """
    texts = as_texts(target.name, values)
    found = _places(texts, target.classes)
    if (unknown := np.flatnonzero(found < 0)).size:
        word = texts[int(unknown[0])].as_py()
        msg = f"column {target.name!r} must hold one of the classes {', '.join(target.classes)}; found {word!r}"
        raise DataError(msg)
    return found.astype(np.int64)


def as_numbers(name: str, values: Column, kind: str = "number") -> NDArray[np.float64]:
    """Return numbers as they are, and times as days since 1970; NaN for a missing one.

    Raises
    ------
    DataError
        If the values are of another type: text that looks like a number is not taken for one.
    """
    if not isinstance(values, np.ndarray):
        values = values.to_numpy(zero_copy_only=False)
    if kind == "time" and values.dtype.kind == "M":
        # in one unit, whatever the unit it came in: a finer one would round otherwise
        days = (values.astype("datetime64[us]") - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
        return np.asarray(days, dtype=np.float64)
    if kind == "number" and values.dtype.kind in "fiu":
        return np.asarray(values, dtype=np.float64)
    known = [value for value in values.tolist() if value is not None and value == value]
    if not known:
        return np.full(len(values), np.nan)
    msg = f"column {name!r} must hold {kind}s, as in training; found {known[0]!r}: give it the type that it had there"
    raise DataError(msg)


def as_texts(name: str, values: Column) -> "pa.Array":
    """Return a category's values as Arrow's text, null for a missing one.

    Raises
    ------
    DataError
        If the values are no text.
    """
    import pyarrow as pa

    if isinstance(values, np.ndarray):
        try:
            return pa.array(values, pa.string(), from_pandas=True)
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            found = next(value for value in values.tolist() if value is not None and not isinstance(value, str))
            msg = f"column {name!r} must hold text, as in training; found {found!r}: give it the type that it had there"
            raise DataError(msg) from None
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_null(values.type) or pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if not pa.types.is_string(values.type):
        found = values.drop_null()[0].as_py()
        msg = f"column {name!r} must hold text, as in training; found {found!r}: give it the type that it had there"
        raise DataError(msg)
    return values


def _targets(schema: Schema, columns: Columns) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what models learn, and the truth in the target's own units."""
    target = _column(columns, schema.target.name)
    if schema.target.classes:
        truth = codes(target, schema.target)
        return truth, truth
    values = as_numbers(schema.target.name, target)
    return ((values - schema.target.center) / schema.target.scale).astype(np.float32)[:, None], values


def _weights(schema: Schema, columns: Columns) -> NDArray[np.float32] | None:
    if schema.weight is None:
        return None
    return as_numbers(schema.weight, _column(columns, schema.weight)).astype(np.float32)


def _column(columns: Mapping[str, Column], name: str) -> Column:
    try:
        return columns[name]
    except KeyError:
        msg = f"column {name!r} must be there; it is not{nearest(name, columns)}"
        raise DataError(msg) from None


def _width(schema: Schema) -> int:
    return sum(
        len(feature.levels)
        if feature.type == "category"
        else 1 + feature.indicator + (feature.outliers == "flag" and feature.low is not None)
        for feature in schema.features
    )


def _encode_number(
    feature: Feature, values: Column, inputs: NDArray[np.float32], counted: NDArray[np.int64], start: int
) -> int:
    """Write the inputs of a number or time, and return how many they are."""
    numbers = as_numbers(feature.name, values, feature.type)
    missing = np.isnan(numbers)
    filled = np.where(missing, feature.fill, numbers)
    counted[0] += np.count_nonzero(missing)
    width = 1
    if feature.indicator:
        inputs[width] = missing
        width += 1
    if feature.low is not None:
        outside = (filled < feature.low) | (filled > feature.high)
        counted[1] += np.count_nonzero(outside & ~missing)
        if feature.outliers == "flag":
            inputs[width] = outside & ~missing
            width += 1
        elif feature.outliers == "clip":
            filled = np.clip(filled, feature.low, feature.high)
    with np.errstate(over="ignore"):
        inputs[0] = (filled - feature.center) / feature.scale
    if not (finite := np.isfinite(inputs[0])).all():
        place = int(finite.argmin())
        msg = (
            f"a number must be finite once it is scaled; column {feature.name!r} holds {numbers[place]} in row "
            f"{start + place + 1} of those given: repair it, or make it missing"
        )
        raise DataError(msg)
    return width


def _encode_category(feature: Feature, values: Column, inputs: NDArray[np.float32], counted: NDArray[np.int64]) -> int:
    """Write the inputs of a category, one a level, and return how many they are."""
    texts = as_texts(feature.name, values)
    places = _places(texts, feature.levels)
    if texts.null_count:
        fill = feature.fill_level or ""
        counted[0] += texts.null_count * (feature.fill_level is not None)
        places[texts.is_null().to_numpy(zero_copy_only=False)] = (
            feature.levels.index(fill) if fill in feature.levels else -1
        )
    counted[2] += np.count_nonzero(places < 0)
    for place in range(len(feature.levels)):
        inputs[place] = places == place
    return len(feature.levels)


def _places(texts: "pa.Array", words: Sequence[str]) -> NDArray[np.int32]:
    """Return which of the words each text is; -1 for none of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.index_in(texts, value_set=pa.array(words, pa.string())).fill_null(-1)
    return np.array(found.to_numpy(zero_copy_only=False))
