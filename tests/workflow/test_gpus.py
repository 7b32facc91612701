"""Trainings on a workstation with GPUs, of stand-in drivers."""

import json
import os
import re
import runpy
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import Namedlist
from tests.unit.nvml import Gpu, library
from tests.unit.test_devices import DRIVER
from tests.workflow.conftest import ROOT
from tests.workflow.test_runs import STUDY, table

from serpens import training
from serpens.trainingstate import TrainingState

RUN = "mlp/split-0-repeat-0"

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


def train(said, **resources):
    """Train again what a record is of, in this process."""
    files = {Path(path).stem: path for path in said["inputs"]}
    made = {Path(path).stem: path for path in said["outputs"]}
    given = {
        "wildcards": said["wildcards"],
        "input": {name: files[name] for name in ("train", "validation", "schema")},
        "output": {
            "weights": made["weights"],
            "description": made["model"],
            "history": made["history"],
            "record": f"results/small/records/train/{RUN}.json",
        },
        "params": {
            "settings": json.dumps(said["settings"]),
            "checkpoints": f"results/small/checkpoints/{RUN}",
            "checkpoint_seconds": 60,
            "processes": 1,
            "nodes": 1,
        },
        "log": {"log": f"results/small/logs/train/{RUN}.log"},
        "resources": resources,
    }
    job = SimpleNamespace(
        rule="train", threads=1, **{name: Namedlist(fromdict=entries) for name, entries in given.items()}
    )
    runpy.run_path(str(ROOT / "workflow/scripts/train.py"), init_globals={"snakemake": job})


def test_what_a_training_took_of_its_gpu_is_recorded_over_its_attempts_and_shown(small, with_gpus, monkeypatch):
    small.run("--resources", "gpu=0")
    page, path = (small.folder / f"results/small/{name}" for name in ("report.html", f"records/train/{RUN}.json"))
    assert "GPU" not in page.read_text()
    before = json.loads(path.read_text())

    gpu = Gpu("Stand-in 1")
    monkeypatch.setitem(sys.modules, "pynvml", library(GPU_a=gpu))
    monkeypatch.setattr(training, "choose_device", lambda gpus: "cpu")
    monkeypatch.chdir(small.folder)
    shuffle = TrainingState.shuffle

    def shuffled(state, n):
        gpu.energy += 3_600_000  # an epoch takes 1 Wh
        if state.epoch == stop_in:
            signal.raise_signal(signal.SIGTERM)
        return shuffle(state, n)

    monkeypatch.setattr(TrainingState, "shuffle", shuffled)
    stop_in = 3
    with pytest.raises(SystemExit):
        train(before, gpu=1)
    stop_in = 0
    train(before, gpu=1)
    after = json.loads(path.read_text())
    assert after["outputs"] == before["outputs"]
    assert after["gpus"] == ["GPU-a"]
    assert after["gpu_usage"] == {
        "devices": ["Stand-in 1"],
        "peak_memory_mb": 2000.0,
        "utilisation": 0.5,
        # five epochs, the third one of which was taken up in its middle
        "energy_wh": 6.0,
        "how": "energy by the driver's counter",
    }

    small.run("--resources", "gpu=0")
    shown = page.read_text()
    # one of the four trainings was on a GPU
    assert "Their GPUs used 6.00 Wh (energy by the driver&#39;s counter)" in shown
    assert re.search(r"2000 MB</td>.*50 %</td>.*6\.00 Wh</td>", shown)
