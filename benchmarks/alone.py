"""The jobs of a study without the workflow: read, call the package, write what the rule of the same name writes.

For what is measured against the workflow: one process that does everything, and other tools that start the jobs.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serpens import (
    crate,
    evaluation,
    history,
    io,
    judgement,
    pages,
    planning,
    provenance,
    records,
    report,
    settings,
    stages,
)
from serpens.artefacts import Digest, Evaluation, Schema
from serpens.codedigest import Reader
from serpens.config import Study
from serpens.configfile import Project
from serpens.data import Examples
from serpens.layout import Run, StudyFolder
from serpens.splits import PARTS


class Alone:
    """A study, its folder, and its jobs as methods."""

    def __init__(self, project: Project, name: str) -> None:
        self.name = name
        self.study: Study = project.studies[name]
        self.folder = StudyFolder(Path(project.results) / name)
        self.n_splits = planning.n_splits(self.study)
        self.runs = planning.runs(self.study, self.n_splits)
        self.reader = Reader()

    @contextmanager
    def recorded(
        self, stem: str, chosen: Mapping[str, Any], inputs: Sequence[Path], outputs: Sequence[Path], threads: int = 1
    ) -> Iterator[dict[str, Any]]:
        """Write a job's record, as the frame of every script does; yield what the job adds to it."""
        rule, start, facts = stem.partition("/")[0], time.perf_counter(), dict[str, Any]()
        plain = json.loads(settings.as_json(dict(chosen)))
        origin = provenance.origin(rule, self.reader.code(rule, plain), plain, map(str, inputs))
        yield facts
        record = provenance.record(
            rule=rule,
            wildcards={"study": self.name},
            origin=origin,
            outputs=map(str, outputs),
            threads=threads,
            start=provenance.now(),
            spent={"seconds": time.perf_counter() - start},
        )
        io.write_json(self.folder.record(stem), record | facts)

    def data(self, *names: str) -> list[Path]:
        """Return files of the study's data."""
        return [self.folder.root / "data" / name for name in names]

    def collect(self) -> None:
        """Bring the data here."""
        chosen = settings.collect(self.study)
        made = self.data("raw.parquet", "source.json")
        with self.recorded("collect", chosen, [], made), stages.collect(chosen) as collected:
            io.write_stream(made[0], collected.stream)
            collected.source().write(made[1])

    def clean(self) -> None:
        """Say what rows and columns are."""
        chosen = settings.clean(self.study)
        made = self.data("clean.parquet", "cleaning.json", "digest.json")
        with self.recorded("clean", chosen, self.data("raw.parquet"), made):
            table = self.folder.root / "data/clean.parquet"
            with io.workspace(table) as folder:
                raw = io.read_stream(self.folder.root / "data/raw.parquet")
                cleaned = stages.clean(chosen, raw, folder=folder)
                io.write_stream(table, cleaned.rows)
            cleaned.account.write(self.folder.root / "data/cleaning.json")
            cleaned.digest.write(self.folder.root / "data/digest.json")

    def split(self, number: int) -> None:
        """Part the rows of one split."""
        chosen, read = settings.split(self.study, self.n_splits), self.data("clean.parquet", "digest.json")
        with self.recorded(f"split/split-{number}", chosen, read, [self.folder.root / f"data/split-{number}"]):
            known = Digest.read(self.folder.root / "data/digest.json")
            dealing = stages.Dealing(chosen, number, io.read_stream(self.folder.root / "data/clean.parquet"), known)
            io.write_streams({part: self.folder.part(number, part) for part in PARTS}, dealing.schema, dealing)
            parts = {part: io.read_pieces(self.folder.part(number, part)) for part in PARTS}
            schema = stages.learn(chosen, known, parts["train"], dealing.parts())

            def write(part: str, n_rows: int, pieces: stages.ExamplePieces) -> None:
                io.write_pieces(self.folder.examples(number, part), n_rows, (each.arrays() for each in pieces))

            stages.encode(schema, parts, write).write(self.folder.schema(number))

    def train(self, run: Run, *, threads: int = 1) -> None:
        """Train one model on one split, and write its record."""
        chosen, schema = settings.train(self.study, run), Schema.read(self.folder.schema(run.split))
        paths = [self.folder.examples(run.split, part) for part in ("train", "validation")]
        files = ("weights.safetensors", "history.parquet", "model.json")
        made = [self.folder.model(run, name) for name in files]
        read = [*paths, self.folder.schema(run.split)]
        with self.recorded(f"train/{run.stem}", chosen, read, made, threads) as facts:
            fitted = stages.train(chosen, schema, *(Examples(**io.map_arrays(path)) for path in paths), gpus=0)
            io.write_arrays(made[0], fitted.model.state())
            io.write_columns(made[1], fitted.history)
            stages.describe(chosen, schema, fitted).write(made[2])
            facts["device"] = fitted.how.device

    def evaluate(self) -> None:
        """Score and compare all models."""
        chosen = json.loads(settings.as_json(settings.evaluate(self.study, self.name, self.runs)))
        made = [self.folder.root / "evaluation.json", self.folder.root / "predictions"]
        with self.recorded("evaluate", chosen, [self.folder.root / "models"], made):
            judged = judgement.evaluate(chosen, self.folder)
            for run, columns in judged.predictions.items():
                io.write_columns(self.folder.predictions(run), columns)
            judged.evaluation.write(self.folder.root / "evaluation.json")
            io.write_rows(self.folder.root / "scores.csv", evaluation.score_rows(judged.evaluation))

    def report(self) -> None:
        """Draw and write what a person reads."""
        chosen = json.loads(settings.as_json(settings.report(self.study, self.name, self.runs)))
        study, jobs = report.resolved(chosen, self.folder), records.of_study(self.folder, self.runs)
        study.write(self.folder.root / "study.json")
        history.archive(self.folder, study, chosen["study"], jobs, self.runs)
        io.write_json(self.folder.root / "crate/ro-crate-metadata.json", crate.build(self.folder, study, jobs))
        io.write_text(self.folder.root / "crate/Snakefile", crate.SNAKEFILE.read_text(encoding="utf-8"))
        made = report.make(chosen, self.folder)
        for stem, svg in made.figures.items():
            io.write_text(self.folder.root / f"figures/{stem}.svg", svg)
            table = made.tables[stem]
            io.write_rows(self.folder.root / f"tables/{stem}.csv", table.to_dict("records"), columns=list(table))
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
