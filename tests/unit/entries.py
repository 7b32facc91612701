"""Kept evaluations, planted: what was predicted of which rows, and what the study said."""

import numpy as np
import pandas as pd

from serpens import evaluation, io, scoring
from serpens.artefacts import MadeFrom
from serpens.history import Entry
from serpens.layout import Run

STUDY = {
    "name": "s",
    "target": "y",
    "id": "id",
    "time": None,
    "horizon": None,
    "classes": [],
    "column_types": {"x": "number", "y": "number"},
    "seed": 0,
    "test_on": {"new": None, "after": None},
    "models": [{"name": "deep", "family": "mlp", "width": 8}],
}


def plant(folder, name, truth, models, /, *, rows=None, fold=None, content=None, units=None, **said):
    """Write an entry and return it.

    Parameters
    ----------
    models
        For each model, one array a repeat: of values, or of probabilities of the classes in order.
    rows
        What the rows are called; ``0, 1 ...`` if not given.
    units
        ``group`` or ``time`` of each row.
    said
        Keys of the study; ``metric``, ``code``, ``libraries`` and ``data``.
    """
    home = folder / "history" / name
    home.mkdir(parents=True)
    metric, data = said.pop("metric", None), said.pop("data", "d")
    made = {name: said.pop(name, {}) for name in ("code", "libraries")}
    MadeFrom(data=data, inferred=said.pop("inferred", ()), **made).write(home / "made_from.json")
    study = STUDY | said
    classes = study["classes"]
    rows = [f"r{k}" for k in range(len(truth))] if rows is None else rows
    fold = np.zeros(len(truth), dtype=np.int64) if fold is None else fold
    units = units or {}
    key = {"row": rows} if not study["horizon"] else {"row": rows, "origin": units["origin"], "step": units["step"]}
    parts = []
    for model, repeats in models.items():
        for repeat, predicted in enumerate(repeats):
            values = {f"probability_{c}": predicted[:, k] for k, c in enumerate(classes)} or {"prediction": predicted}
            parts.append(
                pd.DataFrame(key | {"truth": truth} | values | {"split": fold}).assign(model=model, repeat=repeat)
            )
    io.write_table(home / "predictions.parquet", pd.concat(parts, ignore_index=True))
    known = {"row": rows, "content": rows if content is None else content}
    if not study["horizon"]:
        known |= units
    io.write_table(home / "rows.parquet", pd.DataFrame(known).drop_duplicates("row"))
    codes = np.array([classes.index(each) for each in truth]) if classes else truth
    claim = study["test_on"]
    tested = scoring.test_set(
        {"fold": fold} | units, codes, group=claim["new"], in_time=bool(claim["after"]), horizon=study["horizon"] or 0
    )
    judged = evaluation.evaluate(
        tested,
        models,
        study="s",
        task="classification" if classes else "forecasting" if study["horizon"] else "regression",
        classes=classes,
        test_on="new rows",
        metric=metric,
        meaningful_difference=0.05,
        families=dict.fromkeys(models, "mlp"),
        baselines=["base"],
        validation_scores=dict.fromkeys(models, 0.5),
        parameters=dict.fromkeys(models, 1),
        run_scores={Run(model, 0, r): 0.5 for model, repeats in models.items() for r in range(len(repeats))},
        seed=0,
    )
    judged.write(home / "evaluation.json")
    io.write_json(home / "study.json", study)
    io.write_json(home / "record.json", {"start": "2026-11-24T15:09:25+00:00"})
    return Entry(home)
