"""Judging: every model scored once on the test rows, with intervals, and compared on the same rows.

Test rows of all splits are pooled: with folds each row is tested once, by a model that has not seen it. A score is
the mean over repeats of the metric on the pooled rows; metrics that rank rows do so within folds. Its interval
(:mod:`serpens.intervals`) and every comparison rest on what the claim is about: rows, whole groups, or blocks of
consecutive times; all models are scored on the same rows, so differences are paired.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens import intervals, metrics, scoring, statistics, wording
from serpens.artefacts import (
    Comparison,
    DecidingMetric,
    Evaluation,
    IntervalMethod,
    ModelEvaluation,
    RunScore,
    Schema,
    Spread,
    Verdict,
)
from serpens.calibration import Held
from serpens.features import Prepared, decode
from serpens.fitting import Predictor
from serpens.intervals import Units
from serpens.layout import Run
from serpens.pieces import Columns

Values = NDArray[np.float64]


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


def evaluate(
    tested: scoring.TestSet,
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
    held: Mapping[str, Sequence[Held]] | None = None,
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
    held
        For each model, what its sets or intervals hold of these rows, one a repeat; None without calibration rows.
    """
    deciding = metrics.METRICS[metric] if metric else metrics.default_metric(task, len(classes))
    meaningful = meaningful_difference or metrics.default_difference(deciding, tested.truth)
    shown = metrics.for_task(task)
    methods = {each.name: intervals.described(each, len(classes), tested.units) for each in shown}
    scores = {
        name: {each.name: scoring.scored_by(each, tested, repeats, seed=seed) for each in shown}
        for name, repeats in predictions.items()
    }
    averaged = {
        name: scoring.scored_by(deciding, tested, [np.mean(repeats, axis=0)], seed=seed)
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
            calibration_slope=None if task == "forecasting" else scoring.slope(tested, predictions[name]),
            conformal=scoring.conformal(tested, held[name]) if held else None,
            repeats=tuple(
                RunScore(split=run.split, repeat=run.repeat, score=scoring.finite(score))
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
        more_rows = statistics.rows_to_decide(deciding_difference, meaningful, len(tested.truth), scoring.LEVEL)
    return Evaluation(
        study=study,
        task=task,
        test_on=test_on,
        metric=DecidingMetric(
            name=deciding.name, greater_is_better=deciding.greater_is_better, meaningful_difference=meaningful
        ),
        n_test=len(tested.truth),
        n_by_class={name: int((tested.truth == code).sum()) for code, name in enumerate(classes)},
        n_groups=tested.units.n if tested.groups else None,
        interval=IntervalMethod(
            level=scoring.LEVEL,
            method=methods[deciding.name],
            methods=methods,
            unit=tested.name,
            conditions_on="the trained models",
        ),
        models=models,
        comparisons=comparisons,
        subgroups=scoring.by_subgroup(
            tested,
            predictions[best_model],
            predictions[best_baseline],
            deciding,
            subgroups or {},
            seed=seed,
            held=held[best_model] if held else None,
        ),
        verdict=Verdict(
            best_model=best_model,
            best_baseline=best_baseline,
            deep_learning_helps=helps,
            detectable_difference=scoring.finite(deciding_difference.detectable(scoring.LEVEL)),
            more_rows=more_rows,
            text=wording.verdict(models, decisive, helps, deciding, meaningful, _more(more_rows, task)),
        ),
    )


def _more(n: int | None, task: str) -> str:
    """Return in words how many further rows would decide."""
    if n is None:
        return ""
    return f"{float(f'{n:.2g}'):,.0f} more test {'predictions' if task == 'forecasting' else 'rows'}"


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


def _difference(
    model: str,
    baseline: str,
    scores: Mapping[str, Mapping[str, scoring.Score]],
    run_scores: Mapping[Run, float],
    units: Units,
    metric: str,
    sign: int,
) -> statistics.Difference:
    """Compare a model with a baseline on the same rows and, where there are folds, over training sets."""
    on_rows = scoring.difference(scores[model][metric], scores[baseline][metric], units, sign)
    by_fold = sign * (_by_split(model, run_scores) - _by_split(baseline, run_scores))
    if len(by_fold) < 2 or not np.isfinite(by_fold).all():
        return on_rows
    return statistics.wider(on_rows, statistics.corrected(on_rows.value, by_fold), scoring.LEVEL)


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
            difference=scoring.as_estimate(each),
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
        return scoring.finite(float(np.std(means, ddof=1))) if len(means) > 1 else None

    return Spread(rows=scoring.finite(error), repeats=deviation("repeat"), splits=deviation("split"))
