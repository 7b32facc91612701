"""digits and qubit on the GPU: as good as on the CPU, and twice the same bits."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from alone import Alone

from serpens import configfile, evaluation, fitting, io, metrics, settings, stages
from serpens.artefacts import Schema
from serpens.data import Examples
from serpens.layout import Run
from serpens.pieces import Columns

# How far a score on the test rows may be from the CPU's. Dropout and shifts draw other chance on a GPU, so the network
# of digits is another one of the same kind: five seeds on a CPU lie between .977 and .997. Three of qubit lie between
# .0126 and .0145.
TOLERANCES = {"digits": ("cnn", "accuracy", 0.03), "qubit": ("mlp", "rmse", 0.005)}
# How far the losses of the first two epochs may be apart, relatively, when chance and precision are the same.
LOSS_TOLERANCE = 1e-3
# Neither drops nor shifts, so that a GPU draws no chance.
NO_CHANCE = {"dropout": 0.0, "augment_shift": 0}


class Dealt(NamedTuple):
    """One split of a study."""

    settings: dict[str, Any]
    schema: Schema
    learned: Mapping[str, Examples]
    test: Columns


def checks(device: str, *, quick: bool) -> Iterator[tuple[str, Callable[[float], dict[str, Any]]]]:
    for study, (model, metric, tolerance) in TOLERANCES.items():
        epochs = {"max_epochs": 2} if quick else {}
        yield study, partial(compared, study, model, metric, tolerance, int(device == "cuda"), epochs)


def compared(
    study: str, model: str, metric: str, tolerance: float, gpus: int, epochs: dict[str, int], _: float
) -> dict[str, Any]:
    """Train a study's network on both devices and return what is the same, and how nearly."""
    dealt = deal(study, model)
    on_cpu = score(dealt, train(dealt, 0, **epochs), metric)
    fitted, again = (train(dealt, gpus, **epochs) for _ in range(2))
    found = score(dealt, fitted, metric)
    same = {"max_epochs": 2, "precision": "float32", "schedule": "constant"}
    here, there = (train(dealt, n, chance=False, **same).history["train_loss"] for n in (gpus, 0))
    apart = float(np.max(np.abs(here / there - 1)))
    same_bits = digest(fitted) == digest(again)
    return {
        metric: found,
        "on the CPU": on_cpu,
        "tolerance": tolerance,
        "in bfloat16": score(dealt, train(dealt, gpus, precision="bfloat16", **epochs), metric),
        "losses apart in float32": apart,
        "their tolerance": LOSS_TOLERANCE,
        "twice the same bits": same_bits,
        "holds": abs(found - on_cpu) <= tolerance and apart <= LOSS_TOLERANCE and same_bits,
    }


def deal(study: str, model: str) -> Dealt:
    """Return the first split of one of the studies of ``config.yaml``."""
    project = configfile.load_project("config.yaml")
    with tempfile.TemporaryDirectory() as results:
        jobs = Alone(project.model_copy(update={"results": results}), study)
        jobs.collect()
        jobs.clean()
        jobs.split(0)
        # what is mapped stays readable when its file is removed
        learned = {part: Examples(**io.map_arrays(jobs.folder.examples(0, part))) for part in ("train", "validation")}
        schema, test = Schema.read(jobs.folder.schema(0)), io.read_columns(jobs.folder.part(0, "test"))
    return Dealt(settings.train(jobs.study, Run(model, 0, 0)), schema, learned, test)


def train(dealt: Dealt, gpus: int, *, chance: bool = True, **training: Any) -> fitting.Fitted:
    """Train the study's model, with other settings of training."""
    chosen = dict(dealt.settings, training=dealt.settings["training"] | training)
    if not chance:
        chosen["settings"] = chosen["settings"] | {k: v for k, v in NO_CHANCE.items() if k in chosen["settings"]}
    return stages.train(chosen, dealt.schema, dealt.learned["train"], dealt.learned["validation"], gpus=gpus)


def score(dealt: Dealt, fitted: fitting.Fitted, metric: str) -> float:
    """Return a score on the test rows, judged as the evaluation does: on the CPU, from stored weights."""
    model = fitting.restore(fitted.architecture, fitted.model.state())
    prepared = stages.prepare(dealt.schema, dealt.test)
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
