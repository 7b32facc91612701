"""What preprocessing learns, on training rows alone: what stands for missing values, fences, scales, levels.

Columns are looked at a few at a time, as whole columns where they fit into memory and piece by piece where not. What is
learned is the same bits however the rows came here: medians and quartiles are exact, and means and deviations are
merged over pieces that the rows alone decide (Chan, Golub and LeVeque 1983, https://doi.org/10.2307/2683386).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens import orderstatistics, selection
from serpens.artefacts import Feature, ImageShape, Judged, Schema, Target
from serpens.columnconfig import allowed_impute
from serpens.config import Task
from serpens.errors import DataError
from serpens.features import as_numbers, as_texts
from serpens.pieces import HELD_CELLS, Pieces
from serpens.streams import ahead

# A category with more levels than this keeps its most frequent ones: a rarer level has too few rows to learn from.
MAX_LEVELS = 50
# Interquartile ranges from the quartiles to the fences, beyond which a number is far out (Tukey 1977).
FENCE = 3.0
# Values of one column that are counted, each by itself.
MAX_DISTINCT = 1_000_000
# Values of which statistics are made at once, as whole columns, so that what is computed on the way stays small.
AT_ONCE = 1_000_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Treatments:
    """What the study says of missing values and outliers: of all columns, and of some.

    Attributes
    ----------
    study
        ``outliers``, ``impute``, ``indicator``.
    columns
        Those of them that a column has of its own.
    """

    study: Mapping[str, Any]
    columns: Mapping[str, Mapping[str, Any]]

    def of(self, name: str, kind: str) -> dict[str, Any]:
        """Return what is done with a column of a type.

        Raises
        ------
        DataError
            If what is said of the column is not for its type, which only the data tell.
        """
        own = self.columns.get(name, {})
        if own.get("outliers") and kind != "number":
            msg = f"outliers are numbers; column {name!r} is of type {kind}: drop outliers from columns.{name}"
            raise DataError(msg)
        impute, allowed = own.get("impute"), allowed_impute(kind)
        if impute and impute not in allowed:
            msg = (
                f"a missing {kind} may become {' or '.join(allowed)}; columns.{name} says impute: {impute}, and column "
                f"{name!r} is of type {kind}: change or drop impute"
            )
            raise DataError(msg)
        found = {**self.study, **own}
        if kind == "category":
            return {"impute": "mode" if found["impute"] == "mode" else "level"}
        if kind == "time":
            return found | {"outliers": "keep", "impute": "median" if found["impute"] == "zero" else found["impute"]}
        return found


PLAIN = Treatments({"outliers": "keep", "impute": "median", "indicator": True}, {})


def learn(
    train: Pieces,
    *,
    task: Task,
    target: str,
    classes: Sequence[str],
    types: Mapping[str, str],
    treatments: Treatments = PLAIN,
    select: Mapping[str, Any] | None = None,
    image: tuple[int, int, int] | None = None,
    weight: str | None = None,
    threads: int = 1,
) -> Schema:
    """Learn imputation, fences, scaling, category tables and which columns are kept, on the training rows.

    Parameters
    ----------
    train
        The training rows.
    types
        Type of each feature: number, category or time. Their order is not used: features are taken in natural
        order of their names (``x2`` before ``x10``), so that the order of columns in a file does not matter.
    select
        ``by``, ``keep``, ``fdr``: which columns of numbers are kept, others being left out; all if None.
    image
        Channels, height, width that the features fill, all scaled by one mean and deviation.

    Raises
    ------
    DataError
        If the features do not fill the image, a column has too many values to count, or none is kept.
    """
    names = sorted(types, key=_natural)
    judged: dict[str, Judged] = {}
    if select is not None:
        numbers = [name for name in names if types[name] == "number"]
        y = train.whole(target)
        judged = selection.judge(blocks(train, numbers, types), y, classes=classes, **select)
        names = [name for name in names if name not in judged or judged[name].kept]
    found = _learn_categories([name for name in names if types[name] == "category"], train, treatments)
    numeric = blocks(train, [name for name in names if types[name] != "category"], types)
    for learned in ahead(lambda block: _learn_numbers(block, types, treatments), numeric, threads):
        found += learned
    features = sorted(found, key=lambda feature: _natural(feature.name))
    if image is not None:
        features = _pixels(features, train, image)
    center, scale = 0.0, 1.0
    if not classes:
        block = next(blocks(train, [target], {}))
        _, (center,), (scale,) = _moments(block.read(1))
    return Schema(
        task=task,
        target=Target(name=target, classes=tuple(classes), center=center, scale=scale),
        features=tuple(features),
        image=ImageShape(shape=image) if image else None,
        weight=weight,
        n_train=train.n_rows,
        selection=judged,
    )


@dataclass(frozen=True)
class Block:
    """Some columns as numbers.

    Attributes
    ----------
    read
        Yields their values ``(k, n)``, of every so-many-th piece.
    whole
        Whether there is but one piece, which holds all rows.
    """

    names: list[str]
    read: Callable[[int], Iterator[Array]]
    whole: bool


def blocks(train: Pieces, names: Sequence[str], types: Mapping[str, str]) -> Iterator[Block]:
    """Yield columns a few at a time: as many as fit into memory, and one by one, in pieces, where none does."""
    at_once = max(1, HELD_CELLS // max(1, train.n_rows))
    for start in range(0, len(names), at_once):
        some = list(names[start : start + at_once])

        def pieces(every: int, some: list[str] = some) -> Iterator[Array]:
            for columns in train.columns(some, every):
                yield np.stack([as_numbers(name, columns[name], types.get(name, "number")) for name in some])

        if len(some) * train.n_rows > HELD_CELLS:
            yield Block(some, pieces, whole=False)
            continue
        held = np.empty((len(some), train.n_rows))
        at = 0
        for values in pieces(1):
            held[:, at : at + values.shape[1]] = values
            at += values.shape[1]
        few = max(1, AT_ONCE // max(1, train.n_rows))
        for first in range(0, len(some), few):
            part = held[first : first + few]
            yield Block(some[first : first + few], lambda every, part=part: iter([part]), whole=True)  # type: ignore[misc]


def _learn_numbers(block: Block, types: Mapping[str, str], treatments: Treatments) -> list[Feature]:
    treated = [treatments.of(name, types[name]) for name in block.names]
    if block.whole:
        found = orderstatistics.quartiles(next(block.read(1)))
    else:
        found = orderstatistics.quartiles_of_pieces(lambda every: (values[0] for values in block.read(every)))[None]
    first, median, third = found.T
    spread = third - first
    fenced = (spread > 0) & np.array([types[name] == "number" for name in block.names])
    low, high = first - FENCE * spread, third + FENCE * spread
    known, means = _observed(block)
    fill = {"median": median, "mean": means, "zero": np.zeros(len(known))}
    fills = np.array([fill.get(each["impute"], median)[i] for i, each in enumerate(treated)])
    for i, each in enumerate(treated):
        if each["impute"] == "mode":
            fills[i] = _mode(block, i)
    # nothing to learn of a column without a value: every one becomes 0
    fills = np.where(known > 0, fills, 0.0)
    clipped = fenced & np.array([each["outliers"] == "clip" for each in treated])

    def as_used() -> Iterator[Array]:
        for values in block.read(1):
            filled = np.where(np.isnan(values), fills[:, None], values)
            if clipped.any():
                filled[clipped] = np.clip(filled[clipped], low[clipped, None], high[clipped, None])
            yield filled

    n_rows, center, scale = _moments(as_used())
    return [
        Feature(
            name=name,
            type="time" if types[name] == "time" else "number",
            center=center[i],
            scale=scale[i],
            impute=each["impute"],
            fill=fills[i],
            # where every value is missing it would be constant
            indicator=bool(each["indicator"] and 0 < known[i] < n_rows),
            outliers=each["outliers"],
            low=low[i] if fenced[i] else None,
            high=high[i] if fenced[i] else None,
        )
        for i, (name, each) in enumerate(zip(block.names, treated, strict=True))
    ]


def _observed(block: Block) -> tuple[NDArray[np.int64], Array]:
    """Return how many values there are, and their mean (0 without any), of each column."""
    known = np.zeros(len(block.names), dtype=np.int64)
    total = np.zeros(len(block.names))
    for values in block.read(1):
        missing = np.isnan(values)
        known += values.shape[1] - missing.sum(axis=1)
        total += np.where(missing, 0.0, values).sum(axis=1)
    return known, total / np.maximum(known, 1)


def _moments(pieces: Iterator[Array]) -> tuple[int, Array, Array]:
    """Return the number of columns' values, their means and deviations ``(k,)``; 1 for a deviation of 0."""
    n, center, squares, most = 0, np.zeros(0), np.zeros(0), np.zeros(0)
    for values in pieces:
        more = values.shape[1]
        if not more:
            continue
        mean = values.mean(axis=1)
        away = values - mean[:, None]
        away *= away
        if n == 0:
            n, center, squares, most = more, mean, away.sum(axis=1), abs(values).max(axis=1)
            continue
        step = mean - center
        squares = squares + away.sum(axis=1) + step * step * (n * more / (n + more))
        center = center + step * (more / (n + more))
        most = np.maximum(most, abs(values).max(axis=1))
        n += more
    scale = np.sqrt(squares / max(n, 1))
    # 1e-12 of the greatest value is rounding, not variation
    return n, center, np.where(scale > 1e-12 * most, scale, 1.0)


