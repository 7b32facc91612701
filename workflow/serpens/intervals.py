"""How sure a score is: an interval for each kind of metric, from how much each row moves it.

A score is, to first order, its expectation and the mean of its rows' influences. What the claim is about, rows, groups
or blocks of consecutive times, are units; the influences of a unit's rows add up, and the sums of different units are
independent. From there each kind goes its own way, because near the end of a scale, and with few or skewed rows, the
usual interval covers far less than it promises:

- shares of rows (accuracy) by the mid-P interval for as many rows as they are worth, averages of shares (balanced
  accuracy) by squaring and adding their intervals;
- ROC AUC by a score interval, whose variance is that of the AUC in question and not of the one that was found; average
  precision, and the ROC AUC of more than two classes, by their odds;
- errors, and what they leave of the variance, by the studentised bootstrap of their logarithm;
- medians by the interval of the share of rows below them.

References
----------
Berry & Armitage (1995), Mid-P confidence intervals: a brief review.
Korn & Graubard (1998), Confidence intervals for proportions with small expected number of positive counts.
Newcombe (2006), Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2.
Zou & Donner (2008), Construction of confidence limits about effect measures: a general approach.
Woodruff (1952), Confidence intervals for medians and other position measures.
Ibragimov & Mueller (2010), t-statistic based correlation and heterogeneity robust inference: blocks of times.
Davison & Hinkley (1997), Bootstrap Methods and their Application, 5.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens.metrics import Means, Metric

Values = NDArray[np.float64]
Interval = tuple[float, float]

N_RESAMPLES = 2000
# Of more units than this a mean is so nearly normal that Student's t takes the place of resamples.
MOST_RESAMPLED = 5000
# Beyond this share of resamples that have no t, they tell of other data.
MAX_UNDEFINED = 0.05
# Of a score, what a sum of equal numbers may be off.
ROUNDING = 1e-12
# Numbers in one chunk of resamples: 16 MB.
CHUNK_SIZE = 2_000_000
# What classes that rise and fall against each other may take from the interval of their mean, at most.
LEAST_TOGETHER = 0.5
UNKNOWN: Interval = (np.nan, np.nan)


@dataclass(frozen=True)
class Units:
    """What rows are independent by.

    Attributes
    ----------
    of_row
        Unit of each row ``(n,)``.
    n
        How many there are.
    exchangeable
        Whether they are rows or groups, of which others might have come as well; not blocks of times.
    """

    of_row: NDArray[np.int64]
    n: int
    exchangeable: bool = True

    @property
    def resampled(self) -> bool:
        """Whether their resamples tell more than Student's t."""
        return self.exchangeable and self.n <= MOST_RESAMPLED

    @classmethod
    def rows(cls, n: int) -> "Units":
        """Return rows that are each a unit."""
        return cls(np.arange(n), n)

    def among(self, rows: NDArray[np.bool_]) -> "Units":
        """Return the units of some of the rows."""
        names, of_row = np.unique(self.of_row[rows], return_inverse=True)
        return Units(of_row, len(names), self.exchangeable)

    def totals(self, values: Values) -> Values:
        """Return the sum over each unit's rows ``(n_units, ...)`` of ``values (n, ...)``."""
        if values.ndim == 1:
            return np.bincount(self.of_row, values, minlength=self.n).astype(np.float64)
        return np.stack([self.totals(column) for column in values.T], axis=1)

    def standard_error(self, influence: Values) -> float:
        """Return the standard error of a score, from its rows' influences ``(n,)``."""
        if self.n < 2:
            return np.inf
        totals = self.totals(influence)
        return float(np.sqrt((totals**2).sum() * self.n / (self.n - 1)) / len(influence))


def interval(
    metric: Metric,
    y_true: NDArray[Any],
    predictions: Sequence[Values],
    value: float,
    influence: Values | None,
    units: Units,
    *,
    level: float,
    generator: np.random.Generator,
    folds: Sequence[NDArray[np.bool_]] = (),
    n_resamples: int = N_RESAMPLES,
) -> Interval:
    """Return the interval of a score that is the mean over several predictions of the same rows.

    Parameters
    ----------
    value, influence
        The score, and the mean of its rows' influences ``(n,)``.
    folds
        The rows that are ranked against each other, where they are not all.

    Returns
    -------
    interval
        Both ends nan where nothing can be said.
    """
    quantile = student(units.n, level)
    if influence is None or not np.isfinite(value) or not np.isfinite(quantile):
        return UNKNOWN
    if metric.kind == "share":
        return _of_recalls(metric, y_true, predictions, value, influence, units, level)
    error = units.standard_error(influence)
    if metric.kind == "ranking" and error == 0 and 0 < value < 1:
        return value, value  # all rows are alike to the model, whichever they are
    if metric.kind == "ranking" and predictions[0].shape[1] == 2:
        every = folds or [np.ones(len(y_true), dtype=bool)]
        counts = [(int((y_true[fold] == 1).sum()), int((y_true[fold] == 0).sum())) for fold in every]
        return of_auc(value, counts, _design_effect(influence, units), quantile)
    if metric.kind in ("ranking", "precision"):
        return _of_odds(value, error, min(int(np.bincount(y_true).min()), units.n), level)
    if metric.kind == "median":
        return _of_median(y_true, predictions, value, units, quantile)
    assert metric.means is not None
    sign = 1.0 if not metric.greater_is_better else -1.0
    # what is explained of the variance is 1 less what is left of it, which is an error
    distance = value if sign > 0 else 1 - value
    if distance <= 0 or error <= ROUNDING * distance:
        return value, value
    low, high = -quantile, quantile
    if units.resampled:
        t = studentised(
            metric.means, y_true, predictions, units, sign=sign, generator=generator, n_resamples=n_resamples
        )
        # of two or three units many resamples hold one alone, and have no error
        if len(t) >= (1 - MAX_UNDEFINED) * n_resamples:
            low, high = np.quantile(t, [(1 - level) / 2, (1 + level) / 2])
    ends = distance * np.exp(-np.array([high, low]) * error / distance)
    return (float(ends[0]), float(ends[1])) if sign > 0 else (1 - float(ends[1]), 1 - float(ends[0]))


