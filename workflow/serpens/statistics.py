"""How sure a number is: bootstrap intervals, paired differences, correction for their number."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens.metrics import Metric, check

Values = NDArray[np.float64]

METHOD = "percentile bootstrap"
# Numbers in one chunk of weights: 16 MB.
CHUNK_SIZE = 2_000_000
# Beyond this share of resamples in which a metric is not defined, an interval would describe another population.
MAX_UNDEFINED = 0.05


def resampling_weights(
    n_units: int,
    *,
    generator: np.random.Generator,
    n_resamples: int,
    block_length: int | None = None,
    unit_of_row: NDArray[np.int64] | None = None,
) -> Iterator[Values]:
    """Yield bootstrap resamples as weights of rows, in chunks ``(b, n_rows)``.

    Parameters
    ----------
    n_units
        What is drawn with replacement: rows, or groups of them (the cluster bootstrap).
    block_length
        Units are drawn in blocks of consecutive ones, the last followed by the first (the circular block bootstrap).
    unit_of_row
        Unit of each row ``(n_rows,)``; None when a unit is a row.

    References
    ----------
    Davison & Hinkley (1997), Bootstrap Methods and their Application, 3.8.
    Politis & Romano (1992), A circular block-resampling procedure for stationary data.
    """
    n_rows = n_units if unit_of_row is None else len(unit_of_row)
    at_once = max(1, CHUNK_SIZE // n_rows)
    for start in range(0, n_resamples, at_once):
        b = min(at_once, n_resamples - start)
        if block_length is None:
            drawn = generator.integers(0, n_units, size=(b, n_units))
        else:
            n_blocks = -(-n_units // block_length)
            begin = generator.integers(0, n_units, size=(b, n_blocks, 1))
            drawn = ((begin + np.arange(block_length)) % n_units).reshape(b, -1)[:, :n_units]
        flat = drawn + n_units * np.arange(b)[:, None]
        weights = np.bincount(flat.ravel(), minlength=b * n_units).reshape(b, n_units).astype(np.float64)
        yield weights if unit_of_row is None else weights[:, unit_of_row]


def bootstrap_scores(
    metrics: Sequence[Metric],
    y_true: NDArray[Any],
    predictions: Sequence[Values],
    chunks: Iterable[Values],
    *,
    fold_of_row: NDArray[np.int64] | None = None,
) -> dict[str, Values]:
    """Score several predictions of the same rows on the same resamples.

    Parameters
    ----------
    fold_of_row
        Which fold tested each row ``(n_rows,)``; None when there is one split.

    Returns
    -------
    scores
        For each metric ``(n_predictions, n_resamples)``.
    """
    for metric in metrics:
        for prediction in predictions:
            check(metric, y_true, prediction)
    folds = [] if fold_of_row is None else [fold_of_row == fold for fold in np.unique(fold_of_row)]
    parts: dict[str, list[Values]] = {metric.name: [] for metric in metrics}
    for weights in chunks:
        for metric in metrics:
            parts[metric.name].append(np.stack([_scores(metric, y_true, p, weights, folds) for p in predictions]))
    return {name: np.concatenate(each, axis=1) for name, each in parts.items()}


def _scores(
    metric: Metric, y_true: NDArray[Any], y_pred: Values, weights: Values, folds: Sequence[NDArray[np.bool_]]
) -> Values:
    """Score resamples ``(B, n_rows)``; a metric that ranks rows is the mean over folds, by their rows.

    Rows of two folds were predicted by two models. To rank them against each other measures how the models differ: one
    that only knows the prevalence of its training rows would score below chance (Parker, Günter & Bedo 2007).
    """
    if not metric.ranks or len(folds) < 2:
        return metric.function(y_true, y_pred, weights)
    scores = np.stack([metric.function(y_true[fold], y_pred[fold], weights[:, fold]) for fold in folds])
    defined = np.isfinite(scores)
    rows = np.stack([weights[:, fold].sum(axis=1) for fold in folds]) * defined
    with np.errstate(invalid="ignore"):
        return np.asarray((np.where(defined, scores, 0.0) * rows).sum(axis=0) / rows.sum(axis=0))


def interval(replicates: Values, *, level: float) -> tuple[float, float]:
    """Return the percentile interval of bootstrap replicates.

    Both ends are nan when the metric is undefined in more than 5 % of the resamples.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < (1 - MAX_UNDEFINED) * len(replicates):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(
    ours: float, theirs: float, our_replicates: Values, their_replicates: Values, *, level: float
) -> tuple[dict[str, float], float]:
    """Return the difference of two scores of the same rows with its interval, and a two-sided p-value.

    The p-value is twice the smaller share of resamples in which the difference is not of its sign, counting the data
    themselves as one (Davison & Hinkley 1997, 4.4), and at most 1.
    """
    replicates = our_replicates - their_replicates
    low, high = interval(replicates, level=level)
    defined = replicates[np.isfinite(replicates)]
    smaller = min((defined <= 0).sum(), (defined >= 0).sum())
    p_value = min(1.0, 2 * (1 + float(smaller)) / (1 + len(defined)))
    return {"value": ours - theirs, "low": low, "high": high}, p_value


def holm(p_values: Sequence[float]) -> Values:
    """Adjust p-values for their number so that the family-wise error rate is kept.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def verdict(low: float | None, high: float | None, meaningful: float) -> bool | None:
    """Return whether a model helps, by the interval of its advantage: above zero, below what matters, or None."""
    if low is None or high is None:
        return None
    if low > 0:
        return True
    return False if high < meaningful else None
