"""The stages of a study as functions: what each rule of the workflow does, without the workflow.

Each takes the settings of its rule (:mod:`serpens.settings`) and data, and returns data; scripts read and write.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from serpens import features, io, series, splits
from serpens.artefacts import Digest, Evaluation, ModelDescription, Schema, Series
from serpens.features import Columns, Prepared
from serpens.layout import Run, StudyFolder

if TYPE_CHECKING:
    import pandas as pd

    from serpens.checkpoints import Checkpoints
    from serpens.cleaning import Cleaned
    from serpens.fitting import Fitted
    from serpens.sources.collecting import Collected

logger = logging.getLogger(__name__)

Settings = Mapping[str, Any]
# Columns of the cleaned table that are ours: what a row is called, and what exact duplicates share.
ROW, CONTENT, COHORT = "row", "content", "__cohort__"


@contextmanager
def collect(
    settings: Settings,
    *,
    digests: Mapping[str, str] | None = None,
    addresses: Sequence[Sequence[str]] = (),
    retrieved: Sequence[str] = (),
) -> "Iterator[Collected]":
    """Bring a study's data here, as one table; what is unpacked for it is removed when the block ends.

    Parameters
    ----------
    digests
        sha256 of files that were read already, by path.
    addresses
        Where the bytes of each file are that is downloaded; which of them gives them changes no result.
    retrieved
        Files that Snakemake brought from a storage.
    """
    from serpens.sources import collecting, disk
    from serpens.sources.parts import Given

    with disk.scratch() as folder:
        given = Given(folder, tuple(map(tuple, addresses)), tuple(retrieved), digests or {})
        yield collecting.collect(settings, given)


def clean(settings: Settings, table: "pd.DataFrame") -> "Cleaned":
    """Say what every row and column is; keep what the study uses."""
    from serpens import cleaning

    return cleaning.clean(table, **settings)


def digest(cleaned: "Cleaned") -> Digest:
    """Return what later jobs depend on: the cleaned rows, and what is known of their columns."""
    columns = {
        column.name: {"role": column.role, "type": column.type} for column in cleaned.account.columns if column.kept
    }
    known = {"task": cleaned.task, "classes": list(cleaned.classes), "columns": columns}
    content = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    for name in sorted(cleaned.frame.columns):
        # text of values in canonical order: the same rows give the same digest whatever file held them
        content.update(f"\x1d{name}\x1e".encode())
        content.update("\x1f".join(map(repr, cleaned.frame[name].tolist())).encode())
    return Digest(sha256=content.hexdigest(), rows=len(cleaned.frame), **known)


def split(settings: Settings, number: int, table: Columns, known: Digest) -> tuple[dict[str, Columns], Schema]:
    """Assign the rows of one split to parts, and learn preprocessing on its training rows.

    Returns
    -------
    parts
        Columns of the rows of each part.
    schema
        What was learned on the training rows.
    """
    target = next(name for name, column in known.columns.items() if column["role"] == "target")
    labels = _labels(settings, number, table)
    if known.task != "forecasting":
        classes = table[target] if known.classes else None
        splits.check_parts(labels, classes, split=number, advice=_advice(settings))
    dropped = {CONTENT, COHORT}
    parts: dict[str, Columns] = {
        part: {name: values[labels == part] for name, values in table.items() if name not in dropped}
        for part in splits.PARTS
    }
    types = {name: column["type"] for name, column in known.columns.items() if column["role"] == "feature"}
    if known.task == "forecasting":
        return parts, series.learn(parts["train"], target=target, types=types, series=Series(**settings["series"]))
    weight = next((name for name, column in known.columns.items() if column["role"] == "weight"), None)
    schema = features.learn(
        parts["train"],
        task=known.task,
        target=target,
        classes=known.classes,
        types=types,
        image=tuple(settings["image"]) if settings["image"] else None,
        weight=weight,
    )
    return parts, schema


def _labels(settings: Settings, number: int, table: Columns) -> splits.Labels:
    claim, fractions = settings["claim"], settings["fractions"]
    if settings["series"]:
        return splits.by_time(table[settings["series"]["time"]], fractions=fractions)
    if claim["column"]:
        return splits.by_column(table[claim["column"]], column=claim["column"])
    if claim["new"] and claim["after"]:
        return splits.by_key_and_time(table[claim["new"]], table[claim["after"]], fractions=fractions)
    if claim["after"]:
        return splits.by_time(table[claim["after"]], fractions=fractions)
    keys = table[claim["new"] or CONTENT]
    if claim["file"]:
        labels = splits.deal(splits.uniform(keys), **(fractions | {"test": 0.0}))
        labels[table[COHORT].astype(bool)] = "test"
        return labels
    return splits.by_key(keys, split=number, folds=settings["folds"], fractions=fractions)


def _advice(settings: Settings) -> str:
    claim = settings["claim"]
    if claim["column"]:
        return f"mend the column {claim['column']!r}"
    if settings["folds"]:
        fewer = max(2, settings["folds"] - 2)
        instead = f"use fewer folds than {settings['folds']} (split: {{folds: {fewer}}}) or "
        return f"{instead if fewer < settings['folds'] else ''}give larger fractions in split"
    return "give this part a larger fraction in split"


def prepare(schema: Schema, part: Columns, past: Columns | None = None) -> Prepared:
    """Turn the rows of a part into arrays; a forecast may look back into the rows before it."""
    return series.prepare(schema, part, past) if schema.series else features.prepare(schema, part)


def train(
    settings: Settings,
    schema: Schema,
    train_rows: Columns,
    validation_rows: Columns,
    *,
    gpus: int,
    processes: int = 1,
    nodes: int = 1,
    threads: int = 1,
    checkpoints: "Checkpoints | None" = None,
) -> "Fitted":
    """Train one model; validation rows decide when to stop, and among a family's own settings."""
    from serpens import fitting

    past = train_rows if schema.series else None
    return fitting.fit(
        settings["family"],
        settings["settings"],
        features.problem(schema),
        prepare(schema, train_rows).examples,
        prepare(schema, validation_rows, past).examples,
        training=settings["training"],
        seed=settings["seed"],
        progress=fitting.EpochLog(logger),
        gpus=gpus,
        processes=processes,
        nodes=nodes,
        threads=threads,
        checkpoints=checkpoints,
    )