def described(metric: Metric, n_classes: int, units: Units) -> str:
    """Return how a metric's interval is made, for the reader."""
    if metric.kind == "error":
        if units.resampled:
            return f"studentised bootstrap of the logarithm, {N_RESAMPLES:,} resamples"
        return "Student's t for the logarithm"
    return {
        "share": "mid-P" if metric.name == "accuracy" else "mid-P for each class, squared and added",
        "ranking": "score interval" if n_classes == 2 else "Student's t for the logarithm of odds",
        "precision": "Student's t for the logarithm of odds",
        "median": "Woodruff's",
        "none": "none: the figure makes no claim",
    }[metric.kind]


def mid_p(share: float, n: float, level: float) -> Interval:
    """Return the mid-P interval of a share of ``n`` rows, which need not be whole.

    In it are the shares for which neither tail, with half of what was found, has less than half of ``1 - level``.
    """
    from scipy.optimize import brentq
    from scipy.special import betainc

    x = share * n

    def above(of: float) -> float:
        """Probability of more than was found, and half of just that."""
        more = float(betainc(x + 1, n - x, of)) if x < n else 0.0
        as_many = float(betainc(x, n - x + 1, of)) if x > 0 else 1.0
        return (more + as_many) / 2

    tail = (1 - level) / 2
    low = float(brentq(lambda of: above(of) - tail, 0.0, 1.0)) if x > 0 else 0.0
    high = float(brentq(lambda of: above(of) - (1 - tail), 0.0, 1.0)) if x < n else 1.0
    return low, high


def _of_odds(score: float, error: float, n: int, level: float) -> Interval:
    """Return the interval of a score between 0 and 1, by its logarithm of odds.

    Parameters
    ----------
    n
        Rows of the rarest class, or units where these are fewer: so many tell how far the score may vary.
    """
    if error <= 0 or not 0 < score < 1:
        return mid_p(score, n, level)
    odds, half = np.log(score / (1 - score)), student(n, level) * error / (score * (1 - score))
    return float(1 / (1 + np.exp(half - odds))), float(1 / (1 + np.exp(-half - odds)))


