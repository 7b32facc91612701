"""Scores of predictions, for weighted rows.

Every metric takes weights ``(B, n)`` and scores rows that are weighted in B ways at once; one row of ones is the plain
score. How much each row moves a metric, its influence, is what intervals and tests are made of. Names and definitions
are scikit-learn's, in lower case; the calibration error, which it does not have, is debiased.

Classification: ``y_true`` holds class codes ``(n,)``, ``y_pred`` probabilities ``(n, n_classes)``; with two classes,
code 1 is the positive one. Otherwise both hold values ``(n,)``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Codes = NDArray[np.int64]

CALIBRATION_BINS = 15
# Of a target's standard deviation: the smallest difference of an error that would matter, where nobody says otherwise.
MEANINGFUL_SHARE = 0.02


# What an interval of a metric is made by: see :mod:`serpens.intervals`.
Kind = Literal["share", "ranking", "precision", "error", "median", "none"]


@dataclass(frozen=True)
class Means:
    """A metric as a smooth function of means over rows.

    Attributes
    ----------
    rows
        ``(y_true, y_pred) -> (n, q)``: what is averaged.
    value
        ``(..., q) -> (...)``: the metric, of these means.
    gradient
        ``(..., q) -> (..., q)``: its derivatives.
    """

    rows: Callable[[NDArray[Any], Values], Values]
    value: Callable[[Values], Values]
    gradient: Callable[[Values], Values]

    def of(self, y_true: NDArray[Any], y_pred: Values, weights: Values) -> Values:
        """Return the metric of weighted rows; ``weights (B, n)``."""
        return self.value((weights @ self.rows(y_true, y_pred)) / weights.sum(axis=1, keepdims=True))

    def influence(self, y_true: NDArray[Any], y_pred: Values) -> Values:
        """Return how much each row moves the metric (the delta method)."""
        rows = self.rows(y_true, y_pred)
        means = rows.mean(axis=0)
        return np.asarray((rows - means) @ self.gradient(means))


@dataclass(frozen=True)
class Metric:
    """A metric and what is known of it.

    Attributes
    ----------
    label
        What a reader calls it.
    meaningful_difference
        The smallest difference that would matter, unless a study says otherwise; None for errors in the target's own
        units (see :func:`default_difference`).
    function
        ``(y_true, y_pred, weights (B, n)) -> (B,)``; nan where the metric is not defined.
    kind
        How its intervals are made.
    influence
        ``(y_true, y_pred) -> (n,)``: to first order, what a row adds to the metric is its influence divided by the
        number of rows, and the mean of all is 0. None where no derivative exists.
    means
        The metric as a function of means, where it is one.
    ranks
        Whether rows are ranked against each other; rows that different models predicted must not be.
    """

    name: str
    label: str
    greater_is_better: bool
    classification: bool
    meaningful_difference: float | None
    function: Callable[[NDArray[Any], Values, Values], Values]
    kind: Kind
    influence: Callable[[NDArray[Any], Values], Values] | None = None
    means: Means | None = None
    ranks: bool = False


def score(name: str, y_true: NDArray[Any], y_pred: Values, weights: Values | None = None) -> float:
    """Return a metric of rows as they are, or with one weight each.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, a code is no class, or probabilities do not sum to 1.
    """
    check(METRICS[name], y_true, y_pred)
    weights = np.ones(len(y_true)) if weights is None else np.asarray(weights, dtype=np.float64)
    return float(METRICS[name].function(y_true, y_pred, weights[None, :])[0])


def check(metric: Metric, y_true: NDArray[Any], y_pred: Values) -> None:
    """Raise unless truth and predictions are fit to be scored."""
    if len(y_true) != len(y_pred):
        msg = f"truth and predictions must have the same length; found {len(y_true)} and {len(y_pred)}"
        raise ValueError(msg)
    for what, values in (("truth", y_true), ("prediction", y_pred)):
        finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        if not finite.all():
            msg = f"every {what} must be finite; row {int(finite.argmin())} is {values[finite.argmin()]}"
            raise ValueError(msg)
    if not metric.classification:
        return
    n_classes = y_pred.shape[1]
    if len(y_true) and not 0 <= y_true.min() <= y_true.max() < n_classes:
        msg = f"class codes must lie in 0..{n_classes - 1}; found {y_true.min()}..{y_true.max()}"
        raise ValueError(msg)
    if (off := abs(y_pred.sum(axis=1) - 1) > 1e-6).any():
        row = int(off.argmax())
        msg = f"probabilities must sum to 1; in row {row} they sum to {y_pred[row].sum():g}"
        raise ValueError(msg)


def for_task(task: str) -> list[Metric]:
    """Return the metrics of a task."""
    return [metric for metric in METRICS.values() if metric.classification == (task == "classification")]


def default_metric(task: str, n_classes: int) -> Metric:
    """Return what decides, unless a study says otherwise."""
    if task != "classification":
        return METRICS["rmse"]
    return METRICS["roc_auc" if n_classes == 2 else "balanced_accuracy"]


def default_difference(metric: Metric, y_true: NDArray[Any]) -> float:
    """Return the smallest difference that would matter: stated, or 2 % of the target's standard deviation."""
    if metric.meaningful_difference is not None:
        return metric.meaningful_difference
    return MEANINGFUL_SHARE * float(np.std(y_true))


