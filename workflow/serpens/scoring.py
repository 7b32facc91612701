"""Scores of the test rows: of a model, of subgroups, of sets and intervals, each with how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens import calibration, intervals, metrics, statistics
from serpens.artefacts import Conformal, Estimate, Subgroup
from serpens.calibration import Held
from serpens.intervals import Units
from serpens.pieces import Columns
from serpens.subgroups import of_columns

LEVEL = 0.95
# Times are cut into so many blocks: fewer are less dependent on each other, more tell their variance better.
N_BLOCKS = 8

Values = NDArray[np.float64]


@dataclass(frozen=True)
class TestSet:
    """The pooled test rows, and what they are independent by.

    Attributes
    ----------
    truth
        Class codes or values ``(n,)``.
    units
        What is independent: rows, groups of several rows, or blocks of consecutive times.
    name
        What a unit is, for the reader.
    groups
        Whether units are groups.
    fold_of_row
        Which fold tested each row ``(n,)``; None when there is one split.
    """

    truth: NDArray[Any]
    units: Units
    name: str
    groups: bool = False
    fold_of_row: NDArray[np.int64] | None = None

    @property
    def folds(self) -> list[NDArray[np.bool_]]:
        """Masks of the rows of each fold; none when there is one split."""
        return [] if self.fold_of_row is None else [self.fold_of_row == fold for fold in np.unique(self.fold_of_row)]

    def among(self, rows: NDArray[np.bool_]) -> "TestSet":
        """Return some of the rows."""
        fold = None if self.fold_of_row is None else self.fold_of_row[rows]
        return replace(self, truth=self.truth[rows], units=self.units.among(rows), fold_of_row=fold)


def test_set(rows: Columns, truth: NDArray[Any], *, group: str | None, in_time: bool, horizon: int) -> TestSet:
    """Decide what is independent: groups if the claim is about groups, blocks of times if about times, else rows.

    Parameters
    ----------
    rows
        Pooled test rows: the ``fold`` that tested them, ``group`` and ``time`` where the claim has them; for forecasts
        ``origin``.
    horizon
        Steps of a forecast, 0 when the task is another. Forecasts from origins closer than the horizon overlap, so
        a block is no shorter than that, unless there would be but one.
    """
    n = len(truth)
    if group is not None:
        names, unit = np.unique(rows["group"].astype(str), return_inverse=True)
        return TestSet(truth, Units(unit, len(names)), f"groups of {group}", groups=True, fold_of_row=rows["fold"])
    if horizon:
        origins, place = np.unique(rows["origin"], return_inverse=True)
        return _in_blocks(truth, place, len(origins), "origins", at_least=horizon)
    if in_time:
        place = np.empty(n, dtype=np.int64)
        place[np.argsort(rows["time"], kind="stable")] = np.arange(n)
        return _in_blocks(truth, place, n, "rows", at_least=1)
    return TestSet(truth, Units.rows(n), "rows", fold_of_row=rows["fold"])


def _in_blocks(truth: NDArray[Any], place: NDArray[np.int64], n: int, what: str, *, at_least: int) -> TestSet:
    """Cut ``n`` places in the order of time into blocks of nearly equal length."""
    n_blocks = min(n, max(2, min(N_BLOCKS, n // at_least)))
    name = f"{n_blocks} blocks of about {round(n / n_blocks)} consecutive {what}"
    return TestSet(truth, Units(place * n_blocks // n, n_blocks, exchangeable=False), name)


@dataclass(frozen=True)
class Score:
    """A model's score on the test rows: the mean over its repeats.

    Attributes
    ----------
    influence
        How much each row moves it ``(n,)``; None where nothing can be said.
    error
        Its standard error.
    """

    estimate: Estimate
    value: float
    influence: Values | None
    error: float


def scored_by(metric: metrics.Metric, tested: TestSet, predictions: Sequence[Values], *, seed: int) -> Score:
    """Score a model, and say how sure the score is.

    Parameters
    ----------
    predictions
        One array a repeat.
    """
    each = [statistics.score(metric, tested.truth, prediction, tested.folds) for prediction in predictions]
    value = float(np.mean([score for score, _ in each]))
    known = [influence for _, influence in each if influence is not None]
    influence = np.mean(known, axis=0) if len(known) == len(each) else None
    low, high = intervals.interval(
        metric,
        tested.truth,
        predictions,
        value,
        influence,
        tested.units,
        level=LEVEL,
        generator=np.random.default_rng(seed),
        folds=tested.folds,
    )
    estimate = Estimate(value=finite(value), low=finite(low), high=finite(high))
    error = np.nan if influence is None else tested.units.standard_error(influence)
    return Score(estimate, value, influence, error)


def difference(ours: Score, theirs: Score, units: Units, sign: int) -> statistics.Difference:
    """Return how much better ours is than theirs on the same rows.

    Parameters
    ----------
    sign
        1 when greater is better, else -1: above zero ours is better, whatever the metric.
    """
    value = sign * (ours.value - theirs.value)
    if ours.influence is None or theirs.influence is None:
        return statistics.Difference(value, np.nan, units.n)
    return statistics.paired(value, sign * (ours.influence - theirs.influence), units)


def as_estimate(found: statistics.Difference) -> Estimate:
    """Return a difference with its interval."""
    low, high = found.interval(LEVEL)
    return Estimate(value=finite(found.value), low=finite(low), high=finite(high))


def by_subgroup(
    tested: TestSet,
    ours: Sequence[Values],
    theirs: Sequence[Values],
    metric: metrics.Metric,
    columns: Columns,
    *,
    seed: int,
    held: Sequence[Held] | None = None,
) -> tuple[Subgroup, ...]:
    """Score the best model and the best baseline in each subgroup, and the former against all other rows.

    Parameters
    ----------
    ours, theirs
        Their predictions of the test rows, one array a repeat.
    columns
        Of the test rows.
    held
        What the best model's sets or intervals hold, one a repeat.
    """
    sign = 1 if metric.greater_is_better else -1
    told, differences = [], []
    for column, level, rows in of_columns(columns):
        here, theirs_here = (
            scored_by(metric, tested.among(rows), [each[rows] for each in predictions], seed=seed)
            for predictions in (ours, theirs)
        )
        found = statistics.Difference(np.nan, np.nan, tested.units.n)
        if not rows.all():
            rest = scored_by(metric, tested.among(~rows), [each[~rows] for each in ours], seed=seed)
            found = _apart(here, rest, rows, tested.units, sign)
        told.append({"column": column, "level": level, "n": int(rows.sum()), "score": here.estimate})
        told[-1] |= {"baseline": theirs_here.estimate, "against_rest": as_estimate(found)}
        if held:
            told[-1]["coverage"] = _coverage(tested.among(rows), [each.covered[rows] for each in held])
        differences.append(found)
    p_values = [each.p_value for each in differences]
    adjusted = statistics.holm(p_values)
    return tuple(
        Subgroup(**each, p_value=p, p_adjusted=float(p_adjusted))
        for each, p, p_adjusted in zip(told, p_values, adjusted, strict=True)
    )


def slope(tested: TestSet, predictions: Sequence[Values]) -> Estimate | None:
    """Return the calibration slope, the mean over repeats; None where it is not defined."""
    each = [calibration.slope(tested.truth, prediction) for prediction in predictions]
    known = [influence for _, influence in each if influence is not None]
    if len(known) < len(each):
        return None
    value = float(np.mean([slope for slope, _ in each]))
    return as_estimate(statistics.paired(value, np.mean(known, axis=0), tested.units))


def conformal(tested: TestSet, held: Sequence[Held]) -> Conformal:
    """Return how often sets or intervals hold the truth, and how large they are.

    Parameters
    ----------
    held
        One a repeat.
    """
    return Conformal(
        nominal=calibration.COVERAGE,
        coverage=_coverage(tested, [each.covered for each in held]),
        size=finite(float(np.mean([each.size for each in held]))),
    )


def _coverage(tested: TestSet, covered: Sequence[Values]) -> Estimate:
    """Return the share of rows whose truth is held, the mean over repeats."""
    right = np.mean(covered, axis=0)
    value = float(right.mean())
    low, high = intervals.of_share(right, value, right - value, tested.units, level=LEVEL)
    return Estimate(value=value, low=finite(low), high=finite(high))


def _apart(here: Score, rest: Score, rows: NDArray[np.bool_], units: Units, sign: int) -> statistics.Difference:
    """Return how much better a score of some rows is than that of all others; units may have rows on both sides."""
    value = sign * (here.value - rest.value)
    if here.influence is None or rest.influence is None:
        return statistics.Difference(np.nan, np.nan, units.n)
    influence = np.empty(len(rows))
    influence[rows] = here.influence * len(rows) / rows.sum()
    influence[~rows] = -rest.influence * len(rows) / (~rows).sum()
    return statistics.paired(value, sign * influence, units)


def finite(value: float) -> float | None:
    """Return a number, or None for what is none."""
    return float(value) if np.isfinite(value) else None
