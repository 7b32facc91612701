"""Whole runs of the workflow in a folder of their own, as a user starts them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Project:
    """A working directory with a configuration, and Snakemake to run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def snakemake(self, *arguments: str, config: str = "mine.yaml", snakefile: Path = ROOT / "Snakefile"):
        command = [sys.executable, "-m", "snakemake", "-s", str(snakefile), "--cores", "2", *arguments]
        if config:
            command += ["--configfile", config]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "default"}
        )

    def run(self, *arguments: str, **options):
        done = self.snakemake(*arguments, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def jobs(self, *arguments: str, **options) -> list[str]:
        """Return the rules of the jobs that a dry run would start."""
        done = self.run("-n", *arguments, **options)
        return [
            line.split()[1].rstrip(":")
            for line in done.stdout.splitlines()
            if line.startswith(("rule ", "localrule ", "checkpoint "))
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
