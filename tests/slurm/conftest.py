"""A real SLURM, if one answers, and folders in which a study is sent to it."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.workflow.conftest import ROOT, Project, content

CLUSTER = ROOT / "tests/slurm/cluster.sh"
PROFILE = ROOT / "profiles/slurm"
DRIVER = ROOT / "tests/slurm/driver.py"
# The plugin lies apart from what all other tests run with.
PLUGIN = ROOT / ".venv/plugin"
# Seconds that anything may take; a run that hangs is one that failed.
PATIENCE = 300.0
ACCOUNTED = (
    "JobIDRaw",
    "Partition",
    "State",
    "AllocTRES",
    "ReqMem",
    "Timelimit",
    "Start",
    "End",
    "Comment",
    "Account",
    "QOS",
    "Constraints",
)


def answers() -> bool:
    """Return whether a cluster of ours can be reached; without its configuration SLURM's commands wait long."""
    if not Path("/etc/slurm/slurm.conf").exists() or not shutil.which("scontrol"):
        return False
    said = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False).stdout
    return "ClusterName             = lab" in said


@pytest.fixture(scope="session", autouse=True)
def cluster():
    if not answers():
        pytest.skip("no SLURM for tests answers; as root on Debian, tests/slurm/cluster.sh up starts one")
    if not PLUGIN.is_dir():
        pytest.skip("Snakemake's plugin for SLURM is not there; make .venv/plugin installs it")


@pytest.fixture(autouse=True)
def alone(cluster, tmp_path_factory):
    """Let no two tests use the cluster at once: they count GPUs and stop daemons."""
    with (tmp_path_factory.getbasetemp().parent / "slurm.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        subprocess.run(["scancel", "--user", "root"], check=False)


def control(*words: str) -> None:
    """Do something to the cluster."""
    subprocess.run([str(CLUSTER), *words], check=True)


def slurm(*command: str) -> str:
    """Return what a command of SLURM prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Site(Project):
    """A folder whose study is sent to SLURM."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.started: list[subprocess.Popen] = []

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": str(PLUGIN)}

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start Snakemake as the head of a process group of its own."""
        command = [sys.executable, str(DRIVER), "-s", str(ROOT / "Snakefile"), "--configfile", "mine.yaml"]
        with (self.folder / "said").open("ab") as said:
            process = subprocess.Popen(
                [*command, "--workflow-profile", str(PROFILE), *arguments],
                cwd=self.folder,
                env=self.environment(),
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def finish(self, process: subprocess.Popen | None = None) -> None:
        """Run to the end, or wait for a run to end well."""
        process = process or self.start()
        assert process.wait(PATIENCE) == 0, self.said

    @property
    def said(self) -> str:
        logs = [path.read_text() for path in sorted(self.folder.rglob("logs/train/**/*.log"))]
        return "\n".join([(self.folder / "said").read_text()[-8000:], *logs])

    def jobs(self, *states: str) -> list[str]:
        """Return the numbers of this folder's jobs that are in one of the states."""
        shown = slurm("squeue", "--noheader", "--states=all", "--format", "%i|%T|%Z").splitlines()
        found = [line.split("|") for line in shown]
        return [job for job, state, folder in found if Path(folder) == self.folder and state in states]

    def accounting(self) -> list[dict[str, str]]:
        """Return what SLURM's accounting says of this folder's jobs, in order."""
        names = (*ACCOUNTED, "WorkDir")
        shown = slurm("sacct", "-X", "-n", "-P", "--duplicates", "-S", "now-1hour", "-o", ",".join(names))
        rows = [dict(zip(names, line.split("|"), strict=True)) for line in shown.splitlines()]
        return [row for row in rows if Path(row["WorkDir"]) == self.folder]

    def wait_until(self, what, process: subprocess.Popen | None = None):
        """Wait until something is true, and return it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if found := what():
                return found
            assert process is None or process.poll() is None, self.said
            time.sleep(0.2)
        raise TimeoutError(self.said)

    def has_saved(self) -> bool:
        """Return whether a training has saved its state."""
        return any(self.folder.rglob("checkpoint-*"))

    def results(self) -> dict[str, str]:
        """Return the digests of what must be the same bytes, without the data, which were there before."""
        return {name: digest for name, digest in content(self.folder / "results").items() if "data/" not in name}

    def end(self) -> None:
        """Kill whatever still runs."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
