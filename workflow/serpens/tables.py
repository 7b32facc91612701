"""The tidy table behind each figure of a report: what is computed, before anything is drawn."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serpens import metrics
from serpens.artefacts import Evaluation
from serpens.dataartefacts import Cleaning

MAX_PANELS = 24
MAX_POINTS = 1500
SHOWN_ORIGINS = 4
RELIABILITY_BINS = 10


def distributions(cleaning: Cleaning) -> pd.DataFrame:
    """Return counts of the values of each kept column: by bin for numbers, by level for categories."""
    rows: list[dict[str, Any]] = []
    # the target first, as it is what everything is about
    for column in sorted(cleaning.columns, key=lambda column: column.role != "target"):
        if not column.kept or column.role not in ("target", "feature"):
            continue
        common = {"column": column.name, "role": column.role}
        if column.histogram:
            bins = zip(pairwise(column.histogram.edges), column.histogram.counts, strict=True)
            rows += [common | {"low": low, "high": high, "level": None, "count": n} for (low, high), n in bins]
        else:
            levels = column.levels or ()
            rows += [common | {"low": None, "high": None, "level": level, "count": n} for level, n in levels]
    return pd.DataFrame(rows, columns=["column", "role", "low", "high", "level", "count"])


def models(evaluation: Evaluation) -> pd.DataFrame:
    """Return each model's deciding score with its interval, of the mean of repeats and of their ensemble."""
    rows = [
        {"model": name, "baseline": model.baseline, "of": of} | estimate.model_dump()
        for name, model in evaluation.models.items()
        for of, estimate in (("mean of repeats", model.score), ("ensemble", model.ensemble))
    ]
    return pd.DataFrame(rows)


def subgroups(evaluation: Evaluation) -> pd.DataFrame:
    """Return the scores of best model and best baseline in each subgroup, and how the former differs elsewhere."""
    parts = ("score", "baseline", "against_rest", "coverage")
    names = [f"{part}_{end}" for part in parts for end in ("value", "low", "high")]
    rows = [
        {"column": each.column, "level": each.level, "n": each.n}
        | {name: getattr(getattr(each, part), end, None) for name in names for part, _, end in [name.rpartition("_")]}
        | {"p_value": each.p_value, "p_adjusted": each.p_adjusted}
        for each in evaluation.subgroups
    ]
    return pd.DataFrame(rows, columns=["column", "level", "n", *names, "p_value", "p_adjusted"])