def student(n: int, level: float) -> float:
    """Return the two-sided quantile of Student's t with one degree of freedom less than ``n``."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, (1 + level) / 2)) if n > 1 else np.inf


def _of_recalls(
    metric: Metric,
    y_true: NDArray[Any],
    predictions: Sequence[Values],
    value: float,
    influence: Values,
    units: Units,
    level: float,
) -> Interval:
    """Return the interval of the share of rows that are right, of all rows or of each class."""
    right = np.mean([(p.argmax(axis=1) == y_true) for p in predictions], axis=0)
    classes = None if metric.name == "accuracy" else [y_true == k for k in np.unique(y_true)]
    return of_share(right, value, influence, units, level=level, classes=classes)


def of_share(
    right: Values,
    value: float,
    influence: Values,
    units: Units,
    *,
    level: float,
    classes: Sequence[NDArray[np.bool_]] | None = None,
) -> Interval:
    """Return the interval of a share of rows, or of the mean of the shares of several classes of them.

    Parameters
    ----------
    right
        What counts of each row, between 0 and 1 ``(n,)``.
    value, influence
        The share, or the mean of shares, and how much each row moves it.
    classes
        Which rows are in each class; all are in one if None.
    """
    from scipy.special import ndtri

    if units.n < 2:
        return UNKNOWN
    shrink = float(ndtri((1 + level) / 2) / student(units.n, level)) ** 2
    classes = [np.ones(len(right), dtype=bool)] if classes is None else classes
    below, above, variance = 0.0, 0.0, 0.0
    for rows in classes:
        share, n = float(right[rows].mean()), int(rows.sum())
        own = units.among(rows)
        error = own.standard_error(right[rows] - share)
        # of as many independent rows as would vary so much; repeats that err in other rows do not make more of them
        worth = min(n, share * (1 - share) / error**2) if error > 0 else own.n
        low, high = mid_p(share, worth * shrink, level)
        below += (share - low) ** 2
        above += (high - share) ** 2
        variance += error**2 if np.isfinite(error) else 0.0
    # classes meet within units, so that their shares may rise and fall together
    together = units.standard_error(influence) * len(classes) / np.sqrt(variance) if variance > 0 else 1.0
    scale = max(LEAST_TOGETHER, together) / len(classes)
    return max(0.0, value - scale * float(np.sqrt(below))), min(1.0, value + scale * float(np.sqrt(above)))


def of_auc(auc: float, counts: Sequence[tuple[int, int]], design_effect: float, quantile: float) -> Interval:
    """Return the score interval of a ROC AUC, whose variance is that of two normal distributions so far apart.

    Parameters
    ----------
    counts
        Positive and negative rows of each fold that is ranked by itself.
    design_effect
        How many times the variance is that of as many independent rows.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri, owens_t

    used = [pair for pair in counts if min(pair) > 0]
    n_rows = sum(map(sum, used))

    def variance(area: float) -> float:
        total = 0.0
        for m, n in used:
            both = area - 2 * owens_t(ndtri(area), 1 / np.sqrt(3)) - area**2
            total += ((m + n) / n_rows) ** 2 * (area * (1 - area) + (m + n - 2) * both) / (m * n)
        return design_effect * total

    def end(edge: float) -> float:
        def beyond(area: float) -> float:
            return float((area - auc) ** 2 - quantile**2 * variance(area))

        if auc == edge:
            return edge
        # at the edge the variance is 0, so that the root lies on the way there; a step aside of the AUC itself
        return float(brentq(beyond, auc + (edge - auc) * 1e-12, edge)) if beyond(edge) > 0 else edge

    return end(0.0), end(1.0)


def _design_effect(influence: Values, units: Units) -> float:
    n = len(influence)
    if units.n == n:
        return 1.0
    of_rows = Units.rows(n).standard_error(influence)
    return max(1.0, (units.standard_error(influence) / of_rows) ** 2) if of_rows > 0 else n / units.n


def _of_median(
    y_true: NDArray[Any], predictions: Sequence[Values], value: float, units: Units, quantile: float
) -> Interval:
    """Return the errors between which the share of rows below the median may lie; on average over predictions."""
    ends = []
    for prediction in predictions:
        errors = abs(prediction - y_true)
        below = (errors <= np.median(errors)).astype(np.float64)
        half = quantile * max(units.standard_error(below - below.mean()), 0.0)
        ends.append(np.quantile(errors, [max(0.0, 0.5 - half), min(1.0, 0.5 + half)]) - np.median(errors))
    low, high = np.mean(ends, axis=0)
    return value + float(low), value + float(high)


def studentised(
    means: Means,
    y_true: NDArray[Any],
    predictions: Sequence[Values],
    units: Units,
    *,
    sign: float,
    generator: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
) -> Values:
    """Return bootstrap replicates of the t statistic of a score's logarithm ``(n_resamples,)``.

    Parameters
    ----------
    sign
        1 for an error, -1 for 1 less an error.
    """
    rows = [means.rows(y_true, prediction) for prediction in predictions]
    totals = units.totals(np.concatenate([*rows, np.ones((len(y_true), 1))], axis=1))
    totals, size = totals[:, :-1], totals[:, -1]
    width = rows[0].shape[1]

    def value(of: Values) -> Values:
        each = [means.value(of[..., start : start + width]) for start in range(0, of.shape[-1], width)]
        mean = np.mean(each, axis=0)
        return np.asarray(mean if sign > 0 else 1 - mean)

    def gradient(of: Values) -> Values:
        parts = [means.gradient(of[..., start : start + width]) for start in range(0, of.shape[-1], width)]
        return np.concatenate(parts, axis=-1) / len(predictions)

    centre = np.log(value(totals.sum(axis=0) / size.sum()))
    found = []
    at_once = max(1, CHUNK_SIZE // units.n)
    for start in range(0, n_resamples, at_once):
        counts = _counts(units.n, min(at_once, n_resamples - start), generator)
        n = counts @ size
        of = counts @ totals / n[:, None]
        slope = gradient(of)
        moved = slope @ totals.T - (slope * of).sum(axis=1)[:, None] * size
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.sqrt((counts * moved**2).sum(axis=1) * units.n / (units.n - 1)) / n
            score = value(of)
            found.append((np.log(score) - centre) * score / error)
    t: Values = np.concatenate(found)
    return t[np.isfinite(t)]


def _counts(n_units: int, n_resamples: int, generator: np.random.Generator) -> Values:
    """Return how often each unit is drawn in each resample."""
    drawn = generator.integers(0, n_units, size=(n_resamples, n_units)) + n_units * np.arange(n_resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_resamples * n_units)
    return counts.reshape(n_resamples, n_units).astype(np.float64)
