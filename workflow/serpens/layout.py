"""Where things lie in a study's folder: the names that rules, package and readers share."""

import hashlib
from pathlib import Path
from typing import NamedTuple

# What is kept between runs and may be lost: syntax of modules, digests of files, by stat.
CODE_CACHE = Path(".snakemake/serpens/code.json")
CONTENT_CACHE = Path(".snakemake/serpens/contents.json")
# Which process runs the workflow here, and the locks that Snakemake holds meanwhile.
RUNNING = Path(".snakemake/serpens/running")
LOCKS = Path(".snakemake/locks")
# The name that the last run's jobs have in SLURM.
SLURM_RUN = Path(".snakemake/serpens/slurm")
# What was downloaded, by sha256, and what is on its way; what a job unpacks; what storages said of their objects.
DOWNLOADS = Path(".snakemake/serpens/downloads")
UNPACKED = Path(".snakemake/serpens/unpacked")
REMOTE = Path(".snakemake/serpens/remote")
# Jobs that failed for what a person must mend, so that none of them is tried again.
REFUSED = Path(".snakemake/serpens/refused")
# What pseudonyms are made with; beside the configuration, and never below the results.
KEY = Path(".serpens-key")
# What running trainings keep, below a study's results or on a scratch disk.
CHECKPOINTS = "checkpoints"
# Figures that every report draws, each with the table of the same stem beside it.
FIGURES = ("rows", "distributions", "models", "predictions", "errors", "learning", "cost")
# All tables of a report; some are too long to be drawn.
TABLES = (*FIGURES, "columns", "drift", "subgroups")


def refusal(record: str) -> Path:
    """Return the file that says that the job with this record was refused in the present run."""
    return REFUSED / hashlib.sha256(record.encode()).hexdigest()[:16]


class Run(NamedTuple):
    """One training: a model on one split; repeats differ by chance alone."""

    model: str
    split: int
    repeat: int

    @property
    def stem(self) -> str:
        """Path of the run's files below ``models/``, ``predictions/``, ``records/train/``."""
        return f"{self.model}/split-{self.split}-repeat-{self.repeat}"


class StudyFolder(NamedTuple):
    """``results/{study}``."""

    root: Path

    def part(self, split: int, name: str) -> Path:
        """Rows of one part (train, validation, calibration, test) of a split."""
        return self.root / f"data/split-{split}/{name}.parquet"

    def examples(self, split: int, name: str) -> Path:
        """What models learn from of a part (train, validation) of a split."""
        return self.root / f"data/split-{split}/{name}.safetensors"

    def schema(self, split: int) -> Path:
        """What was learned on the training rows of a split."""
        return self.root / f"data/split-{split}/schema.json"

    def model(self, run: Run, name: str) -> Path:
        """A file of a trained model: weights.safetensors, model.json or history.parquet."""
        return self.root / "models" / run.stem / name

    def predictions(self, run: Run) -> Path:
        """Predictions of a run for its test rows."""
        return self.root / "predictions" / f"{run.stem}.parquet"

    def record(self, rule: str, run: Run | None = None) -> Path:
        """What a job was made from, took and used."""
        return self.root / "records" / (f"{rule}/{run.stem}.json" if run else f"{rule}.json")
