"""Whether predictions mean what they say: their slope, and sets and intervals that hold the truth as often as promised.

Calibration rows, which no training and no choice has seen, tell how far a model is off. Whatever the model, sets and
intervals made from that hold the truth of the promised share of new rows of the same kind (split conformal prediction).

References
----------
Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World.
Sadinle, Lei & Wasserman (2019), Least ambiguous set-valued classifiers with bounded error levels.
Lei, G'Sell, Rinaldo, Tibshirani & Wasserman (2018), Distribution-free predictive inference for regression.
Cox (1958), Two further applications of a model for binary regression: the slope of the logarithm of odds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Codes = NDArray[np.int64]

# Share of new rows whose truth a set or an interval is to hold.
COVERAGE = 0.9
MOST_STEPS = 50


@dataclass(frozen=True)
class Held:
    """What sets or intervals hold, of each row.

    Attributes
    ----------
    covered
        Whether the truth is in it ``(n,)``, as 0 and 1.
    size
        Classes in a set, or the width of an interval ``(n,)``.
    """

    covered: Values
    size: Values


def distance(y_true: NDArray[Any], y_pred: Values) -> Values:
    """Return how far predictions are off: 1 less the probability of the true class, or the absolute error."""
    if y_pred.ndim == 2:
        return np.asarray(1 - y_pred[np.arange(len(y_true)), y_true])
    return np.asarray(abs(y_pred - y_true))


def margin(distances: Values, coverage: float = COVERAGE) -> float:
    """Return the distance within which a further row lies with this probability, whatever distances are like.

    Infinite where calibration rows are too few to promise it.
    """
    rank = int(np.ceil((len(distances) + 1) * coverage))
    return float(np.sort(distances)[rank - 1]) if rank <= len(distances) else np.inf


def held(y_true: NDArray[Any], y_pred: Values, within: float) -> Held:
    """Return what sets of the classes, or intervals, within a margin hold."""
    covered = (distance(y_true, y_pred) <= within).astype(np.float64)
    if y_pred.ndim == 2:
        return Held(covered, (1 - y_pred <= within).sum(axis=1).astype(np.float64))
    return Held(covered, np.full(len(y_true), 2 * within))


def slope(y_true: NDArray[Any], y_pred: Values) -> tuple[float, Values | None]:
    """Return how much the truth moves when a prediction does, and how much each row moves that.

    1 where predictions mean what they say; below, they are too far apart; above, too close together. Of two classes it
    is that of the logarithm of odds, of values that of the values; of more classes it is not defined.

    Returns
    -------
    slope, influence
        nan and None where it is not defined.
    """
    if y_pred.ndim == 1:
        x, y = y_pred - y_pred.mean(), y_true - y_true.mean()
        variance = float((x**2).mean())
        if variance == 0:
            return np.nan, None
        found = float((x * y).mean() / variance)
        return found, np.asarray(x * (y - found * x) / variance)
    if y_pred.shape[1] != 2:
        return np.nan, None
    p = np.clip(y_pred[:, 1], 1e-12, 1 - 1e-12)
    X = np.stack([np.ones(len(p)), np.log(p / (1 - p))], axis=1)
    theta = np.array([0.0, 1.0])
    for _ in range(MOST_STEPS):
        fitted = 1 / (1 + np.exp(-np.clip(X @ theta, -700, 700)))
        score = X.T @ (y_true - fitted)
        information = (X * (fitted * (1 - fitted))[:, None]).T @ X
        # constant predictions, or classes that these tell apart without a fault, have no slope
        if not np.isfinite(theta).all() or np.linalg.cond(information) > 1e12:
            return np.nan, None
        step = np.linalg.solve(information, score)
        theta = theta + step
        if abs(step).max() < 1e-10:
            influence = (X * (y_true - fitted)[:, None]) @ np.linalg.inv(information)[1] * len(p)
            return float(theta[1]), np.asarray(influence)
    return np.nan, None
