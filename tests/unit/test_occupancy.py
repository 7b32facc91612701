"""One run at a time in a folder, and what a killed one left."""

import os
import platform
import subprocess
import sys

import pytest

from serpens.locks import NAME
from serpens.occupancy import occupy, release_dead

OCCUPY = "import sys; from pathlib import Path; from serpens.occupancy import occupy; occupy(Path(sys.argv[1]))"


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "locks").mkdir()
    return tmp_path / "run", tmp_path / "locks"


def killed(run):
    """Let a process occupy the folder and end without a word."""
    environment = os.environ | {"PYTHONPATH": "workflow"}
    subprocess.run([sys.executable, "-c", OCCUPY, str(run)], check=True, env=environment)


def lock(folders, seconds):
    """Make a lock of Snakemake's that is so much younger than the last sign of life."""
    run, locks = folders
    file = locks / "0.input.lock"
    file.touch()
    beat = (run / NAME).stat().st_mtime
    os.utime(file, (beat + seconds, beat + seconds))
    return file


def test_locks_of_a_killed_run_are_removed(folders):
    killed(folders[0])
    file = lock(folders, -1)
    assert release_dead(*folders).endswith("was killed; its locks are removed and its jobs taken up.")
    assert not file.exists()


def test_locks_that_are_younger_are_another_runs(folders):
    killed(folders[0])
    file = lock(folders, 5)
    release_dead(*folders)
    assert file.exists()


def test_locks_of_a_living_run_stay(folders):
    killed(folders[0])
    occupy(folders[0])
    file = lock(folders, -1)
    told = f"Another run is at work in this folder (process {os.getpid()} on {platform.node()}); wait until it ends"
    assert release_dead(*folders).startswith(told)
    assert file.exists()


def test_without_locks_there_is_nothing_to_say(folders):
    assert release_dead(*folders) == ""
    killed(folders[0])
    assert release_dead(*folders) == ""
