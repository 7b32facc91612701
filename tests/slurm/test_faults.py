"""Whatever befalls a training in a cluster, its study ends in the bytes of an undisturbed run."""

import os
import shutil
import signal
import time

import numpy as np
import pytest
from tests.slurm.conftest import Site, control, slurm

STUDY = """
scratch: {scratch}
studies:
  small:
    question: Can it be lost?
    data: table.csv
    target: y
    split: {{validation: .2, calibration: 0.0, test: .2}}
    repeats: 1
    models: [{{name: net, family: custom, path: "net.py:Net"}}]
    baselines: [trivial]
    training: {{max_epochs: 60, batch_size: 16, patience: 1000{training}}}
    resources: {{checkpoint_seconds: 0.5, mem_mb: 1000{resources}}}
"""
# It takes its time, whatever else the machine does: 60 epochs of five batches; and as much memory as it is told.
NET = """
import time

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, *, input_shape, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(input_shape[0], 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, n_outputs))
        self.ballast = None

    def forward(self, x):
        if self.training:
            self.ballast = self.ballast or b"x" * {bytes}
            time.sleep({pause})
        return self.layers(x)
"""


def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4)).round(3)
    y = np.where(x.sum(axis=1) > 0, "yes", "no")
    return "a,b,c,d,y\n" + "".join(",".join([*map(str, row), label]) + "\n" for row, label in zip(x, y, strict=True))


def write(site, pause=0.03, megabytes=0, resources="", training="", scratch="null"):
    site.write("net.py", NET.format(pause=pause, bytes=megabytes * 1_000_000))
    site.write("mine.yaml", STUDY.format(resources=resources, training=training, scratch=scratch))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A folder with all but the training done, and what an undisturbed run on this machine gives."""
    made = Site(tmp_path_factory.mktemp("undisturbed"))
    made.write("table.csv", table())
    write(made, pause=0)
    made.run("results/small/models/trivial/split-0-repeat-0/model.json", "results/small/data/split-0/schema.json")
    fresh = tmp_path_factory.mktemp("fresh") / "site"
    shutil.copytree(made.folder, fresh)
    made.run()
    return fresh, made.results()


@pytest.fixture
def site(undisturbed, tmp_path):
    fresh, _ = undisturbed
    one = Site(tmp_path / "site")
    shutil.copytree(fresh, one.folder)
    write(one)
    yield one
    one.end()


@pytest.fixture
def check(undisturbed):
    def check(site):
        assert site.results() == undisturbed[1], site.said
        assert not list(site.folder.rglob("checkpoint-*"))
        assert not site.jobs("PENDING", "RUNNING")

    return check


def trainings(site):
    """Return the jobs that accounting knows, but for those of baselines."""
    return [row for row in site.accounting() if "_net_" in row["Comment"]]


def begun(site, *arguments):
    """Start a run; return it and the number of its training's job, which has saved its state."""
    process = site.start(*arguments)
    site.wait_until(site.has_saved, process)
    (job,) = site.jobs("RUNNING")
    return process, job


def went_on(site):
    """Return whether the last attempt took up the state of an earlier one."""
    return "going on in epoch" in site.said


def test_cancelled(site, check):
    process, job = begun(site)
    slurm("scancel", job)
    site.finish(process)
    assert went_on(site)
    check(site)
    first, second = trainings(site)
    assert first["State"].startswith("CANCELLED")
    assert second["State"] == "COMPLETED"


def test_requeued(site, check):
    write(site, scratch="scratch")
    process, job = begun(site)
    assert {path.relative_to(site.folder).parts[0] for path in site.folder.rglob("checkpoint-*")} == {"scratch"}
    slurm("scontrol", "requeue", job)
    site.finish(process)
    assert went_on(site)
    check(site)


@pytest.mark.parametrize("partition", ["gpu", "spare"])
def test_preempted(site, check, partition):
    """Requeued by SLURM, or cancelled, and then sent again by Snakemake."""
    process, _ = begun(
        site, "--default-resources", "slurm_account=lab", "slurm_partition=cpu", f"gpu_partition={partition}"
    )
    slurm("sbatch", "--partition=urgent", "--gpus=2", "--output=/dev/null", "--wrap", "sleep 3")
    site.finish(process)
    assert went_on(site)
    check(site)
    assert [row["State"] for row in trainings(site)] == ["PREEMPTED", "COMPLETED"]


def test_the_submitting_run_is_killed(site, check):
    process, job = begun(site)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    site.finish()
    check(site)
    assert f"its jobs in SLURM live on: {job}" in site.said
    (only,) = trainings(site)
    assert only["State"] == "COMPLETED"


def test_the_controller_is_away(site, check):
    process, _ = begun(site)
    control("stop-ctld")
    time.sleep(8)
    control("start-ctld")
    site.finish(process)
    check(site)
    assert len(trainings(site)) == 1


def test_the_accounting_is_away(site, check):
    control("stop-dbd")
    try:
        site.finish()
    finally:
        control("start-dbd")
    check(site)


def test_the_node_fails(site, check):
    process, _ = begun(site)
    control("kill-node", "gpu1")
    time.sleep(1)
    control("start-node", "gpu1")
    site.finish(process)
    assert went_on(site)
    check(site)


def test_too_little_time(site, check):
    # longer than the limit, and the half minute that SLURM may take to see it
    write(site, pause=0.4, resources=", runtime: 1")
    site.finish()
    assert went_on(site)
    check(site)
    first, second = trainings(site)
    assert (first["State"], first["Timelimit"]) == ("TIMEOUT", "00:01:00")
    assert (second["State"], second["Timelimit"]) == ("COMPLETED", "00:02:00")


def test_too_little_memory(site, check):
    write(site, megabytes=700)
    site.finish()
    check(site)
    *short, last = trainings(site)
    assert short, "the first attempt must have been too small"
    assert {row["State"] for row in short} == {"FAILED"}
    assert (last["State"], last["ReqMem"]) == ("COMPLETED", f"{1000 * (len(short) + 1)}M")


def test_what_the_data_forbid_is_not_tried_again(site):
    write(site, pause=0, training=", learning_rate: 1.0e+30")
    assert site.start().wait(300) == 1
    assert "the training loss must stay finite" in site.said
    assert len(trainings(site)) == 1
