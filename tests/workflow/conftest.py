"""Whole runs of the workflow in a folder of their own, as a user starts them."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# How Snakemake announces a job, in a dry run and in a real one.
ANNOUNCED = re.compile(r"^(?:local)?(?:rule|checkpoint) (?P<rule>\w+):\n(?P<details>(?:    .*\n)*)", re.MULTILINE)
WILDCARDS = re.compile(r"^    wildcards: (.*)$", re.MULTILINE)


class Project:
    """A working directory with a configuration, and Snakemake to run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def snakemake(
        self, *arguments: str, config: str = "mine.yaml", snakefile: Path = ROOT / "Snakefile", cores: int = 2
    ):
        command = [sys.executable, "-m", "snakemake", "-s", str(snakefile), "--cores", str(cores), *arguments]
        if config:
            command += ["--configfile", config]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=self.environment())

    def environment(self) -> dict[str, str]:
        """Return the environment that Snakemake runs in."""
        return os.environ | {"PYTHONWARNINGS": "default"}

    def run(self, *arguments: str, **options):
        done = self.snakemake(*arguments, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def jobs(self, *arguments: str, **options) -> list[str]:
        """Return the rules of the jobs that a dry run would start."""
        return [rule for rule, _ in announced(self.run("-n", *arguments, **options))]


def announced(done) -> list[tuple[str, dict[str, str]]]:
    """Return rule and wildcards of each job that Snakemake says it runs, or would run."""
    return [
        (
            match["rule"],
            dict(pair.split("=") for words in WILDCARDS.findall(match["details"]) for pair in words.split(", ")),
        )
        for match in ANNOUNCED.finditer(done.stdout + done.stderr)
    ]


@pytest.fixture(scope="session")
def make_project():
    return Project


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def content(folder):
    """Digest what must be the same bytes whenever it is made."""
    names = [*folder.rglob("*.parquet"), *folder.rglob("*.safetensors"), *folder.rglob("evaluation.json")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in names}
