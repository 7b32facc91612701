"""Judging: every model scored once on the test rows, with intervals, and compared on the same rows.

Test rows of all splits are pooled: with folds each row is tested once, by a model that has not seen it. A score is
the mean over repeats of the metric on the pooled rows; metrics that rank rows do so within folds. Its interval
(:mod:`serpens.intervals`) and every comparison rest on what the claim is about: rows, whole groups, or blocks of
consecutive times; all models are scored on the same rows, so differences are paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens import intervals, metrics, statistics, wording
from serpens.artefacts import (
    Comparison,
    DecidingMetric,
    Estimate,
    Evaluation,
    IntervalMethod,
    ModelEvaluation,
    RunScore,
    Schema,
    Spread,
    Subgroup,
    Verdict,
)
from serpens.features import Prepared, decode
from serpens.fitting import Predictor
from serpens.intervals import Units
from serpens.layout import Run
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


def predict(model: Predictor, schema: Schema, prepared: Prepared) -> dict[str, NDArray[Any]]:
    """Return a model's predictions as columns: keys, truth, and probabilities of classes or a value.

    Parameters
    ----------
    prepared
        The rows to predict.
    """
    values = decode(schema, model.predict(prepared.examples.X), prepared.offset)
    columns: dict[str, NDArray[Any]] = dict(prepared.keys)
    if classes := schema.target.classes:
        columns["truth"] = np.array(classes, dtype=object)[prepared.truth]
        return columns | {f"probability_{name}": values[:, code] for code, name in enumerate(classes)}
    return columns | {"truth": prepared.truth, "prediction": values.ravel()}


def scored(columns: Columns, classes: Sequence[str]) -> tuple[NDArray[Any], Values]:
    """Return the truth as metrics read it, and what was predicted: ``(n, n_classes)`` or ``(n,)``."""
    if not classes:
        return columns["truth"], columns["prediction"]
    code = {name: index for index, name in enumerate(classes)}
    truth = np.array([code[name] for name in columns["truth"]], dtype=np.int64)
    return truth, np.stack([columns[f"probability_{name}"] for name in classes], axis=1)


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


def evaluate(
    tested: TestSet,
    predictions: Mapping[str, Sequence[Values]],
    *,
    study: str,
    task: str,
    classes: Sequence[str],
    test_on: str,
    metric: str | None,
    meaningful_difference: float | None,
    families: Mapping[str, str],
    baselines: Sequence[str],
    validation_scores: Mapping[str, float],
    parameters: Mapping[str, int],
    run_scores: Mapping[Run, float],
    seed: int,
    subgroups: Columns | None = None,
) -> Evaluation:
    """Return what every model is worth, and what that says.

    Parameters
    ----------
    predictions
        For each model, one array a repeat on the rows of ``tested``.
    validation_scores
        Mean score of each model on validation rows, by which best model and best baseline are chosen.
    run_scores
        The deciding metric of each run on the test rows of its own split.
    subgroups
        Columns of the rows of ``tested`` by which scores are told as well.
    """
    deciding = metrics.METRICS[metric] if metric else metrics.default_metric(task, len(classes))
    meaningful = meaningful_difference or metrics.default_difference(deciding, tested.truth)
    shown = metrics.for_task(task)
    methods = {each.name: intervals.described(each, len(classes), tested.units) for each in shown}
    scores = {
        name: {each.name: scored_by(each, tested, repeats, seed=seed) for each in shown}
        for name, repeats in predictions.items()
    }
    averaged = {
        name: scored_by(deciding, tested, [np.mean(repeats, axis=0)], seed=seed)
        for name, repeats in predictions.items()
    }
    models = {
        name: ModelEvaluation(
            family=families[name],
            baseline=name in baselines,
            score=scores[name][deciding.name].estimate,
            ensemble=averaged[name].estimate,
            metrics={each.name: scores[name][each.name].estimate for each in shown},
            validation_score=validation_scores[name],
            parameters=parameters[name],
            spread=_spread(name, run_scores, scores[name][deciding.name].error),
            repeats=tuple(
                RunScore(split=run.split, repeat=run.repeat, score=_finite(score))
                for run, score in run_scores.items()
                if run.model == name
            ),
        )
        for name in predictions
    }
    sign = 1 if deciding.greater_is_better else -1
    found = {
        (model, baseline): _difference(model, baseline, scores, run_scores, tested.units, deciding.name, sign)
        for model in models
        if model not in baselines
        for baseline in baselines
    }
    comparisons = _compared(found, has_folds=len(tested.folds) > 1)
    best_model, best_baseline = (
        max(names, key=lambda name: sign * validation_scores[name])
        for names in ([name for name in models if name not in baselines], list(baselines))
    )
    decisive = next(c for c in comparisons if (c.model, c.against) == (best_model, best_baseline))
    helps = statistics.verdict(decisive.difference.low, decisive.difference.high, meaningful)
    deciding_difference = found[best_model, best_baseline]
    more_rows = None
    if helps is None:
        more_rows = statistics.rows_to_decide(deciding_difference, meaningful, len(tested.truth), LEVEL)
    return Evaluation(
        study=study,
        task=task,
        test_on=test_on,
        metric=DecidingMetric(
            name=deciding.name, greater_is_better=deciding.greater_is_better, meaningful_difference=meaningful
        ),
        n_test=len(tested.truth),
        n_groups=tested.units.n if tested.groups else None,
        interval=IntervalMethod(
            level=LEVEL,
            method=methods[deciding.name],
            methods=methods,
            unit=tested.name,
            conditions_on="the trained models",
        ),
        models=models,
        comparisons=comparisons,
        subgroups=by_subgroup(
            tested, predictions[best_model], predictions[best_baseline], deciding, subgroups or {}, seed=seed
        ),
        verdict=Verdict(
            best_model=best_model,
            best_baseline=best_baseline,
            deep_learning_helps=helps,
            detectable_difference=_finite(deciding_difference.detectable(LEVEL)),
            more_rows=more_rows,
            text=wording.verdict(models, decisive, helps, deciding, meaningful, _more(more_rows, task)),
        ),
    )


def _more(n: int | None, task: str) -> str:
    """Return in words how many further rows would decide."""
    if n is None:
        return ""
    return f"{wording.number(float(n))} more test {'predictions' if task == 'forecasting' else 'rows'}"


def score_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return every score as a row of a flat table."""
    rows = []
    for name, model in evaluation.models.items():
        common = {"study": evaluation.study, "n_test": evaluation.n_test}
        common |= {"model": name, "family": model.family, "baseline": model.baseline}
        blank = {"split": None, "repeat": None}
        deciding = evaluation.metric.name
        rows += [
            common | {"metric": metric, "of": "mean of repeats"} | blank | estimate.model_dump()
            for metric, estimate in model.metrics.items()
        ]
        rows.append(common | {"metric": deciding, "of": "ensemble of repeats"} | blank | model.ensemble.model_dump())
        rows += [
            common
            | {"metric": deciding, "of": "one training", "split": run.split, "repeat": run.repeat}
            | {"value": run.score, "low": None, "high": None}
            for run in model.repeats
        ]
    return rows


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
    estimate = Estimate(value=_finite(value), low=_finite(low), high=_finite(high))
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


