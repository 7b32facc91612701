"""The frame of a job: its log, its record, and its end when something is wrong."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from serpens import slurm
from serpens.errors import ConfigurationError, DataError, EnvironmentFaultError, LockLostError
from serpens.layout import refusal
from serpens.run import logger, script_run


class Named(list):
    """As Snakemake passes files: a list whose entries may have names."""

    def __init__(self, **names):
        super().__init__(names.values())
        self.__dict__.update(names)

    def items(self):
        return self.__dict__.items()


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("abc")
    return SimpleNamespace(
        rule="clean",
        wildcards=Named(study="s"),
        input=Named(raw=str(tmp_path / "in.txt")),
        output=Named(table=str(tmp_path / "out.txt"), record=str(tmp_path / "records/clean.json")),
        params=Named(settings=json.dumps({"target": "y"})),
        log=Named(log=str(tmp_path / "job.log")),
        threads=1,
        resources={},
    )


def test_a_job_is_recorded(job):
    with script_run(job) as run:
        assert run.settings == {"target": "y"}
        logger.info("working")
        run.facts["device"] = "cpu"
    record = json.loads(Path(job.output.record).read_text())
    # the published sha256 of "abc"
    assert list(record["inputs"].values()) == ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
    assert record["settings"] == {"target": "y"}
    assert record["device"] == "cpu"
    assert record["seconds"] >= 0
    assert "working" in Path(job.log[0]).read_text()


def test_what_is_held_is_given_back_after_the_record(job):
    seen = []
    held = ExitStack()
    held.callback(lambda: seen.append(json.loads(Path(job.output.record).read_text())))
    with script_run(job) as run:
        assert run.hold(held) is held
        run.facts["earlier"] = {"seconds": 100.0, "cpu_seconds": 50.0}
        assert not seen
    # what an interrupted attempt took is counted
    assert 100 <= seen[0]["seconds"] < 110
    assert 50 <= seen[0]["cpu_seconds"] < 60
    assert "earlier" not in seen[0]


def test_processor_time_is_that_of_the_job_and_of_its_children(job):
    def work(seconds):
        """Take processor time, however busy the machine is."""
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    work(1.0)  # before the job, which must not count; reading the code counts, and takes some tenths
    with script_run(job) as run:
        assert run.spent()["cpu_seconds"] < 0.8
        work(0.1)
        child = "import time\nwhile time.process_time() < 0.3: pass"
        subprocess.run([sys.executable, "-c", child], check=True)
    record = json.loads(Path(job.output.record).read_text())
    assert 0.4 <= record["cpu_seconds"] < 2


def test_the_key_tells_inputs_and_settings(job, tmp_path):
    keys = set()
    for settings, content in (("{}", "abc"), ('{"a": 1}', "abc"), ("{}", "abd"), ("{}", "abc")):
        job.params.settings = settings
        (tmp_path / "in.txt").write_text(content)
        with script_run(job) as run:
            keys.add(run.key)
    assert len(keys) == 3


def test_the_time_limit_is_known(job):
    with script_run(job) as run:
        assert run.deadline == float("inf")
    job.resources = {"runtime": 5}
    before = time.monotonic()
    with script_run(job) as run:
        assert before + 300 <= run.deadline <= time.monotonic() + 300


def test_the_scheduler_knows_the_time_limit_better(job, monkeypatch):
    monkeypatch.setattr(slurm, "seconds_left", lambda: 40.0)
    job.resources = {"runtime": 5}
    before = time.monotonic()
    with script_run(job) as run:
        assert before + 40 <= run.deadline <= time.monotonic() + 40


def test_what_a_killed_attempt_left_half_written_is_removed(job, tmp_path):
    for name in (".out.txt.7.part", ".another.txt.7.part"):
        (tmp_path / name).write_text("half")
    with script_run(job):
        pass
    assert [path.name for path in tmp_path.glob(".*.part")] == [".another.txt.7.part"]


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (DataError("row 3"), True),
        (ConfigurationError("key 3"), True),
        # another node, or another attempt, may have what this one lacks
        (EnvironmentFaultError("no GPU"), False),
        (MemoryError(), False),
    ],
)
def test_only_what_a_person_must_mend_is_noted_as_such(job, error, refused):
    with pytest.raises(SystemExit), script_run(job):
        raise error
    assert refusal(job.output.record).exists() is refused


def test_who_lost_its_lock_leaves_the_outputs_to_the_other(job, tmp_path):
    with pytest.raises(SystemExit), script_run(job):
        (tmp_path / "out.txt").write_text("the other's")
        raise LockLostError("process 7 took it")
    assert (tmp_path / "out.txt").read_text() == "the other's"


@pytest.mark.parametrize(("error", "stack"), [(DataError("row 3 must be a number"), False), (KeyError("x"), True)])
def test_a_failed_job_says_why_last_and_leaves_nothing(job, capsys, tmp_path, error, stack):
    with pytest.raises(SystemExit) as caught, script_run(job):
        (tmp_path / "out.txt").write_text("half")
        raise error
    assert caught.value.code == 1
    log = Path(job.log[0]).read_text().splitlines()
    assert log[-1] == f"{type(error).__name__}: {error}"
    assert any("Traceback" in line for line in log) is stack
    assert log[-1] in capsys.readouterr().err
    assert not (tmp_path / "out.txt").exists()
    assert not (tmp_path / "records/clean.json").exists()
