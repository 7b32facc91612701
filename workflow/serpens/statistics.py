"""Scores of pooled test rows, how much each row moves them, and whether two of them differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens.intervals import Units, student
from serpens.metrics import Metric, check

Values = NDArray[np.float64]
Folds = Sequence[NDArray[np.bool_]]

# A difference that a test would find in so many of a hundred repetitions counts as one that it can detect.
POWER = 0.8


def score(metric: Metric, y_true: NDArray[Any], y_pred: Values, folds: Folds = ()) -> tuple[float, Values | None]:
    """Return a metric of the rows, and how much each of them moves it.

    A metric that ranks rows is the mean over folds, by their rows. Rows of two folds were predicted by two models: to
    rank them against each other measures how the models differ, and one that only knows the prevalence of its training
    rows would score below chance (Parker, Günter & Bedo 2007).

    Parameters
    ----------
    folds
        Masks of the rows that each fold tested; without any, all rows are one.

    Returns
    -------
    value
        nan where the metric is not defined.
    influence
        ``(n,)``, with mean 0; None where the metric has none.
    """
    check(metric, y_true, y_pred)
    if not metric.ranks or len(folds) < 2:
        value = _plain(metric, y_true, y_pred)
        known = metric.influence is not None and np.isfinite(value)
        return value, metric.influence(y_true, y_pred) if known and metric.influence else None
    scores = np.array([_plain(metric, y_true[fold], y_pred[fold]) for fold in folds])
    rows = np.array([fold.sum() for fold in folds]) * np.isfinite(scores)
    if not rows.sum():
        return np.nan, None
    value = float(np.nansum(scores * rows) / rows.sum())
    influence = np.zeros(len(y_true))
    for fold, own, n in zip(folds, scores, rows, strict=True):
        if n and metric.influence is not None:
            influence[fold] = (metric.influence(y_true[fold], y_pred[fold]) + own - value) * len(y_true) / rows.sum()
    return value, influence


def _plain(metric: Metric, y_true: NDArray[Any], y_pred: Values) -> float:
    return float(metric.function(y_true, y_pred, np.ones((1, len(y_true))))[0])


@dataclass(frozen=True)
class Difference:
    """How far two scores of the same rows are apart.

    Attributes
    ----------
    error
        Its standard error; nan where nothing can be said.
    n
        Units, or folds, that tell: one more than there are degrees of freedom.
    """

    value: float
    error: float
    n: int

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval of Student's t."""
        half = student(self.n, level) * self.error if self.error else 0.0
        return self.value - half, self.value + half

    @property
    def p_value(self) -> float:
        """Two-sided: how often chance alone gives as large a difference; 1 where nothing can be said."""
        from scipy.special import stdtr

        if self.value == 0 or not np.isfinite(self.value) or not np.isfinite(self.error):
            return 1.0
        return float(2 * stdtr(self.n - 1, -abs(self.value) / self.error)) if self.error > 0 else 0.0

    def detectable(self, level: float) -> float:
        """Return the smallest true difference that would be found with a probability of ``POWER``."""
        from scipy.special import stdtrit

        return float((student(self.n, level) + stdtrit(self.n - 1, POWER)) * self.error)


def paired(value: float, influence: Values, units: Units) -> Difference:
    """Return the difference of two scores, tested by what each row adds to it.

    The test is Student's for the sums over units. For ROC AUC and independent rows it is DeLong's, for squared errors
    in blocks of time Diebold's and Mariano's with the blocks of Ibragimov and Mueller.

    Parameters
    ----------
    influence
        Difference of the rows' influences ``(n,)``.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves.
    Diebold & Mariano (1995), Comparing predictive accuracy.
    Ibragimov & Mueller (2010), t-statistic based correlation and heterogeneity robust inference.
    """
    return Difference(value, units.standard_error(influence), units.n)


def corrected(value: float, by_fold: Values) -> Difference:
    """Return the difference of two scores over folds, as other training rows might have made it.

    Trainings of different folds share most of their rows, so that their scores vary too little among themselves; the
    variance is raised by how many rows each tests for one that it learned from.

    Parameters
    ----------
    by_fold
        Difference of the scores on the rows of each fold ``(k,)``.

    References
    ----------
    Nadeau & Bengio (2003), Inference for the generalization error.
    """
    k = len(by_fold)
    return Difference(value, float(np.sqrt((1 / k + 1 / (k - 1)) * np.var(by_fold, ddof=1))), k)


def wider(one: Difference, other: Difference, level: float) -> Difference:
    """Return the one whose interval is wider, of two that know different sources of chance."""
    sizes = [student(each.n, level) * each.error for each in (one, other)]
    return one if not sizes[1] > sizes[0] else other


def rows_to_decide(found: Difference, meaningful: float, n_rows: int, level: float) -> int | None:
    """Return how many further rows would settle what is undecided, if the difference stays what it is.

    It is settled when the interval lies above 0, or below what is meaningful, whichever takes fewer rows; its width
    falls with the root of their number. None where it is settled, or nothing can be said.
    """
    half = student(found.n, level) * found.error
    away = max(found.value, meaningful - found.value)
    if not np.isfinite(half) or half < away:
        return None
    return int(np.ceil(n_rows * ((half / away) ** 2 - 1)))


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
