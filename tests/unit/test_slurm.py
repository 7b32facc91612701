"""What Serpens asks of SLURM, and how it understands the answers; a real one is asked in tests/slurm."""

import asyncio
import os

import pytest

from serpens import slurm


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Return a function that says what squeue is to print."""

    def answer(text, status=0):
        (tmp_path / "squeue").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        (tmp_path / "squeue").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return answer


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:59", 59),
        ("12:00", 720),
        ("1:00:01", 3601),
        ("2-03:00:00", 2 * 86400 + 3 * 3600),
        ("UNLIMITED", None),
        ("NOT_SET", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_times_as_slurm_writes_them(text, seconds):
    assert slurm.parsed_time(text) == seconds


def test_the_scheduler_says_how_long_a_job_may_still_run(squeue):
    squeue("1:30")
    assert slurm.seconds_left({slurm.JOB: "7"}) == 90
    assert slurm.seconds_left({}) is None
    squeue("", status=1)
    assert slurm.seconds_left({slurm.JOB: "7"}) is None


def test_the_jobs_of_a_run(squeue):
    squeue("7 RUNNING\n8 PENDING\n9 COMPLETED\n10 PREEMPTED")
    assert slurm.living(slurm.states("name")) == ["7", "8"]
    squeue("", status=1)
    assert slurm.states("name") is None


def test_orphans_are_waited_for(monkeypatch):
    """Until all have ended; no answer is no news."""
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.0)
    answers = iter([{"7": "RUNNING", "8": "PENDING"}, None, {"7": "COMPLETED", "8": "RUNNING"}, {}])
    said = []
    assert slurm.await_orphans("run", said.append, lambda _: next(answers)) == ["7", "8"]
    assert said == [
        "The last run was killed, and its jobs in SLURM live on: 7 8. Serpens waits for them and takes up what they "
        "finish; to begin without them: scancel 7 8"
    ]
    assert next(answers, "all asked") == "all asked"


@pytest.mark.parametrize("found", [None, {}, {"7": "FAILED"}])
def test_where_no_orphan_lives_nobody_waits(found):
    assert slurm.await_orphans("run", pytest.fail, lambda _: found) == []


class Plugin:
    """As much of Snakemake's plugin as is mended."""

    def __init__(self, *answers):
        self.answers = iter(answers)
        self.Executor = type("Executor", (), {"__post_init__": lambda self: None, "run_uuid": "a-name"})

    async def query_job_status(self, command, logger):
        return next(self.answers)

    def validate_account(self, account, logger):
        raise AssertionError("slurmdbd is away")


def told(tmp_path, *answers):
    """Return what the mended plugin is told at each question."""
    plugin = Plugin(*answers)
    slurm.mend(plugin, tmp_path / "name")
    return [asyncio.run(plugin.query_job_status("squeue", None))[0] for _ in answers]


def test_no_answer_is_no_news(tmp_path):
    assert told(tmp_path, (None, None)) == [{}]


def test_a_cancelled_job_is_cancelled_whoever_did_it(tmp_path):
    assert told(tmp_path, ({"1": "CANCELLED by 0"}, 0.1)) == [{"1": "CANCELLED"}]


def test_a_job_that_stays_preempted_was_cancelled_and_one_that_is_requeued_lives(tmp_path):
    preempted = ({"1": "PREEMPTED", "2": "PREEMPTED"}, 0.1)
    requeued = ({"1": "PREEMPTED", "2": "PENDING"}, 0.1)
    assert told(tmp_path, preempted, requeued) == [
        {"1": "COMPLETING", "2": "COMPLETING"},
        {"1": "CANCELLED", "2": "PENDING"},
    ]


def test_a_job_that_slurm_forgot_has_ended(tmp_path):
    """What it left tells whether well: of a job of unknown state Snakemake looks for the outputs."""
    assert told(tmp_path, ({"1": "RUNNING", "2": "RUNNING"}, 0.1), ({"2": "RUNNING"}, 0.1))[1] == {
        "1": "UNKNOWN",
        "2": "RUNNING",
    }


def test_the_account_is_for_sbatch_to_judge_and_the_run_has_its_name_written_down(tmp_path):
    plugin = Plugin()
    slurm.mend(plugin, tmp_path / "name")
    assert plugin.validate_account("lab", None) == "lab"
    plugin.Executor().__post_init__()
    assert (tmp_path / "name").read_text() == "a-name"
