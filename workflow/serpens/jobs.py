"""The jobs of a project: which there are, what each depends on, what follows from what."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from serpens import planning, settings
from serpens.config import Project
from serpens.layout import CHECKPOINTS, Run

# Wildcards that are numbers.
NUMBERS = ("split", "repeat", "shard")


class Job(NamedTuple):
    """A rule, and what tells this job from the rule's others; what does not apply is empty."""

    rule: str
    study: str = ""
    model: str = ""
    split: int | None = None
    repeat: int | None = None
    shard: int | None = None

    @classmethod
    def of(cls, rule: str, wildcards: Mapping[str, Any]) -> "Job":
        """Return the job with these wildcards of the workflow."""
        numbers = (int(wildcards[name]) if name in wildcards else None for name in NUMBERS)
        return cls(rule, wildcards.get("study", ""), wildcards.get("model", ""), *numbers)

    def __str__(self) -> str:
        """Return the job as a person calls it: ``train digits cnn split 0 repeat 1``."""
        words = [self.rule, self.study, self.model]
        words += [f"{name} {value}" for name in NUMBERS if (value := getattr(self, name)) is not None]
        return " ".join(filter(None, words))

    @property
    def stem(self) -> str:
        """Path of the job's record and log below ``records/`` and ``logs/``."""
        if self.repeat is not None:
            return f"{self.rule}/{self.model}/split-{self.split}-repeat-{self.repeat}"
        if self.shard is not None:
            return f"{self.rule}/shard-{self.shard}"
        return self.rule if self.split is None else f"{self.rule}/split-{self.split}"

    @property
    def run(self) -> Run:
        """The training that the job is, if it is one."""
        assert self.split is not None, self
        assert self.repeat is not None, self
        return Run(self.model, self.split, self.repeat)


INDEX = Job("index")


class Jobs:
    """All jobs of a project.

    Attributes
    ----------
    splits
        Into how many train and test parts the rows of each study are dealt.
    runs
        The trainings of each study.
    shards
        Into how many parts the table of each study is washed by jobs of their own; 0 where cleaning does it.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.splits = {name: planning.n_splits(study) for name, study in project.studies.items()}
        self.runs = {name: planning.runs(study, self.splits[name]) for name, study in project.studies.items()}
        self.shards = {name: planning.n_shards(study) for name, study in project.studies.items()}

    def of_study(self, study: str) -> Iterator[Job]:
        """Yield a study's jobs, each after those that it follows."""
        yield Job("collect", study)
        yield from self.washings(study)
        yield Job("clean", study)
        yield from self.dealt(study)
        yield from self.trainings(study)
        yield Job("evaluate", study)
        yield Job("report", study)

    def washings(self, study: str) -> list[Job]:
        """Return the jobs that wash the parts of a study's table."""
        return [Job("wash", study, shard=number) for number in range(self.shards[study])]

    def dealt(self, study: str) -> list[Job]:
        """Return the jobs that deal a study's rows out."""
        return [Job("split", study, split=number) for number in range(self.splits[study])]

    def trainings(self, study: str) -> list[Job]:
        """Return the jobs that train a study's models."""
        return [Job("train", study, *run) for run in self.runs[study]]

    def before(self, job: Job) -> list[Job]:
        """Return the jobs whose files a job reads."""
        study = job.study
        match job.rule:
            case "collect":
                return []
            case "wash":
                return [Job("collect", study)]
            case "clean":
                return [Job("collect", study), *self.washings(study)]
            case "split":
                return [Job("clean", study)]
            case "train":
                return [Job("split", study, split=job.split)]
            case "evaluate":
                return self.dealt(study) + self.trainings(study)
            case "report":
                return [job for job in self.of_study(study) if job.rule != "report"]
            case _:
                return [Job("evaluate", name) for name in self.project.studies]

    def record(self, job: Job) -> str:
        """Return the path of a job's record."""
        return "/".join(filter(None, (self.project.results, job.study, "records", f"{job.stem}.json")))

    def checkpoints(self, study: str) -> Path:
        """Return the folder of a study's checkpoints; below it one for each training.

        On a scratch disk, which projects share, it is below a folder with the name and a digest of the results' place.
        """
        results = Path(self.project.results).absolute()
        root = Path(self.project.results)
        if self.project.scratch is not None:
            digest = hashlib.sha256(str(results).encode()).hexdigest()[:8]
            root = Path(self.project.scratch, f"{results.parent.name}-{digest}")
        return root / study / CHECKPOINTS

    def settings(self, job: Job) -> dict[str, Any]:
        """Return the part of the configuration that a job depends on."""
        if job.rule == "index":
            return {name: study.question for name, study in self.project.studies.items()}
        study = self.project.studies[job.study]
        match job.rule:
            case "split":
                return settings.split(study, self.splits[job.study])
            case "train":
                return settings.train(study, job.run)
            case "evaluate":
                return settings.evaluate(study, job.study, self.runs[job.study])
            case "report":
                return settings.report(study, job.study, self.runs[job.study])
            case "wash":
                assert job.shard is not None, job
                return settings.wash(study, job.shard, self.shards[job.study])
            case "clean":
                return settings.clean(study)
            case _:
                return settings.collect(study)
