"""Scores of predictions, for weighted rows.

A resample of rows is a vector of counts, so every metric takes weights ``(B, n)`` and scores B resamples at once; one
row of ones is the plain score. Names and definitions are scikit-learn's, in lower case.

Classification: ``y_true`` holds class codes ``(n,)``, ``y_pred`` probabilities ``(n, n_classes)``; with two classes,
code 1 is the positive one. Otherwise both hold values ``(n,)``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Codes = NDArray[np.int64]

CALIBRATION_BINS = 15
# Of a target's standard deviation: the smallest difference of an error that would matter, where nobody says otherwise.
MEANINGFUL_SHARE = 0.02


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
        ``(y_true, y_pred, weights (B, n)) -> (B,)``; nan where a resample leaves the metric undefined.
    ranks
        Whether rows are ranked against each other; rows that different models predicted must not be.
    """

    name: str
    label: str
    greater_is_better: bool
    classification: bool
    meaningful_difference: float | None
    function: Callable[[NDArray[Any], Values, Values], Values]
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


def _mean(values: NDArray[Any], weights: Values) -> Values:
    return np.asarray((weights @ values.astype(np.float64)) / weights.sum(axis=1))


def accuracy(y_true: Codes, y_pred: Values, weights: Values) -> Values:
    """Share of rows whose most probable class is the true one."""
    return _mean(y_pred.argmax(axis=1) == y_true, weights)


def balanced_accuracy(y_true: Codes, y_pred: Values, weights: Values) -> Values:
    """Mean over the classes that occur of the share of their rows that are found."""
    correct = (y_pred.argmax(axis=1) == y_true).astype(np.float64)
    member = (y_true[:, None] == np.arange(y_pred.shape[1])).astype(np.float64)
    total = weights @ member
    found = weights @ (member * correct[:, None])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean(found / total, axis=1))


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


def _binary_precision(positive: NDArray[np.bool_], predicted: Values, weights: Values) -> Values:
    up, down = _ranked(positive, predicted, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = up / (up + down)
        gained = np.diff(up, axis=1, prepend=0.0) / up[:, -1:]
    return np.asarray(np.where(gained == 0, 0.0, gained * precision).sum(axis=1))


def average_precision(y_true: Codes, y_pred: Values, weights: Values) -> Values:
    """Precision averaged over the recall that each threshold gains; one-vs-rest mean over more classes."""
    return _one_vs_rest(_binary_precision, y_true, y_pred, weights)


def log_loss(y_true: Codes, y_pred: Values, weights: Values) -> Values:
    """Mean negative logarithm of the probability of the true class, which is kept above the smallest step from 0."""
    chosen = y_pred[np.arange(len(y_true)), y_true]
    epsilon = np.finfo(np.float64).eps
    return _mean(-np.log(np.clip(chosen, epsilon, 1 - epsilon)), weights)


def brier_score(y_true: Codes, y_pred: Values, weights: Values) -> Values:
    """Mean squared error of the positive class's probability; summed over classes when there are more than two."""
    if y_pred.shape[1] == 2:
        return _mean((y_pred[:, 1] - (y_true == 1)) ** 2, weights)
    return _mean(((y_pred - np.eye(y_pred.shape[1])[y_true]) ** 2).sum(axis=1), weights)


def expected_calibration_error(y_true: Codes, y_pred: Values, weights: Values) -> Values:
    """Mean distance between confidence and accuracy over 15 bins of the most probable class's probability.

    Its expectation is above zero for a calibrated model too, the more so the fewer rows.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017), On calibration of modern neural networks, ICML.
    """
    confidence = y_pred.max(axis=1)
    correct = (y_pred.argmax(axis=1) == y_true).astype(np.float64)
    which = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    member = np.zeros((len(y_true), CALIBRATION_BINS))
    member[np.arange(len(y_true)), which] = correct - confidence
    return np.asarray(abs(weights @ member).sum(axis=1) / weights.sum(axis=1))


# --- values -----------------------------------------------------------------------------------------------------------


def rmse(y_true: Values, y_pred: Values, weights: Values) -> Values:
    """Root of the mean squared error, in units of the target."""
    return np.sqrt(_mean((y_pred - y_true) ** 2, weights))


def mae(y_true: Values, y_pred: Values, weights: Values) -> Values:
    """Mean absolute error, in units of the target."""
    return _mean(abs(y_pred - y_true), weights)


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


def r2(y_true: Values, y_pred: Values, weights: Values) -> Values:
    """Share of the target's variance that is explained; 0 for its mean, negative for worse."""
    centred = y_true - y_true.mean()  # the variance below loses digits when the mean is far from 0
    variance = _mean(centred**2, weights) - _mean(centred, weights) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - _mean((y_pred - y_true) ** 2, weights) / variance)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "ROC AUC", True, True, 0.01, roc_auc, ranks=True),
        Metric("average_precision", "average precision", True, True, 0.02, average_precision, ranks=True),
        Metric("accuracy", "accuracy", True, True, 0.01, accuracy),
        Metric("balanced_accuracy", "balanced accuracy", True, True, 0.01, balanced_accuracy),
        Metric("log_loss", "log-loss", False, True, 0.02, log_loss),
        Metric("brier_score", "Brier score", False, True, 0.01, brier_score),
        Metric("expected_calibration_error", "calibration error", False, True, 0.02, expected_calibration_error),
        Metric("rmse", "RMSE", False, False, None, rmse),
        Metric("mae", "MAE", False, False, None, mae),
        Metric("median_absolute_error", "median error", False, False, None, median_absolute_error),
        Metric("r2", "R²", True, False, 0.02, r2),
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
