"""digits and qubit on the GPU: as good as on the CPU, and twice the same bits."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from serpens import configfile, evaluation, fitting, io, metrics, stages
from serpens.jobs import Job, Jobs

# How far a score on the test rows may be from the CPU's. Dropout and shifts draw other chance on a GPU, so the network
# of digits is another one of the same kind: five seeds on a CPU lie between .977 and .997. Three of qubit lie between
# .0126 and .0145.
TOLERANCES = {"digits": ("cnn", "accuracy", 0.03), "qubit": ("mlp", "rmse", 0.005)}
# How far the loss of an early epoch may be, relatively, when chance and precision are the same.
LOSS_TOLERANCE = 1e-3
# Neither drops nor shifts, so that a GPU draws no chance.
NO_CHANCE = {"dropout": 0.0, "augment_shift": 0}


class Dealt(NamedTuple):
    """One split of a study."""

    settings: dict[str, Any]
    schema: Any
    parts: Mapping[str, Any]


def check(device: str, *, quick: bool, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
    gpus = int(device == "cuda")
    for study, (model, metric, tolerance) in TOLERANCES.items():
        dealt = deal(study, model)
        epochs = {"max_epochs": 2} if quick else {}
        on_cpu = score(dealt, train(dealt, 0, **epochs), metric)
        fitted = train(dealt, gpus, **epochs)
        again = train(dealt, gpus, **epochs)
        found = score(dealt, fitted, metric)
        yield (
            f"{study}: as good as on the CPU",
            {metric: found, "on the CPU": on_cpu, "tolerance": tolerance, "holds": abs(found - on_cpu) <= tolerance},
        )
        yield f"{study}: twice the same bits", {"holds": digest(fitted) == digest(again)}
        yield (
            f"{study}: in bfloat16",
            {metric: score(dealt, train(dealt, gpus, precision="bfloat16", **epochs), metric)},
        )
        same = {"max_epochs": 2, "precision": "float32", "schedule": "constant"}
        here, there = (train(dealt, n, chance=False, **same).history["train_loss"] for n in (gpus, 0))
        worst = float(np.max(np.abs(here / there - 1)))
        yield (
            f"{study}: losses of two epochs in float32, without chance",
            {"relative difference": worst, "tolerance": LOSS_TOLERANCE, "holds": worst <= LOSS_TOLERANCE},
        )


def deal(study: str, model: str) -> Dealt:
    """Return the first split of one of the studies of ``config.yaml``."""
    jobs = Jobs(configfile.load_project("config.yaml"))
    collected = stages.collect(jobs.settings(Job("collect", study)))
    with tempfile.TemporaryDirectory() as name:
        raw, table = Path(name) / "raw.parquet", Path(name) / "table.parquet"
        io.write_arrow(raw, collected.table)
        cleaned = stages.clean(jobs.settings(Job("clean", study)), io.read_table(raw))
        io.write_table(table, cleaned.frame)
        columns = io.read_columns(table)
    parts, schema = stages.split(jobs.settings(Job("split", study, split=0)), 0, columns, stages.digest(cleaned))
    return Dealt(jobs.settings(Job("train", study, model, 0, 0)), schema, parts)


def train(dealt: Dealt, gpus: int, *, chance: bool = True, **training: Any) -> fitting.Fitted:
    """Train the study's model, with other settings of training."""
    settings = dict(dealt.settings, training=dealt.settings["training"] | training)
    if not chance:
        settings["settings"] = settings["settings"] | {k: v for k, v in NO_CHANCE.items() if k in settings["settings"]}
    return stages.train(settings, dealt.schema, dealt.parts["train"], dealt.parts["validation"], gpus=gpus)


def score(dealt: Dealt, fitted: fitting.Fitted, metric: str) -> float:
    """Return a score on the test rows, judged as the evaluation does: on the CPU, from stored weights."""
    model = fitting.restore(fitted.architecture, fitted.model.state())
    prepared = stages.prepare(dealt.schema, dealt.parts["test"])
    predicted = evaluation.predict(model, dealt.schema, prepared)
    truth, values = evaluation.scored(predicted, dealt.schema.target.classes)
    return metrics.score(metric, truth, values)


def digest(fitted: fitting.Fitted) -> str:
    """Return a sha256 of weights and history."""
    content = hashlib.sha256()
    for arrays in (fitted.model.state(), fitted.history):
        for name in sorted(arrays):
            content.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return content.hexdigest()
