"""A copy of the workflow with three small studies, to be edited and run: what it would make, made, and has to make."""

import csv
import json
import os
import shutil
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import yaml
from tests.workflow.conftest import ROOT, Project, announced

CODE = ("Snakefile", "workflow", "profiles", "envs", "requirements")
# The families whose trainings differ by chance, and so are repeated.
CHANCE = ("mlp", "custom")
NET = '''# The network of a user.
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, *, input_shape, n_outputs, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.Tanh(), nn.Linear(width, n_outputs))
        self(torch.zeros(2, *input_shape))

    def forward(self, x):
        """Return logits."""
        return self.layers(x)
'''
SINE = '''# The simulator of a user.
import numpy as np


def simulate(*, rows, seed, noise=0.1):
    """Return noisy values of a sine."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, rows)
    return {"x": x, "y": np.sin(x) + noise * rng.normal(size=rows)}
'''
TRAINING = {"max_epochs": 2, "batch_size": 64}
PARTS = {"validation": 0.2, "calibration": 0.1, "test": 0.2}


def first_studies() -> dict:
    """Return the studies that everybody starts from: a table with folds, the user's network, the user's simulator."""
    return {
        "cancer": {
            "question": "Can measurements of nuclei tell malignant masses?",
            "data": {"file": "cancer.csv"},
            "target": "diagnosis",
            "drop": ["note"],
            "split": {"folds": 2},
            "models": [
                {
                    "name": "narrow",
                    "family": "mlp",
                    "width": 4,
                    "n_blocks": 1,
                    "training": {"learning_rate": 0.01, "weight_decay": 0.02},
                },
                {"name": "wide", "family": "mlp", "width": 8, "n_blocks": 1},
            ],
            "baselines": ["trivial", "linear"],
            "repeats": 1,
            "training": dict(TRAINING),
        },
        "digits": {
            "question": "Can a network of my own read digits?",
            "data": {"file": "digits.csv"},
            "target": "digit",
            "task": "classification",
            "split": dict(PARTS),
            "models": [{"name": "mine", "family": "custom", "path": "net.py:Net", "arguments": {"width": 6}}],
            "baselines": [{"name": "trees", "family": "boosted_trees", "max_iterations": 3}],
            "repeats": 1,
            "training": dict(TRAINING),
        },
        "sine": {
            "question": "Can a network follow a sine?",
            "data": {"simulator": "sine.py:simulate", "rows": 200, "seed": 1},
            "target": "y",
            "split": dict(PARTS),
            "models": [{"name": "mlp", "family": "mlp", "width": 4, "n_blocks": 1}],
            "baselines": ["trivial"],
            "repeats": 1,
            "training": dict(TRAINING),
        },
    }


