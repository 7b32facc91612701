"""What Snakemake asks for: the figures of ``make plan``, in a dry run, over each attempt, and in a job on a cluster."""

import json
import re

import pytest
from tests.workflow.conftest import ANNOUNCED
from tests.workflow.test_runs import STUDY, table

DETAIL = re.compile(r"^    (\w+): (.*)$", re.MULTILINE)
FOUR_GPUS = "resources: {gpu: 4, gpu_model: a100, nodes: 2, threads: 8, mem_mb: 5000, runtime: 70}"
PROCESSES = "resources: {processes: 2, nodes: 2, disk_mb: 3000}"
CLUSTER = ("--jobs", "10")
TRAINING = "train:study=small,model=mlp,split=0,repeat=1"


@pytest.fixture
def small(project):
    project.write("mine.yaml", STUDY)
    project.write("table.csv", table())
    return project


def asked(done):
    """Return threads and resources of each job that is announced, by its rule, of trainings by their model."""
    found = {}
    for job in ANNOUNCED.finditer(done.stdout + done.stderr):
        details = dict(DETAIL.findall(job["details"]))
        resources = dict(word.split("=", 1) for word in details["resources"].split(", "))
        model = re.search(r"model=(\w+)", details.get("wildcards", ""))
        found[model[1] if model else job["rule"]] = {"threads": details.get("threads", "1")} | resources
    found.pop("all", None)
    return found


def configure(project, line):
    project.write("mine.yaml", f"{STUDY}    {line}\n")


def dry_run(project, *arguments):
    done = project.run("-n", *arguments)
    return asked(done)


def test_every_rule_asks_for_memory_time_and_disk(small):
    found = dry_run(small)
    assert set(found) == {
        *("collect", "clean", "split", "evaluate", "report", "index"),
        *("mlp", "trivial", "linear", "boosted_trees"),
    }
    for name, resources in found.items():
        assert (resources["runtime"], resources["disk_mb"], resources["threads"]) == ("10", "1000", "1"), name
        assert 600 <= int(resources["mem_mb"]) <= 1300, name
        assert not {"nodes", "tasks", "gpu_model", "cpus_per_task"} & set(resources), name
    assert int(found["mlp"]["mem_mb"]) > int(found["trivial"]["mem_mb"])


def test_the_study_decides_and_the_profile_wins(small):
    configure(small, FOUR_GPUS)
    found = dry_run(small, *CLUSTER, "--set-resources", "train:runtime=90 * attempt", "clean:mem_mb=7777")
    mlp, linear = found["mlp"], found["linear"]
    assert {name: mlp[name] for name in ("gpu", "gpu_model", "nodes", "mem_mb", "runtime", "cpus_per_task")} == {
        "gpu": "4",
        "gpu_model": "a100",
        "nodes": "2",
        "mem_mb": "5000",
        "runtime": "90",
        "cpus_per_task": "4",
    }
    assert (mlp["tasks"], mlp["tasks_per_gpu"], mlp["mpi"]) == ("2", "-1", "srun")
    assert mlp["slurm_extra"] == "--ntasks-per-node=1 --gpus-per-node=2"
    assert (linear["gpu"], linear["mem_mb"], linear["runtime"]) == ("0", "5000", "90")
    assert not {"gpu_model", "nodes"} & set(linear)
    assert found["clean"]["mem_mb"] == "7777"


def test_the_switch_to_the_cpu_leaves_no_model_of_gpu(small):
    configure(small, FOUR_GPUS)
    mlp = dry_run(small, *CLUSTER, "--resources", "gpu=0")["mlp"]
    assert mlp["gpu"] == "0"
    assert "gpu_model" not in mlp
    assert mlp["tasks"] == "2"


def test_processes_on_cpus_are_tasks(small):
    configure(small, PROCESSES)
    mlp = dry_run(small, *CLUSTER)["mlp"]
    assert (mlp["gpu"], mlp["nodes"], mlp["tasks"], mlp["disk_mb"]) == ("0", "2", "2", "3000")


def test_a_training_asks_for_what_it_took(small):
    small.run("--until", "split")
    first = dry_run(small)["linear"]["mem_mb"]
    small.run("--until", "train")
    for record in small.folder.glob("results/small/records/train/linear/*.json"):
        told = json.loads(record.read_text())
        record.write_text(json.dumps(told | {"peak_memory_mb": 2000.0, "seconds": 3000.0}))
    found = dry_run(small, "--forcerun", "train")
    assert (found["linear"]["mem_mb"], found["linear"]["runtime"]) == ("3000", "110")
    assert found["trivial"]["mem_mb"] != "3000"
    assert first != "3000"


def test_a_job_on_a_cluster_is_told_by_its_study_alone(small):
    """There a Snakemake of its own asks again, and neither outputs nor the record are left."""
    configure(small, "resources: {gpu: 1, threads: 2}")
    small.run("--until", "split")
    remote = ("--mode", "remote", "--target-jobs", TRAINING, "--allowed-rules", "train", "--force", "--nolock")
    done = small.run(*remote, "--attempt", "2")
    mlp = asked(done)["mlp"]
    assert (mlp["gpu"], mlp["threads"]) == ("1", "2")
    here = dry_run(small, *CLUSTER)["mlp"]
    assert (here["gpu"], here["threads"]) == ("1", "2")
    assert int(mlp["mem_mb"]) == 2 * int(here["mem_mb"])
    record = json.loads((small.folder / "results/small/records/train/mlp/split-0-repeat-1.json").read_text())
    assert record["threads"] == 2
