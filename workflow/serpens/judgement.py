"""The evaluation as a stage: every model of a study predicts its test rows, once, and is judged by them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens import calibration, evaluation, features, fitting, io, metrics, scoring, series, splits
from serpens.artefacts import Evaluation, ModelDescription, Schema
from serpens.calibration import Held
from serpens.features import Prepared
from serpens.io import ROW
from serpens.layout import Run, StudyFolder
from serpens.pieces import Columns

Settings = Mapping[str, Any]

logger = logging.getLogger(__name__)

# Begins the name of a column by which scores are told, among what is known of test rows.
SUBGROUP = "subgroup "


@dataclass(frozen=True)
class Judged:
    """What evaluation makes: the predictions of every run for its test rows, and what they are worth."""

    predictions: dict[Run, Columns]
    evaluation: Evaluation


def evaluate(settings: Settings, folder: StudyFolder) -> Judged:
    """Score every model once on the test rows and compare them."""
    runs = [Run(*run) for run in settings["runs"]]
    predictions: dict[Run, Columns] = {}
    validated: dict[Run, float] = {}
    parameters: dict[str, int] = {}
    pooled_rows: list[Columns] = []
    held: dict[Run, Held] = {}
    for number in sorted({run.split for run in runs}):
        schema = Schema.read(folder.schema(number))
        parts = {part: io.read_columns(folder.part(number, part)) for part in splits.PARTS}
        classes = schema.target.classes
        deciding = settings["metric"] or metrics.default_metric(schema.task, len(classes)).name
        validation = prepare(schema, parts["validation"], parts["train"])
        earlier = {
            name: np.concatenate([parts[part][name] for part in ("train", "validation", "calibration")])
            for name in parts["train"]
        }
        test = prepare(schema, parts["test"], earlier)
        spared = _calibration(schema, parts)
        observed = ~np.isnan(test.truth) if schema.series else np.ones(len(test.truth), dtype=bool)
        pooled_rows.append(_units(parts["test"], test.keys, number, settings))
        for run in (run for run in runs if run.split == number):
            description = ModelDescription.read(folder.model(run, "model.json"))
            model = fitting.restore(description.architecture, io.read_arrays(folder.model(run, "weights.safetensors")))
            parameters[run.model] = description.parameters
            predicted = evaluation.predict(model, schema, test)
            predictions[run] = {name: values[observed] for name, values in predicted.items()}
            validated[run] = _score(deciding, evaluation.predict(model, schema, validation), classes)
            if spared is not None:
                truth, values = evaluation.scored(evaluation.predict(model, schema, spared), classes)
                known = np.ones(len(truth), dtype=bool) if classes else ~np.isnan(truth)
                within = calibration.margin(calibration.distance(truth[known], values[known]))
                held[run] = calibration.held(*evaluation.scored(predictions[run], classes), within)
            logger.info("%s: %d test rows predicted", run.stem, observed.sum())
        pooled_rows[-1] = {name: values[observed] for name, values in pooled_rows[-1].items()}
    names = list(dict.fromkeys(run.model for run in runs))
    scored = {run: evaluation.scored(columns, classes) for run, columns in predictions.items()}
    first = [run for run in runs if run.model == names[0] and run.repeat == 0]
    tested = scoring.test_set(
        {name: np.concatenate([rows[name] for rows in pooled_rows]) for name in pooled_rows[0]},
        np.concatenate([scored[run][0] for run in first]),
        group=settings["group"],
        in_time=settings["time"] is not None,
        horizon=schema.series.horizon if schema.series else 0,
    )
    result = evaluation.evaluate(
        tested,
        {name: _by_repeat(name, scored) for name in names},
        study=settings["study"],
        task=schema.task,
        classes=classes,
        test_on=settings["test_on"],
        metric=settings["metric"],
        meaningful_difference=settings["meaningful_difference"],
        families=settings["families"],
        baselines=settings["baselines"],
        validation_scores={
            name: float(np.mean([score for run, score in validated.items() if run.model == name])) for name in names
        },
        parameters=parameters,
        run_scores={run: _score(deciding, columns, classes) for run, columns in predictions.items()},
        subgroups={
            name: np.concatenate([rows[SUBGROUP + name] for rows in pooled_rows]) for name in settings["subgroups"]
        },
        held={name: _held_by_repeat(name, held) for name in names} if held else None,
        seed=settings["seed"],
    )
    return Judged(predictions, result)


def _calibration(schema: Schema, parts: Mapping[str, Columns]) -> Prepared | None:
    """Return the rows that nothing else has used, as arrays; None where there are none."""
    if not len(parts["calibration"][ROW]):
        return None
    before = {name: np.concatenate([parts[part][name] for part in ("train", "validation")]) for name in parts["train"]}
    prepared = prepare(schema, parts["calibration"], before)
    return prepared if len(prepared.truth) else None


def _held_by_repeat(name: str, held: Mapping[Run, Held]) -> list[Held]:
    """Return what a model's sets or intervals hold, pooled over splits, one a repeat."""
    own = sorted(run for run in held if run.model == name)
    return [
        Held(
            *(
                np.concatenate([getattr(held[run], part) for run in own if run.repeat == repeat])
                for part in ("covered", "size")
            )
        )
        for repeat in sorted({run.repeat for run in own})
    ]


def _units(rows: Columns, keys: Columns, number: int, settings: Settings) -> Columns:
    """Return what test rows are independent by, and the fold that tested them, one entry a prediction."""
    if "origin" in keys:
        return {"origin": keys["origin"]}
    units = {"fold": np.full(len(rows[ROW]), number)}
    units |= {SUBGROUP + name: rows[name] for name in settings["subgroups"]}
    if settings["group"]:
        units["group"] = rows[settings["group"]]
    elif settings["time"]:
        units["time"] = rows[settings["time"]]
    return units


def _score(metric: str, columns: Columns, classes: tuple[str, ...]) -> float:
    truth, predicted = evaluation.scored(columns, classes)
    known = np.ones(len(truth), dtype=bool) if classes else ~np.isnan(truth)
    return metrics.score(metric, truth[known], predicted[known])


def _by_repeat(name: str, scored: Mapping[Run, tuple[NDArray[Any], NDArray[np.float64]]]) -> list[NDArray[np.float64]]:
    """Return a model's predictions pooled over splits, one array a repeat."""
    own = sorted(run for run in scored if run.model == name)
    return [
        np.concatenate([scored[run][1] for run in own if run.repeat == repeat])
        for repeat in sorted({run.repeat for run in own})
    ]


def prepare(schema: Schema, part: Columns, past: Columns | None = None) -> Prepared:
    """Turn the rows of a part into arrays; a forecast may look back into the rows before it."""
    return series.prepare(schema, part, past) if schema.series else features.prepare(schema, part)