class Workspace(Project):
    """A working directory with its own copy of the code.

    A job is called by the path of its record below the results, without ``records/``: ``cancer/clean``,
    ``cancer/train/narrow/split-0-repeat-0``, ``index``.

    Attributes
    ----------
    studies
        The studies of the configuration; an edit of them is followed by :meth:`configure`.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.studies = first_studies()
        self._edits = 0

    @classmethod
    def create(cls, folder: Path) -> "Workspace":
        """Return a workspace with code, data and configuration, and without results."""
        folder.mkdir()
        space = cls(folder)
        for name in CODE:
            copy(ROOT / name, folder / name)
        (folder / "installed").mkdir()
        space.write("cancer.csv", _cancer_rows())
        space.write("digits.csv", _digit_rows())
        space.write("net.py", NET)
        space.write("sine.py", SINE)
        space.configure()
        return space

    def copied(self, folder: Path) -> "Workspace":
        """Return a copy as ``cp -a`` makes it: everything, hidden files and times too."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return self.at(folder)

    def at(self, folder: Path) -> "Workspace":
        """Return what this workspace is, in another folder."""
        other = type(self)(folder)
        other.studies, other._edits = json.loads(json.dumps(self.studies)), self._edits
        return other

    def configure(self) -> None:
        """Write the configuration."""
        self.write("mine.yaml", yaml.safe_dump({"studies": self.studies}, sort_keys=False))

    def fresh(self) -> int:
        """Return a number that no edit of this workspace has had, so that the same edit can be made twice."""
        self._edits += 1
        return self._edits

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file wherever it stands; it must stand there."""
        text = (self.folder / name).read_text()
        assert old in text, f"{name} no longer says {old!r}: the edit in tests/workflow/edits.py needs another place"
        self.write(name, text.replace(old, new))

    # --- running ------------------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        # what stands in installed/ hides the installed distribution of the same name
        return super().environment() | {"PYTHONPATH": str(self.folder / "installed")}

    def snakemake(self, *arguments: str, **options):
        return super().snakemake(*arguments, snakefile=self.folder / "Snakefile", **options)

    def planned(self, *arguments: str, **options) -> set[str]:
        """Return the jobs that a dry run shows."""
        return _names(self.run("-n", *arguments, **options))

    def made(self, *arguments: str, **options) -> set[str]:
        """Run, and return the jobs that ran: those that wrote their record, which must be those that were announced."""
        before = self.records()
        done = self.run(*arguments, **options)
        after = self.records()
        ran = {name for name, written in after.items() if before.get(name) != written}
        said = _names(done)
        assert ran == said, f"by their records ran {sorted(ran)}, as Snakemake says {sorted(said)}"
        return ran

    def records(self) -> dict[str, tuple[int, int]]:
        """Return, for each job, which file its record is and when it was written."""
        results = self.folder / "results"
        return {
            str(path.relative_to(results).with_suffix("")).replace("records/", ""): (
                path.stat().st_ino,
                path.stat().st_mtime_ns,
            )
            for path in results.rglob("records/**/*.json")
        }

    # --- what has to run ----------------------------------------------------------------------------------------------

    def trainings(
        self, *studies: str, families: Iterable[str] = (), model: str | None = None, split: int | None = None
    ) -> set[str]:
        """Return the trainings of studies (of all, if none is named), of families, of a model, of a split."""
        return {
            f"{study}/train/{name}/split-{number}-repeat-{repeat}"
            for study in studies or self.studies
            for name, family in self.families(study).items()
            for number in range(self.n_splits(study))
            for repeat in range(self.studies[study]["repeats"] if family in CHANCE else 1)
            if (not families or family in families)
            and (model is None or name == model)
            and (split is None or number == split)
        }

    def families(self, study: str) -> dict[str, str]:
        """Return the family of each model of a study, by the name of the model."""
        models = [*self.studies[study]["models"], *self.studies[study]["baselines"]]
        named = [{"name": model, "family": model} if isinstance(model, str) else model for model in models]
        return {model["name"]: model["family"] for model in named}

    def n_splits(self, study: str) -> int:
        return self.studies[study]["split"].get("folds", 1)

    def of(self, rule: str, *studies: str) -> set[str]:
        """Return the jobs of a rule that has one in each study."""
        return {f"{study}/{rule}" for study in studies or self.studies}

    def judged(self, *studies: str) -> set[str]:
        """Return what follows when models of studies have changed: their evaluation and report, and the index."""
        return self.of("evaluate", *studies) | self.of("report", *studies) | {"index"}

    def trained(self, trainings: set[str]) -> set[str]:
        """Return trainings and what follows them."""
        return trainings | self.judged(*{name.split("/")[0] for name in trainings})

    def whole(self, *studies: str) -> set[str]:
        """Return every job of studies, and the index."""
        splits = {f"{study}/split/split-{k}" for study in studies or self.studies for k in range(self.n_splits(study))}
        first = self.of("collect", *studies) | self.of("clean", *studies)
        return first | splits | self.trainings(*studies) | self.judged(*studies)


def copy(source: Path, target: Path) -> None:
    """Copy code as ``git clone`` does: contents alone, with new times, and nothing that Python has left behind."""
    if source.is_dir():
        shutil.copytree(
            source, target, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__", ".snakemake")
        )
    else:
        shutil.copyfile(source, target)


def touch(path: Path) -> None:
    """Give a file the time of now."""
    os.utime(path)


def _names(done) -> set[str]:
    """Return the jobs that Snakemake announced, by name."""
    names = []
    for rule, of in announced(done):
        if rule == "all":
            continue
        part = f"split-{of['split']}" if "split" in of else ""
        run = f"{of['model']}/{part}-repeat-{of['repeat']}" if "model" in of else part
        names.append("/".join(filter(None, (of.get("study"), rule, run))))
    assert len(names) == len(set(names)), f"a job ran twice: {sorted(names)}"
    return set(names)


def _cancer_rows() -> str:
    """Return 240 masses, with six measurements and a note that no study uses."""
    with (ROOT / "resources/breast_cancer.csv").open() as file:
        header, *rows = islice(csv.reader(file), 241)
    lines = [",".join([*header[:6], "note", header[-1]])]
    lines += [",".join([*row[:6], f"note {place}", row[-1]]) for place, row in enumerate(rows)]
    return "\n".join(lines) + "\n"


def _digit_rows() -> str:
    """Return the zeros, ones and twos among 800 digits, by twelve of their pixels."""
    with (ROOT / "resources/digits.csv").open() as file:
        header, *rows = islice(csv.reader(file), 801)
    chosen = [row[18:30] + row[-1:] for row in rows if row[-1] in "012"]
    return "\n".join(",".join(row) for row in [header[18:30] + header[-1:], *chosen]) + "\n"