def by_subgroup(
    tested: TestSet,
    ours: Sequence[Values],
    theirs: Sequence[Values],
    metric: metrics.Metric,
    columns: Columns,
    *,
    seed: int,
) -> tuple[Subgroup, ...]:
    """Score the best model and the best baseline in each subgroup, and the former against all other rows.

    Parameters
    ----------
    ours, theirs
        Their predictions of the test rows, one array a repeat.
    columns
        Of the test rows.
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
        differences.append(found)
    p_values = [each.p_value for each in differences]
    adjusted = statistics.holm(p_values)
    return tuple(
        Subgroup(**each, p_value=p, p_adjusted=float(p_adjusted))
        for each, p, p_adjusted in zip(told, p_values, adjusted, strict=True)
    )


def _apart(here: Score, rest: Score, rows: NDArray[np.bool_], units: Units, sign: int) -> statistics.Difference:
    """Return how much better a score of some rows is than that of all others; units may have rows on both sides."""
    value = sign * (here.value - rest.value)
    if here.influence is None or rest.influence is None:
        return statistics.Difference(np.nan, np.nan, units.n)
    influence = np.empty(len(rows))
    influence[rows] = here.influence * len(rows) / rows.sum()
    influence[~rows] = -rest.influence * len(rows) / (~rows).sum()
    return statistics.paired(value, sign * influence, units)


def as_estimate(found: statistics.Difference) -> Estimate:
    """Return a difference with its interval."""
    low, high = found.interval(LEVEL)
    return Estimate(value=_finite(found.value), low=_finite(low), high=_finite(high))


def _difference(
    model: str,
    baseline: str,
    scores: Mapping[str, Mapping[str, Score]],
    run_scores: Mapping[Run, float],
    units: Units,
    metric: str,
    sign: int,
) -> statistics.Difference:
    """Compare a model with a baseline on the same rows and, where there are folds, over training sets."""
    on_rows = difference(scores[model][metric], scores[baseline][metric], units, sign)
    by_fold = sign * (_by_split(model, run_scores) - _by_split(baseline, run_scores))
    if len(by_fold) < 2 or not np.isfinite(by_fold).all():
        return on_rows
    return statistics.wider(on_rows, statistics.corrected(on_rows.value, by_fold), LEVEL)


def _by_split(model: str, run_scores: Mapping[Run, float]) -> Values:
    """Return a model's score on each split, the mean over its repeats."""
    own = {run: score for run, score in run_scores.items() if run.model == model}
    return np.array(
        [
            np.mean([score for run, score in own.items() if run.split == split])
            for split in sorted({run.split for run in own})
        ]
    )


def _compared(found: Mapping[tuple[str, str], statistics.Difference], *, has_folds: bool) -> tuple[Comparison, ...]:
    """Correct all comparisons for their number."""
    test = "paired t test of what each unit adds to the score, two-sided"
    if has_folds:
        test += "; that over folds, corrected for training rows that they share, where its interval is wider"
    adjusted = statistics.holm([each.p_value for each in found.values()])
    return tuple(
        Comparison(
            model=model,
            against=baseline,
            test=test,
            difference=as_estimate(each),
            p_value=each.p_value,
            p_adjusted=float(p),
        )
        for ((model, baseline), each), p in zip(found.items(), adjusted, strict=True)
    )


def _spread(model: str, run_scores: Mapping[Run, float], error: float) -> Spread:
    """Return what chance adds: by test rows, between repeats (of their mean over splits), and between splits."""
    own = {run: score for run, score in run_scores.items() if run.model == model}

    def deviation(key: str) -> float | None:
        means = [
            np.mean([score for run, score in own.items() if getattr(run, key) == value])
            for value in {getattr(run, key) for run in own}
        ]
        return _finite(float(np.std(means, ddof=1))) if len(means) > 1 else None

    return Spread(rows=_finite(error), repeats=deviation("repeat"), splits=deviation("split"))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
