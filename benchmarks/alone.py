"""The jobs of a study without the workflow: read, call the package, write what the rule of the same name writes.

For what is measured against the workflow: one process that does everything, and other tools that start the jobs.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from serpens import evaluation, io, pages, planning, provenance, report, settings, stages
from serpens.artefacts import Digest, Evaluation, Schema
from serpens.config import Study
from serpens.configfile import Project
from serpens.layout import Run, StudyFolder


class Alone:
    """A study, its folder, and its jobs as methods."""

    def __init__(self, project: Project, name: str) -> None:
        self.name = name
        self.study: Study = project.studies[name]
        self.folder = StudyFolder(Path(project.results) / name)
        self.n_splits = planning.n_splits(self.study)
        self.runs = planning.runs(self.study, self.n_splits)

    def collect(self) -> None:
        """Bring the data here."""
        collected = stages.collect(settings.collect(self.study))
        io.write_arrow(self.folder.root / "data/raw.parquet", collected.table)
        collected.source.write(self.folder.root / "data/source.json")

    def clean(self) -> None:
        """Say what rows and columns are."""
        cleaned = stages.clean(settings.clean(self.study), io.read_table(self.folder.root / "data/raw.parquet"))
        io.write_table(self.folder.root / "data/clean.parquet", cleaned.frame)
        cleaned.account.write(self.folder.root / "data/cleaning.json")
        stages.digest(cleaned).write(self.folder.root / "data/digest.json")

    def split(self, number: int) -> None:
        """Part the rows of one split."""
        known = Digest.read(self.folder.root / "data/digest.json")
        table = io.read_columns(self.folder.root / "data/clean.parquet")
        parts, schema = stages.split(settings.split(self.study, self.n_splits), number, table, known)
        for part, columns in parts.items():
            io.write_columns(self.folder.part(number, part), columns)
        schema.write(self.folder.schema(number))

    def train(self, run: Run, *, threads: int = 1) -> None:
        """Train one model on one split, and write its record."""
        chosen, schema = settings.train(self.study, run), Schema.read(self.folder.schema(run.split))
        parts = (io.read_columns(self.folder.part(run.split, part)) for part in ("train", "validation"))
        start = time.perf_counter()
        fitted = stages.train(chosen, schema, *parts, gpus=0)
        io.write_arrays(self.folder.model(run, "weights.safetensors"), fitted.model.state())
        io.write_columns(self.folder.model(run, "history.parquet"), fitted.history)
        stages.describe(chosen, schema, fitted).write(self.folder.model(run, "model.json"))
        record = provenance.record(
            rule="train",
            wildcards={"study": self.name, "model": run.model, "split": str(run.split), "repeat": str(run.repeat)},
            inputs=[str(self.folder.part(run.split, part)) for part in ("train", "validation")],
            settings=chosen,
            threads=threads,
            start=provenance.now(),
            seconds=time.perf_counter() - start,
        )
        io.write_json(self.folder.record("train", run), record | {"device": fitted.device})

    def evaluate(self) -> None:
        """Score and compare all models."""
        chosen = json.loads(settings.as_json(settings.evaluate(self.study, self.name, self.runs)))
        judged = stages.evaluate(chosen, self.folder)
        for run, columns in judged.predictions.items():
            io.write_columns(self.folder.predictions(run), columns)
        judged.evaluation.write(self.folder.root / "evaluation.json")
        io.write_rows(self.folder.root / "scores.csv", evaluation.score_rows(judged.evaluation))

    def report(self) -> None:
        """Draw and write what a person reads."""
        chosen = json.loads(settings.as_json(settings.report(self.study, self.name, self.runs)))
        made = report.make(chosen, self.folder)
        for stem, svg in made.figures.items():
            io.write_text(self.folder.root / f"figures/{stem}.svg", svg)
            table = made.tables[stem]
            io.write_rows(self.folder.root / f"tables/{stem}.csv", table.to_dict("records"), columns=list(table))
        made.study.write(self.folder.root / "study.json")
        io.write_text(self.folder.root / "report.html", made.html)


def index(results: Path, questions: Mapping[str, str]) -> None:
    """Write the page over all studies, and all their scores."""
    evaluations = [Evaluation.read(results / name / "evaluation.json") for name in questions]
    io.write_text(results / "index.html", pages.index(evaluations, questions))
    rows = [row for name in questions for row in io.read_rows(results / name / "scores.csv")]
    io.write_rows(results / "scores.csv", rows)


def job(project: Project, rule: str, words: Sequence[str]) -> None:
    """Do one job, named by its rule and its wildcards: study, then split; or study, model, split and repeat."""
    if rule == "index":
        index(Path(project.results), {name: study.question for name, study in project.studies.items()})
        return
    of_study = Alone(project, words[0])
    if rule == "train":
        of_study.train(Run(words[1], int(words[2]), int(words[3])))
    elif rule == "split":
        of_study.split(int(words[1]))
    else:
        getattr(of_study, rule)()