def _mode(block: Block, column: int) -> float:
    """Return the most frequent value, the least of several."""
    counts: dict[float, int] = {}
    for values in block.read(1):
        found, times = np.unique(values[column][~np.isnan(values[column])], return_counts=True)
        for value, count in zip(found.tolist(), times.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
        _check_distinct(block.names[column], len(counts), "say impute: median")
    return min(counts, key=lambda value: (-counts[value], value), default=0.0)


def _learn_categories(names: list[str], train: Pieces, treatments: Treatments) -> list[Feature]:
    import pyarrow.compute as pc

    counts: dict[str, dict[str | None, int]] = {name: {} for name in names}
    for columns in train.columns(names) if names else ():
        for name in names:
            own = counts[name]
            found = pc.value_counts(as_texts(name, columns[name]))
            for level, count in zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True):
                own[level] = own.get(level, 0) + count
            _check_distinct(name, len(own), "group its levels, or name it in drop")
    return [_learn_category(name, counts[name], **treatments.of(name, "category")) for name in names]


def _learn_category(name: str, counts: dict[str | None, int], impute: str) -> Feature:
    missing = counts.pop(None, 0)
    known = {str(level): count for level, count in counts.items()}
    fill = min(known, key=lambda level: (-known[level], level), default=None) if impute == "mode" else None
    if missing:
        # without a level to take its place a missing value is a level of its own
        known[fill or ""] = known.get(fill or "", 0) + missing
    frequent = sorted(known, key=lambda level: (-known[level], level))[:MAX_LEVELS]
    return Feature(
        name=name,
        type="category",
        impute="level" if fill is None else "mode",
        fill_level=fill,
        levels=tuple(sorted(frequent)),
    )