# --- classification ---------------------------------------------------------------------------------------------------


def _average(rows: Callable[[NDArray[Any], Values], NDArray[Any]]) -> Means:
    """Return the mean of one number a row."""
    return Means(lambda y, p: rows(y, p).astype(np.float64)[:, None], lambda m: m[..., 0], np.ones_like)


def _correct(y_true: Codes, y_pred: Values) -> NDArray[np.bool_]:
    return np.asarray(y_pred.argmax(axis=1) == y_true)


ACCURACY = _average(_correct)
"""Share of rows whose most probable class is the true one."""


def _found_and_all(y_true: Codes, y_pred: Values) -> Values:
    """Return for each class whether a row was found, and whether it is one of its rows: ``(n, 2 K)``."""
    member = (y_true[:, None] == np.arange(y_pred.shape[1])).astype(np.float64)
    return np.concatenate([member * _correct(y_true, y_pred)[:, None], member], axis=1)


def _mean_recall(means: Values) -> Values:
    found, total = np.split(means, 2, axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean(found / total, axis=-1))


def _mean_recall_gradient(means: Values) -> Values:
    found, total = np.split(means, 2, axis=-1)
    n_classes = (total > 0).sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        both = np.concatenate([1 / total, -found / total**2], axis=-1) / n_classes
    return np.where(np.isfinite(both), both, 0.0)


BALANCED_ACCURACY = Means(_found_and_all, _mean_recall, _mean_recall_gradient)
"""Mean over the classes that occur of the share of their rows that are found."""


def _one_vs_rest(
    binary: Callable[[NDArray[np.bool_], Values, Values], Values], y_true: Codes, y_pred: Values, weights: Values
) -> Values:
    """Score the positive class, or average over all classes when there are more than two."""
    if y_pred.shape[1] == 2:
        return binary(y_true == 1, y_pred[:, 1], weights)
    return np.asarray(np.mean([binary(y_true == k, y_pred[:, k], weights) for k in range(y_pred.shape[1])], axis=0))


def _ranked(positive: NDArray[np.bool_], predicted: Values, weights: Values) -> tuple[Values, Values]:
    """Return cumulative weights of positive and negative rows at each distinct score, from the highest down."""
    order = np.argsort(-predicted, kind="stable")
    ordered, truth = predicted[order], positive[order]
    ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    sorted_weights = weights[:, order]
    up = np.cumsum(sorted_weights * truth, axis=1)[:, ends]
    down = np.cumsum(sorted_weights * ~truth, axis=1)[:, ends]
    return up, down


