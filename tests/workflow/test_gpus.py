"""Trainings on a workstation with GPUs, of stand-in drivers."""

import os
import re

import pytest
from tests.unit.test_devices import DRIVER
from tests.workflow.test_runs import STUDY, table

ASKED = re.compile(r"^    wildcards: .*model=(\w+).*\n    resources: .*gpu=(\d+)", re.MULTILINE)


@pytest.fixture
def small(project, monkeypatch):
    project.write("mine.yaml", STUDY)
    project.write("table.csv", table())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return project


@pytest.fixture
def with_gpus(small, monkeypatch):
    (small.folder / "bin").mkdir()
    small.write("bin/nvidia-smi", DRIVER).chmod(0o755)
    monkeypatch.setenv("PATH", f"{small.folder}/bin", prepend=os.pathsep)
    return small


def asked(project, *arguments):
    """Return how many GPUs the trainings of each model ask for."""
    return dict(ASKED.findall(project.run("-n", *arguments).stdout))


def test_networks_ask_for_a_gpu_and_baselines_for_none(with_gpus):
    asked_for = asked(with_gpus)
    assert asked_for.pop("mlp") == "1"
    assert set(asked_for.values()) == {"0"}


def test_resources_gpu_0_is_a_switch_to_the_cpu(with_gpus):
    assert set(asked(with_gpus, "--resources", "gpu=0").values()) == {"0"}


def test_a_machine_without_a_gpu_is_not_asked_for_one(small):
    assert set(asked(small).values()) == {"0"}


def test_a_dry_run_for_a_cluster_shows_what_the_cluster_is_asked_for(small):
    assert asked(small, "--jobs", "10")["mlp"] == "1"


def test_a_gpu_that_torch_cannot_use_stops_the_training_and_not_the_baselines(with_gpus):
    done = with_gpus.snakemake()
    assert done.returncode != 0
    assert "EnvironmentFaultError: the job was given a GPU (Stand-in 1)" in done.stdout + done.stderr
    models = {path.parents[1].name for path in with_gpus.folder.glob("results/*/models/*/*/model.json")}
    assert models
    assert "mlp" not in models
