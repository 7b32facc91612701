"""GPUs of stand-in drivers: which are seen, and that no two jobs ever hold the same one."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from serpens import devices, training
from serpens.errors import EnvironmentFaultError

DRIVER = """#!/bin/sh
echo "GPU-a, Stand-in 1, 1000"
echo "GPU-b, Stand-in 1, 1000"
"""


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A driver that shows two GPUs."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nvidia-smi").write_text(DRIVER)
    (tmp_path / "bin/nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    monkeypatch.delenv(devices.VISIBLE, raising=False)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["GPU-a", "GPU-b"]),
        ("1", ["GPU-b"]),
        ("GPU-a", ["GPU-a"]),
        ("1,0", ["GPU-b", "GPU-a"]),
        ("", []),
        ("7", []),
        ("MIG-x", ["MIG-x"]),
        ("GPU-b,", ["GPU-b"]),
    ],
)
def test_the_driver_and_the_environment_say_which_there_are(visible, seen):
    environment = {} if visible is None else {devices.VISIBLE: visible}
    assert [gpu.uuid for gpu in devices.gpus(environment)] == seen


def test_a_machine_without_a_driver_has_none_and_waits_for_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.gpus({}) == []
    monkeypatch.setenv(devices.VISIBLE, "0")  # of a scheduler whose driver is not ours to ask
    with devices.leased(1, tmp_path / "leases") as held:
        assert held == []
        assert os.environ[devices.VISIBLE] == "0"


@pytest.mark.usefixtures("two_gpus")
def test_a_job_sees_its_own_devices_alone(tmp_path):
    with devices.leased(1, tmp_path / "leases") as first:
        assert os.environ[devices.VISIBLE] == first[0] == "GPU-a"
    with devices.leased(2, tmp_path / "leases") as both:
        assert both == ["GPU-a", "GPU-b"]
    with devices.leased(0, tmp_path / "leases") as none:
        assert none == []
        assert os.environ[devices.VISIBLE] == ""
    assert devices.VISIBLE not in os.environ


@pytest.mark.usefixtures("two_gpus")
def test_jobs_within_one_allocation_of_a_scheduler_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setenv(devices.VISIBLE, "1,0")
    with devices.leased(1, tmp_path / "leases") as first, ExitStack() as second:
        monkeypatch.setenv(devices.VISIBLE, "1,0")  # another job of the same allocation
        assert first == ["GPU-b"]
        assert second.enter_context(devices.leased(1, tmp_path / "leases")) == ["GPU-a"]


@pytest.mark.usefixtures("two_gpus")
def test_more_than_there_are_is_refused(tmp_path):
    message = "this job asks for 3 GPUs and may use 2 here: set resources.gpu to 2 or less"
    with pytest.raises(EnvironmentFaultError, match=message), devices.leased(3, tmp_path / "leases"):
        pass


@pytest.fixture
def mac(monkeypatch):
    """A Mac with a processor of Apple's."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")


@pytest.mark.usefixtures("mac")
def test_a_mac_has_one_gpu_which_one_job_holds(tmp_path):
    assert [gpu.name for gpu in devices.gpus({})] == ["Apple's GPU"]
    with devices.leased(1, tmp_path / "leases") as held:
        assert held == ["apple"]
        with ExitStack() as other:
            assert not devices._lock(tmp_path / "leases/apple", other, wait=False)
    with pytest.raises(EnvironmentFaultError, match="asks for 2 GPUs and may use 1 here"):
        devices.leased(2, tmp_path / "leases").__enter__()


@pytest.mark.usefixtures("mac")
def test_a_mac_trains_on_its_gpu_unless_told_not_to(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert training.choose_device(1) == "mps"
    assert training.choose_device(0) == "cpu"
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(EnvironmentFaultError, match=r"given a GPU \(Apple's GPU\).*--resources gpu=0"):
        training.choose_device(1)


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_this_torch_cannot_use_is_an_error_with_the_cure(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert training.choose_device(0) == "cpu"
    with pytest.raises(EnvironmentFaultError, match=r"given a GPU \(Stand-in 1\).*--resources gpu=0"):
        training.choose_device(1)


# Holds devices for a moment; says when another living process was found on one of them.
JOB = """
import os, random, sys, time
from pathlib import Path
sys.path.insert(0, "workflow")
from serpens.devices import leased
folder, n = Path(sys.argv[1]), int(sys.argv[2])

def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False

with leased(n, folder / "leases") as held:
    for uuid in held:
        (folder / f"{uuid}.{os.getpid()}").touch()
    for _ in range(5):
        for uuid in held:
            for other in folder.glob(f"{uuid}.*"):
                pid = int(other.suffix[1:])
                if pid != os.getpid() and lives(pid):
                    (folder / "doubled").write_text(f"{uuid}: {pid} and {os.getpid()}")
        time.sleep(random.uniform(0, 0.04))
    for uuid in held:
        (folder / f"{uuid}.{os.getpid()}").unlink()
"""


@pytest.mark.usefixtures("two_gpus")
def test_fifty_jobs_that_are_killed_at_random_never_share_a_device_nor_leave_one_leased(tmp_path):
    draw = random.Random(0)
    (tmp_path / "job.py").write_text(JOB)
    jobs = [
        subprocess.Popen([sys.executable, tmp_path / "job.py", tmp_path, str(1 + (number % 5 == 0))])
        for number in range(50)
    ]
    killed = set()
    end = time.monotonic() + 120
    while any(job.poll() is None for job in jobs):
        assert time.monotonic() < end, "a job waits for ever"
        time.sleep(draw.uniform(0, 0.1))
        living = [job for job in jobs if job.poll() is None]
        holding = [job for job in living if list(tmp_path.glob(f"GPU-*.{job.pid}"))]
        # half of the victims hold a device, half wait for one
        for job in draw.sample(holding if draw.random() < 0.5 else living, 1) if holding else []:
            job.send_signal(signal.SIGKILL)
            killed.add(job.pid)
    assert not (tmp_path / "doubled").exists(), (tmp_path / "doubled").read_text()
    assert [job.returncode for job in jobs if job.pid not in killed] == [0] * (50 - len(killed))
    assert len(killed) >= 5
    with devices.leased(2, tmp_path / "leases") as both:
        assert len(both) == 2