def _binary_auc(positive: NDArray[np.bool_], predicted: Values, weights: Values) -> Values:
    up, down = _ranked(positive, predicted, weights)
    steps = np.diff(down, axis=1, prepend=0.0)
    before = np.concatenate([np.zeros((len(up), 1)), up[:, :-1]], axis=1)
    # each negative row counts the positives above it, and half of those beside it
    area = (steps * (before + up) / 2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(area / (up[:, -1] * down[:, -1]))


def roc_auc(y_true: Codes, y_pred: Values, weights: Values) -> Values:
    """Probability that a positive row is ranked above a negative one; one-vs-rest mean over more classes."""
    return _one_vs_rest(_binary_auc, y_true, y_pred, weights)


def roc_auc_influence(y_true: Codes, y_pred: Values) -> Values:
    """Of a positive row the share of negative ones below it, of a negative one that of positive ones above, centred.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver operating
    characteristic curves: their structural components.
    """
    return _one_vs_rest_influence(_binary_auc_influence, y_true, y_pred)


def _one_vs_rest_influence(
    binary: Callable[[NDArray[np.bool_], Values], Values], y_true: Codes, y_pred: Values
) -> Values:
    if y_pred.shape[1] == 2:
        return binary(y_true == 1, y_pred[:, 1])
    return np.asarray(np.mean([binary(y_true == k, y_pred[:, k]) for k in range(y_pred.shape[1])], axis=0))


def _binary_auc_influence(positive: NDArray[np.bool_], predicted: Values) -> Values:
    from scipy.stats import rankdata

    n, n_positive = len(positive), int(positive.sum())
    own = np.empty(n)
    for side in (positive, ~positive):
        own[side] = rankdata(predicted[side])
    # among the other side: how many lie below, half of those beside it
    below = rankdata(predicted) - own
    placed = np.where(positive, below / (n - n_positive), 1 - below / n_positive)
    centred = placed - placed[positive].mean()
    return np.asarray(centred * n / np.where(positive, n_positive, n - n_positive))


def _binary_precision(positive: NDArray[np.bool_], predicted: Values, weights: Values) -> Values:
    up, down = _ranked(positive, predicted, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = up / (up + down)
        gained = np.diff(up, axis=1, prepend=0.0) / up[:, -1:]
    return np.asarray(np.where(gained == 0, 0.0, gained * precision).sum(axis=1))


def average_precision(y_true: Codes, y_pred: Values, weights: Values) -> Values:
    """Precision averaged over the recall that each threshold gains; one-vs-rest mean over more classes."""
    return _one_vs_rest(_binary_precision, y_true, y_pred, weights)


def average_precision_influence(y_true: Codes, y_pred: Values) -> Values:
    """A positive row adds its own precision and raises that of those below it; a negative one lowers these."""
    return _one_vs_rest_influence(_binary_precision_influence, y_true, y_pred)


def _binary_precision_influence(positive: NDArray[np.bool_], predicted: Values) -> Values:
    n, n_positive = len(positive), int(positive.sum())
    order = np.argsort(-predicted, kind="stable")
    place = np.append(0, np.cumsum(np.diff(predicted[order]) != 0))  # rows of one score stand together
    up, down = (np.cumsum(np.bincount(place, side[order])) for side in (positive, ~positive))
    gained = np.diff(up, prepend=0.0)
    precision = up / (up + down)
    # what a further row above does to the precision of all positive ones at or below it
    raised, lowered = (np.cumsum((gained * part / (up + down) ** 2)[::-1])[::-1] for part in (down, up))
    own = np.empty(n)
    own[order] = np.where(positive[order], (precision + raised)[place], -lowered[place])
    return np.asarray((own - positive * (own @ np.ones(n)) / n_positive) * n / n_positive)


def _surprise(y_true: Codes, y_pred: Values) -> Values:
    chosen = y_pred[np.arange(len(y_true)), y_true]
    epsilon = np.finfo(np.float64).eps
    return np.asarray(-np.log(np.clip(chosen, epsilon, 1 - epsilon)))


LOG_LOSS = _average(_surprise)
"""Mean negative logarithm of the probability of the true class, which is kept above the smallest step from 0."""


def _squares(y_true: Codes, y_pred: Values) -> Values:
    if y_pred.shape[1] == 2:
        return np.asarray((y_pred[:, 1] - (y_true == 1)) ** 2)
    return np.asarray(((y_pred - np.eye(y_pred.shape[1])[y_true]) ** 2).sum(axis=1))


BRIER_SCORE = _average(_squares)
"""Mean squared error of the positive class's probability; summed over classes when there are more than two."""


def expected_calibration_error(y_true: Codes, y_pred: Values, weights: Values) -> Values:
    """Mean distance between confidence and accuracy over 15 bins of the most probable class's probability, debiased.

    Chance alone puts accuracy off confidence in every bin: by ``sqrt(2 / pi)`` standard deviations on average, if the
    model is calibrated. Of the squared error the square of that is taken away, and 0 is the least.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017), On calibration of modern neural networks, ICML.
    Kumar, Liang & Ma (2019), Verified uncertainty calibration, NeurIPS: squared distances are debiased alike.
    """
    confidence = y_pred.max(axis=1)
    which = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    in_bin = (which[:, None] == np.arange(CALIBRATION_BINS)).astype(np.float64)
    n = weights.sum(axis=1)
    found = abs(weights @ (in_bin * (_correct(y_true, y_pred) - confidence)[:, None])).sum(axis=1) / n
    variance = weights @ (in_bin * (confidence * (1 - confidence))[:, None])
    by_chance = np.sqrt(2 / np.pi * variance).sum(axis=1) / n
    return np.asarray(np.sqrt(np.maximum(found**2 - by_chance**2, 0.0)))


# --- values -----------------------------------------------------------------------------------------------------------


RMSE = Means(
    lambda y, p: ((p - y) ** 2)[:, None],
    lambda m: np.sqrt(m[..., 0]),
    lambda m: 0.5 / np.sqrt(np.maximum(m, np.finfo(np.float64).tiny)),
)
"""Root of the mean squared error, in units of the target."""

MAE = _average(lambda y, p: abs(p - y))
"""Mean absolute error, in units of the target."""


def median_absolute_error(y_true: Values, y_pred: Values, weights: Values) -> Values:
    """Median absolute error, in units of the target; of an even number, the mean of the two in the middle."""
    errors = abs(y_pred - y_true)
    order = np.argsort(errors, kind="stable")
    ordered = errors[order]
    cumulated = np.cumsum(weights[:, order], axis=1)
    half = cumulated[:, -1:] / 2
    last = len(ordered) - 1
    low = np.minimum((cumulated < half).sum(axis=1), last)
    # where the weights reach exactly one half, the next row that has weight is the other middle
    high = np.minimum((cumulated <= half).sum(axis=1), last)
    return np.asarray((ordered[low] + ordered[high]) / 2)


def median_absolute_error_influence(y_true: Values, y_pred: Values) -> Values:
    """Half less whether the error lies below the median, over the density there, by a window of ``2 / sqrt(n)``."""
    errors = abs(y_pred - y_true)
    half = min(0.5, 1 / np.sqrt(len(errors)))
    low, median, high = np.quantile(errors, [0.5 - half, 0.5, 0.5 + half])
    below = (errors <= median).astype(np.float64)
    return np.asarray((below.mean() - below) * (high - low) / (2 * half))


def _errors_and_spread(y_true: Values, y_pred: Values) -> Values:
    centred = y_true - y_true.mean()  # the variance loses digits when the mean is far from 0
    return np.stack([(y_pred - y_true) ** 2, centred**2, centred], axis=1)


def _explained(means: Values) -> Values:
    error, square, mean = np.moveaxis(means, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - error / (square - mean**2))


def _explained_gradient(means: Values) -> Values:
    error, square, mean = np.moveaxis(means, -1, 0)
    variance = square - mean**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([-1 / variance, error / variance**2, -2 * mean * error / variance**2], axis=-1)


R2 = Means(_errors_and_spread, _explained, _explained_gradient)
"""Share of the target's variance that is explained; 0 for its mean, negative for worse."""


def _smooth(
    name: str, label: str, kind: Kind, means: Means, difference: float | None, *, error: bool, classes: bool
) -> Metric:
    """Return a metric that is a function of means."""
    return Metric(name, label, not error, classes, difference, means.of, kind, means.influence, means)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "ROC AUC", True, True, 0.01, roc_auc, "ranking", roc_auc_influence, ranks=True),
        Metric(
            "average_precision",
            "average precision",
            True,
            True,
            0.02,
            average_precision,
            "precision",
            average_precision_influence,
            ranks=True,
        ),
        _smooth("accuracy", "accuracy", "share", ACCURACY, 0.01, error=False, classes=True),
        _smooth("balanced_accuracy", "balanced accuracy", "share", BALANCED_ACCURACY, 0.01, error=False, classes=True),
        _smooth("log_loss", "log-loss", "error", LOG_LOSS, 0.02, error=True, classes=True),
        _smooth("brier_score", "Brier score", "error", BRIER_SCORE, 0.01, error=True, classes=True),
        Metric(
            "expected_calibration_error", "calibration error", False, True, 0.02, expected_calibration_error, "none"
        ),
        _smooth("rmse", "RMSE", "error", RMSE, None, error=True, classes=False),
        _smooth("mae", "MAE", "error", MAE, None, error=True, classes=False),
        Metric(
            "median_absolute_error",
            "median error",
            False,
            False,
            None,
            median_absolute_error,
            "median",
            median_absolute_error_influence,
        ),
        _smooth("r2", "R²", "error", R2, 0.02, error=False, classes=False),
    )
}


