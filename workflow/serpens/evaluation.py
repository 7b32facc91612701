"""Judging: every model scored once on the test rows, with intervals, and compared on the same rows.

Test rows of all splits are pooled: with folds each row is tested once, by a model that has not seen it. A score is
the mean over repeats of the metric on the pooled rows; metrics that rank rows do so within folds. Its interval
resamples what the claim is about: rows, whole groups, or blocks of consecutive times; all models are scored on the
same resampled rows, so differences are paired.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens import metrics, statistics, wording
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
    Verdict,
)
from serpens.features import Prepared, decode
from serpens.fitting import Predictor
from serpens.layout import Run
from serpens.pieces import Columns

LEVEL = 0.95
N_RESAMPLES = 2000

Values = NDArray[np.float64]


@dataclass(frozen=True)
class TestSet:
    """The pooled test rows and what they are resampled by.

    Attributes
    ----------
    truth
        Class codes or values ``(n,)``.
    unit_of_row
        Which unit each row belongs to ``(n,)``; a unit is a row, a group, or an origin of forecasts.
    groups
        Whether units are groups, of several rows each.
    fold_of_row
        Which fold tested each row ``(n,)``; None when there is one split.
    block_length
        Units in one block of consecutive times; None when times do not matter. Units are then in order of time.
    name
        What a unit is, for the reader.
    """

    truth: NDArray[Any]
    unit_of_row: NDArray[np.int64]
    name: str
    groups: bool = False
    fold_of_row: NDArray[np.int64] | None = None
    block_length: int | None = None

    @property
    def n_units(self) -> int:
        """Number of units."""
        return 1 + int(self.unit_of_row.max())


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
    """Decide what is resampled: groups if the claim is about groups, blocks of times if about times, else rows.

    Parameters
    ----------
    rows
        Pooled test rows: the ``fold`` that tested them, ``group`` and ``time`` where the claim has them; for forecasts
        ``origin``.
    horizon
        Steps of a forecast, 0 when the task is another. Forecasts from origins closer than the horizon overlap, so
        a block is never shorter than that.
    """
    n = len(truth)
    if group is not None:
        _, unit = np.unique(rows["group"].astype(str), return_inverse=True)
        return TestSet(truth, unit, f"groups of {group}", groups=True, fold_of_row=rows["fold"])
    if horizon:
        origins, unit = np.unique(rows["origin"], return_inverse=True)
        length = _block_length(len(origins), at_least=horizon)
        return TestSet(truth, unit, f"blocks of {length} consecutive origins", block_length=length)
    if in_time:
        unit = np.empty(n, dtype=np.int64)
        unit[np.argsort(rows["time"], kind="stable")] = np.arange(n)
        length = _block_length(n)
        return TestSet(truth, unit, f"blocks of {length} consecutive rows", block_length=length)
    return TestSet(truth, np.arange(n), "rows", fold_of_row=rows["fold"])


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
    """
    deciding = metrics.METRICS[metric] if metric else metrics.default_metric(task, len(classes))
    meaningful = meaningful_difference or metrics.default_difference(deciding, tested.truth)
    shown = metrics.for_task(task)
    summaries = bootstrap(tested, predictions, shown, seed=seed)
    models = {
        name: ModelEvaluation(
            family=families[name],
            baseline=name in baselines,
            score=summaries[name].estimate(deciding.name),
            ensemble=summaries[name].estimate(deciding.name, ensemble=True),
            metrics={each.name: summaries[name].estimate(each.name) for each in shown},
            validation_score=validation_scores[name],
            parameters=parameters[name],
            spread=_spread(name, run_scores),
            repeats=tuple(
                RunScore(split=run.split, repeat=run.repeat, score=_finite(score))
                for run, score in run_scores.items()
                if run.model == name
            ),
        )
        for name in predictions
    }
    sign = 1 if deciding.greater_is_better else -1
    comparisons = _compare(summaries, deciding.name, sign, baselines)
    best_model, best_baseline = (
        max(names, key=lambda name: sign * validation_scores[name])
        for names in ([name for name in models if name not in baselines], list(baselines))
    )
    decisive = next(c for c in comparisons if (c.model, c.against) == (best_model, best_baseline))
    helps = statistics.verdict(decisive.difference.low, decisive.difference.high, meaningful)
    return Evaluation(
        study=study,
        task=task,
        test_on=test_on,
        metric=DecidingMetric(
            name=deciding.name, greater_is_better=deciding.greater_is_better, meaningful_difference=meaningful
        ),
        n_test=len(tested.truth),
        n_groups=tested.n_units if tested.groups else None,
        interval=IntervalMethod(level=LEVEL, method=f"{statistics.METHOD}, {N_RESAMPLES} resamples", unit=tested.name),
        models=models,
        comparisons=comparisons,
        verdict=Verdict(
            best_model=best_model,
            best_baseline=best_baseline,
            deep_learning_helps=helps,
            text=wording.verdict(models, decisive, helps, deciding, meaningful),
        ),
    )


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
class Summary:
    """A model's scores: on the test rows as they are, and on each resample of them.

    ``plain[metric]`` has one entry a prediction, ``resampled[metric]`` is ``(n_predictions, n_resamples)``; the
    last prediction is the repeats' average.
    """

    plain: dict[str, Values]
    resampled: dict[str, Values]

    def replicates(self, metric: str, *, ensemble: bool = False) -> tuple[float, Values]:
        """Return the mean over repeats and its replicates; or those of the repeats' average."""
        chosen = slice(-1, None) if ensemble else slice(0, -1)
        return float(self.plain[metric][chosen].mean()), self.resampled[metric][chosen].mean(axis=0)

    def estimate(self, metric: str, *, ensemble: bool = False) -> Estimate:
        """Return the score with its interval."""
        value, replicates = self.replicates(metric, ensemble=ensemble)
        low, high = statistics.interval(replicates, level=LEVEL)
        return Estimate(value=_finite(value), low=_finite(low), high=_finite(high))