def _check_distinct(name: str, found: int, advice: str) -> None:
    if found > MAX_DISTINCT:
        msg = f"column {name!r} must have at most {MAX_DISTINCT:,} values to be counted; it has more: {advice}"
        raise DataError(msg)


def _pixels(features: list[Feature], train: Pieces, image: tuple[int, int, int]) -> list[Feature]:
    if len(features) != np.prod(image) or any(feature.type != "number" for feature in features):
        msg = (
            f"image.shape {list(image)} needs {np.prod(image)} columns of numbers; found {len(features)} columns, "
            f"of type {', '.join(sorted({feature.type for feature in features}))}: mend image.columns or image.shape"
        )
        raise DataError(msg)
    if name := next((feature.name for feature in features if feature.indicator), None):
        msg = f"a pixel must have a value; column {name!r} has missing ones: repair or remove these images"
        raise DataError(msg)
    names = [feature.name for feature in features]
    if len(names) * train.n_rows <= HELD_CELLS:
        every = [next(block.read(1)) for block in blocks(train, names, {})]
        pixels = iter([np.concatenate(every).reshape(1, -1)])
    else:
        read = (np.stack([columns[name] for name in names]) for columns in train.columns(names))
        pixels = (values.reshape(1, -1) for values in read)
    _, (center,), (scale,) = _moments(pixels)
    alike = {"center": center, "scale": scale, "low": None, "high": None}
    return [feature.model_copy(update=alike) for feature in features]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]
