"""The report of a study: what a person reads, its figures and their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from serpens import accounts, again, history, io, ledger, pages, plotting, splits, tables
from serpens.artefacts import Digest, Evaluation, Record, ResolvedStudy, Schema, Verdict
from serpens.changes import changes
from serpens.dataartefacts import Cleaning, DataChanges, Source
from serpens.layout import FIGURES, Run, StudyFolder
from serpens.metrics import METRICS

Settings = Mapping[str, Any]
# Rows of a long table that the page shows; all of them stand in the table beside it.
SHOWN_COLUMNS, SHOWN_DRIFT = 200, 40


@dataclass(frozen=True)
class Report:
    """What the report rule writes."""

    html: str
    tables: dict[str, pd.DataFrame]
    figures: dict[str, str]


def make(settings: Settings, folder: StudyFolder) -> Report:
    """Read what a study made and turn it into figures, tables and a page; its crate and history are there already."""
    runs = [Run(*run) for run in settings["runs"]]
    evaluation = Evaluation.read(folder.root / "evaluation.json")
    cleaning = Cleaning.read(folder.root / "data/cleaning.json")
    digest = Digest.read(folder.root / "data/digest.json")
    costs = pd.DataFrame([run._asdict() | _cost(Record.read(folder.record("train", run))) for run in runs])
    on_gpus = costs[costs["on_gpu"]]
    schema = Schema.read(folder.schema(0))
    collected = DataChanges.read(folder.root / "data/changes.json")
    drawn = _tables(evaluation, cleaning, folder, runs, costs, digest.classes) | {
        "columns": accounts.columns(cleaning, schema),
        "drift": accounts.drift(collected),
        "subgroups": tables.subgroups(evaluation),
    }
    figures = _figures(drawn, evaluation, digest.classes, settings["study"]["target"])
    study = ResolvedStudy.model_validate(io.read_json(folder.root / "study.json"))
    kept = history.entries(folder)
    page = pages.render(
        "report.html",
        name=settings["name"],
        study=study,
        evaluation=evaluation,
        # the newest entry holds the evaluation that is shown
        changes=changes(*kept[-2:]) if len(kept) > 1 else None,
        verdict=pages.VERDICTS[evaluation.verdict.deep_learning_helps],
        cleaning=cleaning,
        columns_left_out=[column for column in cleaning.columns if not column.kept],
        panels_left_out=plotting.shown_panels(drawn["distributions"]["column"])[1],
        source=Source.read(folder.root / "data/source.json"),
        digest=digest,
        schema=schema,
        collected=collected,
        columns=drawn["columns"].head(SHOWN_COLUMNS).to_dict("records"),
        drift=drawn["drift"].head(SHOWN_DRIFT).to_dict("records"),
        moved=[each.name for each in collected.drift if each.beyond_chance],
        spelled=[column for column in cleaning.columns if column.spellings],
        figures={stem: Markup(_inlined(svg, stem)) for stem, svg in figures.items()},
        costs=drawn["cost"].to_dict("records"),
        cost_ratio=_cost_ratio(drawn["cost"], evaluation.verdict),
        total_seconds=float(costs["seconds"].sum()),
        cpu_seconds=tables.total(costs["cpu_seconds"]),
        devices=sorted(set(costs["device"])),
        gpu_energy_wh=tables.total(on_gpus["gpu_energy_wh"]),
        gpu_measured_how=sorted(set(on_gpus["gpu_measured_how"])),
        n_splits=len({run.split for run in runs}),
        used=ledger.read(folder),
        again=again.read(io.read_json(folder.root / "crate/ro-crate-metadata.json")),
    )
    return Report(page, drawn, figures)


def _cost(record: Record) -> dict[str, Any]:
    """Return what a reader wants to know of a training."""
    gpu = record.gpu_usage
    return {
        "seconds": record.seconds,
        "cpu_seconds": record.cpu_seconds,
        "peak_memory_mb": record.peak_memory_mb,
        "device": record.device,
        "on_gpu": gpu is not None,
        "gpu_memory_mb": gpu and gpu.peak_memory_mb,
        "gpu_utilisation": gpu and gpu.utilisation,
        "gpu_energy_wh": gpu and gpu.energy_wh,
        "gpu_measured_how": gpu and gpu.how,
    }


def _tables(
    evaluation: Evaluation,
    cleaning: Cleaning,
    folder: StudyFolder,
    runs: Sequence[Run],
    costs: pd.DataFrame,
    classes: Sequence[str],
) -> dict[str, pd.DataFrame]:
    shown = [evaluation.verdict.best_model, evaluation.verdict.best_baseline]
    # the error by horizon is read against every model, persistence and seasonal naive among them
    judged = list(evaluation.models) if evaluation.task == "forecasting" else shown
    predicted = accounts.unnamed(_predicted(folder, runs, judged), cleaning)
    histories = [
        io.read_table(folder.model(run, "history.parquet")).assign(model=run.model, split=run.split, repeat=run.repeat)
        for run in runs
    ]
    with_epochs = [history for history in histories if len(history)] or histories[:1]
    return {
        "rows": accounts.rows(cleaning, _parts(folder, runs)),
        "distributions": tables.distributions(cleaning),
        "models": tables.models(evaluation),
        "predictions": tables.predictions(evaluation, predicted[predicted["model"].isin(shown)], classes),
        "errors": tables.errors(evaluation, predicted, classes),
        "learning": tables.learning(pd.concat(with_epochs, ignore_index=True)),
        "cost": tables.cost(evaluation, costs),
    }


def _parts(folder: StudyFolder, runs: Sequence[Run]) -> list[dict[str, int]]:
    """Return how many rows each part of each split has."""
    numbers = range(len({run.split for run in runs}))
    return [{part: io.count_rows(folder.part(number, part)) for part in splits.PARTS} for number in numbers]


def _predicted(folder: StudyFolder, runs: Sequence[Run], models: Sequence[str]) -> pd.DataFrame:
    """Return the test predictions of models, averaged over repeats, pooled over splits."""
    pooled = []
    for model in models:
        own = [run for run in runs if run.model == model]
        for split in sorted({run.split for run in own}):
            repeats = [io.read_table(folder.predictions(run)) for run in own if run.split == split]
            values = [str(name) for name in repeats[0] if name not in ("row", "truth", "origin", "step", "time")]
            mean = np.mean([repeat[values].to_numpy() for repeat in repeats], axis=0)
            averaged = repeats[0].assign(model=model)
            averaged[values] = mean
            pooled.append(averaged)
    return pd.concat(pooled, ignore_index=True)


def _figures(
    drawn: Mapping[str, pd.DataFrame], evaluation: Evaluation, classes: Sequence[str], target: str
) -> dict[str, str]:
    judged = {"task": evaluation.task, "n_classes": len(classes), "target": target}
    details: dict[str, dict[str, Any]] = {
        "models": {
            "metric": METRICS[evaluation.metric.name].label,
            "best": evaluation.verdict.best_model,
            "greater_is_better": evaluation.metric.greater_is_better,
        },
        "predictions": judged,
        "errors": judged,
    }
    return {
        stem: plotting.to_svg(plotting.draw(stem, drawn[stem], **details.get(stem, {})), stem=stem) for stem in FIGURES
    }


def _inlined(svg: str, stem: str) -> str:
    return plotting.inline(svg, stem=stem, label=str(escape(f"Figure: {stem}; its table is tables/{stem}.csv")))


def resolved(settings: Settings, folder: StudyFolder) -> ResolvedStudy:
    """Return the study with what was inferred from its data."""
    evaluation = Evaluation.read(folder.root / "evaluation.json")
    digest = Digest.read(folder.root / "data/digest.json")
    return ResolvedStudy.model_validate(
        settings["study"]
        | {
            "name": settings["name"],
            "task": evaluation.task,
            "classes": digest.classes,
            "positive_class": digest.classes[-1] if len(digest.classes) == 2 else None,
            "metric": evaluation.metric.name,
            "meaningful_difference": evaluation.metric.meaningful_difference,
            "n_splits": len({split for _, split, _ in settings["runs"]}),
            "column_types": {name: column["type"] for name, column in digest.columns.items()},
        }
    )


def _cost_ratio(cost: pd.DataFrame, verdict: Verdict) -> float:
    """Return how many times the training time of the best baseline the best model takes."""
    seconds = cost.set_index("model")["seconds"]
    return float(seconds[verdict.best_model] / seconds[verdict.best_baseline])