def bootstrap(
    tested: TestSet, predictions: Mapping[str, Sequence[Values]], shown: Sequence[metrics.Metric], *, seed: int
) -> dict[str, Summary]:
    """Score every model on the test rows and on resamples of them, which the seed and the units alone decide.

    Parameters
    ----------
    predictions
        For each model, one array a repeat.
    """
    stacks = {name: [*repeats, np.mean(repeats, axis=0)] for name, repeats in predictions.items()}
    flat = [prediction for stack in stacks.values() for prediction in stack]
    ones = [np.ones((1, len(tested.truth)))]
    plain = statistics.bootstrap_scores(shown, tested.truth, flat, ones, fold_of_row=tested.fold_of_row)
    chunks = statistics.resampling_weights(
        tested.n_units,
        generator=np.random.default_rng(seed),
        n_resamples=N_RESAMPLES,
        block_length=tested.block_length,
        unit_of_row=tested.unit_of_row,
    )
    resampled = statistics.bootstrap_scores(shown, tested.truth, flat, chunks, fold_of_row=tested.fold_of_row)
    summaries, start = {}, 0
    for name, stack in stacks.items():
        own = slice(start, start + len(stack))
        summaries[name] = Summary(
            {metric: scores[own, 0] for metric, scores in plain.items()},
            {metric: scores[own] for metric, scores in resampled.items()},
        )
        start += len(stack)
    return summaries


def difference(ours: Summary, theirs: Summary, metric: str, sign: int) -> tuple[Estimate, float]:
    """Return how much better ours is than theirs on the same resamples, and a two-sided p-value.

    Parameters
    ----------
    sign
        1 when greater is better, else -1: above zero ours is better, whatever the metric.
    """
    value, replicates = ours.replicates(metric)
    their_value, their_replicates = theirs.replicates(metric)
    found, p_value = statistics.paired_difference(
        sign * value, sign * their_value, sign * replicates, sign * their_replicates, level=LEVEL
    )
    return Estimate(**{key: _finite(number) for key, number in found.items()}), p_value


def _compare(
    summaries: Mapping[str, Summary], metric: str, sign: int, baselines: Sequence[str]
) -> tuple[Comparison, ...]:
    """Compare every model with every baseline; a positive difference means that the model is better."""
    comparisons: list[dict[str, Any]] = []
    for model in (name for name in summaries if name not in baselines):
        for baseline in baselines:
            estimate, p_value = difference(summaries[model], summaries[baseline], metric, sign)
            comparisons.append(
                {
                    "model": model,
                    "against": baseline,
                    "test": "paired bootstrap, two-sided",
                    "difference": estimate,
                    "p_value": p_value,
                }
            )
    adjusted = statistics.holm([comparison["p_value"] for comparison in comparisons])
    return tuple(Comparison(**c, p_adjusted=float(p)) for c, p in zip(comparisons, adjusted, strict=True))


def _spread(model: str, run_scores: Mapping[Run, float]) -> Spread:
    """Return the standard deviation between repeats (of their mean over splits) and between splits."""
    own = {run: score for run, score in run_scores.items() if run.model == model}

    def deviation(key: str) -> float | None:
        means = [
            np.mean([score for run, score in own.items() if getattr(run, key) == value])
            for value in {getattr(run, key) for run in own}
        ]
        return _finite(float(np.std(means, ddof=1))) if len(means) > 1 else None

    return Spread(repeats=deviation("repeat"), splits=deviation("split"))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _block_length(n: int, at_least: int = 1) -> int:
    """Return n^(1/3) (Künsch 1989), at least ``at_least``, and at most half of what there is."""
    usual = math.ceil(math.cbrt(n))
    return max(1, min(max(at_least, usual), n // 2))