def describe(settings: Settings, schema: Schema, fitted: "Fitted") -> ModelDescription:
    """Return what makes a model again, with its weights."""
    return ModelDescription(
        name=settings["name"],
        architecture=fitted.architecture,
        data=schema,
        parameters=fitted.model.parameters,
        seed=settings["seed"],
    )


@dataclass(frozen=True)
class Judged:
    """What evaluation makes: the predictions of every run for its test rows, and what they are worth."""

    predictions: dict[Run, Columns]
    evaluation: Evaluation


def evaluate(settings: Settings, folder: StudyFolder) -> Judged:
    """Score every model once on the test rows and compare them."""
    from serpens import evaluation, fitting, metrics

    runs = [Run(*run) for run in settings["runs"]]
    predictions: dict[Run, Columns] = {}
    validated: dict[Run, float] = {}
    parameters: dict[str, int] = {}
    pooled_rows: list[Columns] = []
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
        observed = ~np.isnan(test.truth) if schema.series else np.ones(len(test.truth), dtype=bool)
        pooled_rows.append(_units(parts["test"], test.keys, number, settings))
        for run in (run for run in runs if run.split == number):
            description = ModelDescription.read(folder.model(run, "model.json"))
            model = fitting.restore(description.architecture, io.read_arrays(folder.model(run, "weights.safetensors")))
            parameters[run.model] = description.parameters
            predicted = evaluation.predict(model, schema, test)
            predictions[run] = {name: values[observed] for name, values in predicted.items()}
            validated[run] = _score(deciding, evaluation.predict(model, schema, validation), classes)
            logger.info("%s: %d test rows predicted", run.stem, observed.sum())
        pooled_rows[-1] = {name: values[observed] for name, values in pooled_rows[-1].items()}
    names = list(dict.fromkeys(run.model for run in runs))
    scored = {run: evaluation.scored(columns, classes) for run, columns in predictions.items()}
    first = [run for run in runs if run.model == names[0] and run.repeat == 0]
    tested = evaluation.test_set(
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
        seed=settings["seed"],
    )
    return Judged(predictions, result)


def _units(rows: Columns, keys: Columns, number: int, settings: Settings) -> Columns:
    """Return what test rows are resampled by, and the fold that tested them, one entry a prediction."""
    if "origin" in keys:
        return {"origin": keys["origin"]}
    units = {"fold": np.full(len(rows[ROW]), number)}
    if settings["group"]:
        units["group"] = rows[settings["group"]]
    elif settings["time"]:
        units["time"] = rows[settings["time"]]
    return units


def _score(metric: str, columns: Columns, classes: tuple[str, ...]) -> float:
    from serpens import evaluation, metrics

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
