"""A study goes through SLURM as it goes through a workstation: what lands where, and how many at once."""

import json
import random
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from tests.slurm.conftest import Site
from tests.workflow.conftest import ROOT, Project

STUDY = """
studies:
  small:
    question: Is there room for all?
    data: table.csv
    target: diagnosis
    split: {validation: .2, calibration: .1, test: .2}
    repeats: 3
    models: [{name: mlp, family: mlp, width: 16, n_blocks: 1}]
    training: {max_epochs: 200, patience: 200}
    resources: {mem_mb: 1100, runtime: 9}
"""
SHARDS = """
studies:
  small:
    question: Do parts make a whole?
    data: table.csv
    target: y
    id: i
    models: [{name: line, family: linear}]
    baselines: [trivial]
    resources: {runtime: 9, shards: 16}
"""
PARTITIONS = """
partitions:
  cpu: {max_runtime: 1d, max_gpu: 0}
  gpu: {max_runtime: 1d, max_gpu: 2}
"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site").mkdir()
    one = Site(tmp_path / "site")
    yield one
    one.end()


def at_once(rows):
    """Return the most of some jobs that ran at the same time."""
    times = [(datetime.fromisoformat(row["Start"]), datetime.fromisoformat(row["End"])) for row in rows]
    return max(sum(start <= begun < end for start, end in times) for begun, _ in times)


def write_table(path, rows):
    """Write a table of many row groups, some of whose rows come twice."""
    rng = random.Random(0)
    lines = [
        f"r{place},{rng.choice(('a', 'b', ''))}," + ",".join(f" {rng.random():.6f}" for _ in range(40))
        for place in range(rows)
    ]
    lines += rng.sample(lines, rows // 50)
    rng.shuffle(lines)
    path.write_text("\n".join(["i,y," + ",".join(f"x{place}" for place in range(40)), *lines, ""]))


def assert_landed(rows):
    """Check that networks had a GPU of the partition for it, and nothing else did."""
    deep = [row for row in rows if "gres/gpu=1" in row["AllocTRES"]]
    other = [row for row in rows if row not in deep]
    assert {row["State"] for row in rows} == {"COMPLETED"}
    assert {row["Partition"] for row in deep} == {"gpu"}
    assert {row["Partition"] for row in other} == {"cpu"}
    assert not any("gpu" in row["AllocTRES"] for row in other)
    return deep, other


def test_three_trainings_on_two_gpus(site):
    """Two run, one waits; each has the memory and time that was declared; they make what a workstation makes."""
    site.write("table.csv", (ROOT / "resources/breast_cancer.csv").read_text())
    site.write("mine.yaml", STUDY)
    # no partition by name: the plugin chooses from a file; what else sbatch takes is passed on
    site.write("partitions.yaml", PARTITIONS)
    plainly = ("slurm_account=lab", "qos=normal", "constraint=fast")
    site.finish(site.start("--slurm-partition-config", "partitions.yaml", "--default-resources", *plainly))
    deep, other = assert_landed(site.accounting())
    trainings = {f"rule_train_wildcards_small_mlp_0_{repeat}" for repeat in range(3)}
    assert {row["Comment"] for row in deep} == trainings
    assert {(row["ReqMem"], row["Timelimit"]) for row in deep} == {("1100M", "00:09:00")}
    assert {(row["Account"], row["QOS"], row["Constraints"]) for row in site.accounting()} == {
        ("lab", "normal", "fast")
    }
    assert at_once(deep) == 2
    assert len(other) == 1, "three baselines share a job"
    local = Project(site.folder.parent / "local")
    local.folder.mkdir()
    for name in ("table.csv", "mine.yaml"):
        local.write(name, (site.folder / name).read_text())
    local.run()
    assert site.results() == Site(local.folder).results()
    assert site.jobs("PENDING", "RUNNING") == []


def test_a_table_in_sixteen_shards(site):
    """Each is a job of its own on a node for CPUs; together they make what one job on a workstation makes."""
    write_table(site.folder / "table.csv", 200_000)
    site.write("mine.yaml", SHARDS)
    site.finish(site.start("--", "results/small/data/clean.parquet"))
    washings = [row for row in site.accounting() if "rule_wash" in row["Comment"]]
    assert len(washings) == 16
    assert {(row["State"], row["Partition"]) for row in washings} == {("COMPLETED", "cpu")}
    local = Project(site.folder.parent / "local")
    local.folder.mkdir()
    local.write("table.csv", (site.folder / "table.csv").read_text())
    local.write("mine.yaml", SHARDS.replace(", shards: 16", ""))
    local.run("results/small/data/clean.parquet")
    for name in ("clean.parquet", "cleaning.json", "digest.json"):
        cleaned = Path("results/small/data") / name
        assert (site.folder / cleaned).read_bytes() == (local.folder / cleaned).read_bytes(), name


def test_one_model_on_two_nodes(site):
    """A process on each, which find each other by the job's own step; the result is one process's, but for rounding."""
    site.write("table.csv", (ROOT / "resources/breast_cancer.csv").read_text())
    several = STUDY.replace("repeats: 3", "repeats: 1").replace("runtime: 9", "runtime: 9, gpu: 2, nodes: 2")
    site.write("mine.yaml", several)
    partitions = ("slurm_account=lab", "slurm_partition=cpu", "gpu_partition=gpus")
    site.finish(site.start("--default-resources", *partitions))
    (job,) = (row for row in site.accounting() if "gres/gpu=2" in row["AllocTRES"])
    assert "node=2" in job["AllocTRES"]
    record = site.folder / "results/small/records/train/mlp/split-0-repeat-0.json"
    told = json.loads(record.read_text())
    assert (told["processes"], told["nodes"]) == (2, 2)
    alone = Project(site.folder.parent / "alone")
    alone.folder.mkdir()
    alone.write("table.csv", (site.folder / "table.csv").read_text())
    alone.write("mine.yaml", STUDY.replace("repeats: 3", "repeats: 1"))
    alone.run("results/small/models/mlp/split-0-repeat-0/history.parquet")
    two, one = (
        pq.read_table(folder / "results/small/models/mlp/split-0-repeat-0/history.parquet")["train_loss"].to_numpy()
        for folder in (site.folder, alone.folder)
    )
    np.testing.assert_allclose(two[:5], one[:5], rtol=1e-4)


@pytest.mark.slow
def test_the_default_studies(site):
    """The studies of config.yaml end to end; benchmarks/cluster.py tells how long they take beside a workstation."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for study in config["studies"].values():
        if "file" in study["data"]:
            study["data"]["file"] = str(ROOT / study["data"]["file"])
    site.write("mine.yaml", yaml.safe_dump(config, sort_keys=False))
    process = site.start()
    assert process.wait(1800) == 0, site.said
    deep, other = assert_landed(site.accounting())
    assert len(deep) == 36
    assert (site.folder / "results/index.html").exists()
    assert other
