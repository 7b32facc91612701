"""What each rule depends on: the part of a study that it uses, and nothing else.

Each function returns the settings of one rule as plain values. The workflow passes them to the jobs as sorted JSON,
which Snakemake compares by name and value; what a rule does not name here cannot make it run again.
"""

import json
from typing import Any

from serpens.config import Custom, Model, Split, Study, training_of
from serpens.layout import Run

# Keys of ``read`` that say how numbers are written: collecting leaves text as it stands.
NUMBER_MARKS = ("decimal", "thousands")
# What is said of columns and learned on training rows, and so is for splitting and not for cleaning.
LEARNED = ("outliers", "impute", "indicator")


def as_json(settings: dict[str, Any]) -> str:
    """Return settings in the one form that compares by name and value."""
    return json.dumps(settings, sort_keys=True, ensure_ascii=False)


def models(study: Study) -> dict[str, Model]:
    """Return models and baselines by name."""
    return {model.name: model for model in (*study.models, *study.baselines)}


def collect(study: Study) -> dict[str, Any]:
    """Where the data come from, and how files are read; of a download its digest and its ending, whatever the address.

    What numbers look like is cleaning's.
    """
    data = study.data.model_dump(exclude={"url", "mirrors", "name"})
    read = {key: value for key, value in study.read.given().items() if key not in NUMBER_MARKS}
    return {"data": data | {"url": study.data.suffixes}, "cohort": study.test_on.file, "read": read}


def clean(study: Study) -> dict[str, Any]:
    """What the columns are, and which are used."""
    claim = study.test_on
    return {
        "target": study.target,
        "task": study.task,
        "columns": {name: column.model_dump(exclude=set(LEARNED)) for name, column in study.columns.items()},
        "numbers": {mark: getattr(study.read, mark) for mark in NUMBER_MARKS},
        "id": study.id,
        "group": claim.new,
        "time": study.time if study.horizon else claim.after,
        "weight": study.weight,
        "split_column": claim.column,
        "subgroups": study.subgroups,
        "features": study.features,
        "drop": study.drop,
        "image_columns": [study.image.columns] if study.image else None,
        "positive_class": study.positive_class,
        "personal": study.personal,
        "duplicates": study.clean.duplicates,
        "horizon": study.horizon,
    }


def wash(study: Study, shard: int, n_shards: int) -> dict[str, Any]:
    """What the columns are, and which part of the table is looked at."""
    return clean(study) | {"shard": shard, "shards": n_shards}


def split(study: Study, n_splits: int) -> dict[str, Any]:
    """Which rows are on which side, and how rows become arrays."""
    claim = study.test_on
    parts = study.split or Split()
    return {
        "claim": claim.model_dump(),
        "words": claim.words,
        "folds": n_splits if n_splits > 1 else None,
        "fractions": {
            "validation": parts.validation,
            "calibration": parts.calibration,
            **({} if n_splits > 1 else {"test": parts.test}),
        },
        "image": study.image.shape if study.image else None,
        "series": _series(study),
        "clean": study.clean.model_dump(include=set(LEARNED)),
        "columns": {
            name: said
            for name, column in study.columns.items()
            if (said := column.model_dump(include=set(LEARNED), exclude_none=True))
        },
        "select": study.select.model_dump() if study.select else None,
    }


def _series(study: Study) -> dict[str, Any] | None:
    if study.horizon is None:
        return None
    return {
        "time": study.time,
        "horizon": study.horizon,
        "history": study.history,
        "season": study.season or 0,
    }


def train(study: Study, run: Run) -> dict[str, Any]:
    """One model's family, settings and training; repeats start from consecutive seeds."""
    model = models(study)[run.model]
    return {
        "name": model.name,
        "family": model.family,
        "settings": model.settings(),
        "training": training_of(study, model).model_dump(),
        "seed": study.seed + run.repeat,
    }


def evaluate(study: Study, name: str, runs: list[Run]) -> dict[str, Any]:
    """What is compared with what, and by which metric."""
    claim = study.test_on
    return {
        "study": name,
        "test_on": claim.words,
        "group": claim.new,
        "time": claim.after,
        "metric": study.metric,
        "meaningful_difference": study.meaningful_difference,
        "subgroups": study.subgroups,
        "seed": study.seed,
        "families": {model.name: model.family for model in models(study).values()},
        "custom": {model.name: model.path for model in models(study).values() if isinstance(model, Custom)},
        "baselines": [model.name for model in study.baselines],
        "runs": [list(run) for run in runs],
    }


def report(study: Study, name: str, runs: list[Run]) -> dict[str, Any]:
    """What the reader is told; the whole study, as it was resolved, but for what the machine gives."""
    return {
        "name": name,
        "study": study.model_dump(mode="json", exclude={"resources"}),
        "runs": [list(run) for run in runs],
    }