def predictions(evaluation: Evaluation, predicted: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return what the ``predictions`` figure draws: curves, a confusion matrix, points, or forecasts.

    Parameters
    ----------
    predicted
        Test predictions of the best model and the best baseline: ``model``, ``truth``, and ``prediction`` or a
        ``probability_`` column for each class; repeats averaged.
    """
    best = evaluation.verdict.best_model
    if len(classes) == 2:
        return _curves(predicted, classes)
    if classes:
        return _confusion(predicted[predicted["model"] == best], classes)
    if evaluation.task == "forecasting":
        origins = np.sort(predicted["origin"].unique())
        shown = origins[np.linspace(0, len(origins) - 1, SHOWN_ORIGINS).astype(int)]
        return predicted[predicted["origin"].isin(shown)][["model", "origin", "step", "time", "truth", "prediction"]]
    return _points(predicted)[["model", "row", "truth", "prediction"]]


def errors(evaluation: Evaluation, predicted: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return what the ``errors`` figure draws: reliability, recall of classes, residuals, or error by horizon."""
    if len(classes) == 2:
        rows = []
        for model, own in predicted.groupby("model", sort=False):
            outcome = (own["truth"] == classes[1]).to_numpy()
            probability = own[f"probability_{classes[1]}"].to_numpy()
            curve = metrics.reliability_curve(outcome, probability, RELIABILITY_BINS)
            rows += [
                {"model": model, "predicted": p, "observed": o, "count": n} for p, o, n in zip(*curve, strict=True)
            ]
        return pd.DataFrame(rows)
    if classes:
        rows = []
        for model, own in predicted.groupby("model", sort=False):
            matrix = _matrix(own, classes)
            rows += [
                {"model": model, "class": name, "recall": matrix[k, k] / matrix[k].sum(), "count": matrix[k].sum()}
                for k, name in enumerate(classes)
            ]
        return pd.DataFrame(rows)
    if evaluation.task == "forecasting":
        squared = predicted.assign(squared=(predicted["prediction"] - predicted["truth"]) ** 2)
        by_step = squared.groupby(["model", "step"], sort=False)["squared"].mean()
        return by_step.pow(0.5).rename("rmse").reset_index()
    points = _points(predicted)
    return points.assign(residual=points["prediction"] - points["truth"])[["model", "row", "prediction", "residual"]]


def learning(histories: pd.DataFrame) -> pd.DataFrame:
    """Return loss and learning rate per epoch of every network."""
    return histories[["model", "split", "repeat", "epoch", "train_loss", "validation_loss", "learning_rate"]]


def cost(evaluation: Evaluation, costs: pd.DataFrame) -> pd.DataFrame:
    """Return, for each model, training time and memory of one training, and how many there were.

    Parameters
    ----------
    costs
        A row for each training: ``model``, ``seconds``, ``cpu_seconds``, ``peak_memory_mb``; ``on_gpu``, and where it
        is true ``gpu_memory_mb``, ``gpu_utilisation`` and ``gpu_energy_wh``, or None for what was not measured.

    Returns
    -------
    DataFrame
        Most ``gpu_memory_mb`` of one training, mean ``gpu_utilisation`` over their time, ``gpu_energy_wh`` of all; None
        without ``gpu_trainings``, and where one of them was not measured.
    """
    grouped = costs.groupby("model", sort=False)
    table = grouped["seconds"].agg(["median", "min", "max", "sum", "count"]).reset_index()
    table = table.set_axis(["model", "seconds", "fastest", "slowest", "total_seconds", "trainings"], axis=1)
    table["cpu_seconds"] = _exact(total(own) for _, own in grouped["cpu_seconds"])
    table["peak_memory_mb"] = grouped["peak_memory_mb"].max().to_numpy()
    on_gpu = [own[own["on_gpu"]] for _, own in grouped]
    table["gpu_trainings"] = [len(own) for own in on_gpu]
    table["gpu_memory_mb"] = _exact(_of_all(own["gpu_memory_mb"], np.max) for own in on_gpu)
    table["gpu_utilisation"] = _exact(
        _of_all(own["gpu_utilisation"], partial(np.average, weights=own["seconds"])) for own in on_gpu
    )
    table["gpu_energy_wh"] = _exact(total(own["gpu_energy_wh"]) for own in on_gpu)
    table["parameters"] = [evaluation.models[model].parameters for model in table["model"]]
    table["baseline"] = [evaluation.models[model].baseline for model in table["model"]]
    return table


def total(amounts: "pd.Series[Any]") -> float | None:
    """Return the sum of amounts that are all known; None if one is not, or there is none."""
    return _of_all(amounts, np.sum)


def _of_all(amounts: "pd.Series[Any]", summarise: Callable[[NDArray[np.float64]], Any]) -> float | None:
    known = len(amounts) > 0 and bool(amounts.notna().all())
    return round(float(summarise(amounts.to_numpy(dtype=np.float64))), 6) if known else None


def _exact(values: Iterable[float | None]) -> "pd.Series[Any]":
    """Return a column in which None stays None, which a file leaves empty, and does not become NaN."""
    return pd.Series(list(values), dtype=object)


def _curves(predicted: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    parts = []
    for model, own in predicted.groupby("model", sort=False):
        positive = (own["truth"] == classes[1]).to_numpy()
        score = own[f"probability_{classes[1]}"].to_numpy()
        false, true = metrics.roc_curve(positive, score)
        precision, recall = metrics.precision_recall_curve(positive, score)
        parts.append(pd.DataFrame({"curve": "ROC", "model": model, "x": false, "y": true}))
        parts.append(pd.DataFrame({"curve": "precision-recall", "model": model, "x": recall, "y": precision}))
    return pd.concat(parts, ignore_index=True)


def _matrix(own: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.int64]:
    code = {name: k for k, name in enumerate(classes)}
    truth = np.asarray(own["truth"].map(code), dtype=np.int64)
    chosen = np.asarray(own[[f"probability_{name}" for name in classes]].to_numpy().argmax(axis=1), dtype=np.int64)
    return metrics.confusion_matrix(truth, chosen, len(classes))


def _confusion(own: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    matrix = _matrix(own, classes)
    return pd.DataFrame(
        [
            {"truth": truth, "prediction": prediction, "count": int(matrix[i, j])}
            for i, truth in enumerate(classes)
            for j, prediction in enumerate(classes)
        ]
    )


def _points(predicted: pd.DataFrame) -> pd.DataFrame:
    """Return the same rows of every model, evenly drawn from all when there are many."""
    rows = np.sort(predicted["row"].unique())
    shown = rows[np.linspace(0, len(rows) - 1, min(len(rows), MAX_POINTS)).astype(int)]
    return predicted[predicted["row"].isin(shown)]