# --- curves -----------------------------------------------------------------------------------------------------------


def roc_curve(positive: NDArray[np.bool_], predicted: Values) -> tuple[Values, Values]:
    """Return false and true positive rate at each distinct score, from (0, 0) to (1, 1)."""
    up, down = _ranked(positive, predicted, np.ones((1, len(positive))))
    return np.append(0.0, down[0] / down[0, -1]), np.append(0.0, up[0] / up[0, -1])


def precision_recall_curve(positive: NDArray[np.bool_], predicted: Values) -> tuple[Values, Values]:
    """Return precision and recall at each distinct score, from the highest score down."""
    up, down = _ranked(positive, predicted, np.ones((1, len(positive))))
    return up[0] / (up[0] + down[0]), up[0] / up[0, -1]


def reliability_curve(
    outcome: NDArray[np.bool_], probability: Values, n_bins: int = 10
) -> tuple[Values, Values, NDArray[np.int64]]:
    """Return mean prediction, observed share and number of rows of each bin of equal width that has rows."""
    which = np.clip((probability * n_bins).astype(int), 0, n_bins - 1)
    counts = np.bincount(which, minlength=n_bins)
    kept = counts > 0
    predicted = np.bincount(which, weights=probability, minlength=n_bins)[kept] / counts[kept]
    observed = np.bincount(which, weights=outcome.astype(np.float64), minlength=n_bins)[kept] / counts[kept]
    return predicted, observed, counts[kept]


def confusion_matrix(y_true: Codes, y_pred: Codes, n_classes: int) -> NDArray[np.int64]:
    """Return how many rows of each true class (rows) were given each class (columns)."""
    return np.bincount(y_true * n_classes + y_pred, minlength=n_classes**2).reshape(n_classes, n_classes)
