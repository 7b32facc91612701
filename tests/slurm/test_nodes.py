"""A training over two nodes of a real SLURM: the result of one process, and nothing that lives on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.unit.test_processes import LOSSES

ROOT = Path(__file__).parents[2]
PARTITION = "pair"
# As the executor for SLURM starts what a job runs: one task, in a step of its own.
JOB = """#!/bin/sh
exec srun -n1 --nodes=1 {python} {folder}/train.py {size} {epochs}
"""
TRAIN = """
import json, os, sys

from tests.unit import test_processes
from tests.unit.learners import LEARNERS

size, epochs = map(int, sys.argv[1:])


def say(epoch, *_):
    with open(f"epoch-{size}", "w") as file:
        print(os.getpid(), epoch, file=file)


network, history = test_processes.fit(
    LEARNERS["cnn, weighted classes"], size, progress=say, nodes=2 if size > 1 else 1, max_epochs=epochs
)
with open(f"found-{size}", "w") as file:
    json.dump({"train_loss": history.train_loss, "validation_loss": history.validation_loss}, file)
"""


def has_two_nodes():
    if not Path("/etc/slurm/slurm.conf").exists() or not shutil.which("sinfo"):
        return False
    said = subprocess.run(["sinfo", "-h", "-p", PARTITION, "-o", "%D"], capture_output=True, text=True, check=False)
    return said.stdout.strip() == "2"


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_two_nodes(), reason=f"needs a SLURM with a partition {PARTITION!r} of two nodes"),
]


@pytest.fixture
def submit(tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    made = []

    def start(size, epochs):
        (tmp_path / "job.sh").write_text(JOB.format(python=sys.executable, folder=tmp_path, size=size, epochs=epochs))
        options = ["--nodes=2", "--ntasks=2", "--cpus-per-task=2", "--time=5", "--output=job.out"]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'workflow'}", "OMP_NUM_THREADS": "1"}
        said = subprocess.run(
            ["sbatch", "--parsable", "--partition", PARTITION, *options, "job.sh"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        made.append(said.stdout.strip())
        return made[-1]

    yield start
    for job in made:
        subprocess.run(["scancel", job], check=False)


def wait_for(what, job, seconds=90):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, job
        time.sleep(0.2)
    return found


def state(job):
    said = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=True).stdout
    return re.search(r"JobState=(\w+)", said)[1]


def trainings(folder):
    """Return the processes that train in a folder, on whichever of the nodes, which are all on this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                if Path(words[0]).name.startswith("python"):
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_two_nodes_find_what_one_process_finds(submit, tmp_path):
    job = submit(4, 4)
    wait_for(lambda: state(job) not in ("PENDING", "RUNNING"), job)
    assert state(job) == "COMPLETED", (tmp_path / "job.out").read_text()
    subprocess.run(
        [sys.executable, "train.py", "1", "4"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'workflow'}"}, check=True,
    )  # fmt: skip
    four, one = (json.loads((tmp_path / f"found-{size}").read_text()) for size in (4, 1))
    for name, values in one.items():
        np.testing.assert_allclose(four[name], values, **LOSSES)
    wait_for(lambda: not trainings(tmp_path), job, 20)


@pytest.mark.parametrize("whom", ["first", "on the other node"])
def test_when_one_dies_all_end(submit, tmp_path, whom):
    job = submit(4, 100_000)
    wait_for((tmp_path / "epoch-4").exists, job)
    first = int((tmp_path / "epoch-4").read_text().split()[0])
    assert len(trainings(tmp_path)) == 4
    dies = first if whom == "first" else next(pid for pid in trainings(tmp_path) if on_node(pid) == "cpu2")
    os.kill(dies, signal.SIGKILL)
    wait_for(lambda: state(job) not in ("PENDING", "RUNNING", "COMPLETING"), job, 60)
    assert state(job) == "FAILED"
    wait_for(lambda: not trainings(tmp_path), job, 20)
    if whom != "first":
        said = (tmp_path / "job.out").read_text()
        assert "TrainingStoppedError: one of processes 3 to 4 of 4 of this training ended with exit" in said


def on_node(pid):
    found = re.search(r"SLURMD_NODENAME=(\w+)", Path(f"/proc/{pid}/environ").read_text(errors="replace"))
    return found and found[1]
