"""SLURM: what a job must know of its allocation, jobs that outlive their submitter, and faults of Snakemake's plugin.

Nothing here computes a number. Where there is no SLURM, nothing is asked of it.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from serpens import io

JOB = "SLURM_JOB_ID"
# A job in one of these states, or one that SLURM no longer knows, has ended.
ENDED = frozenset(
    (
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    )
)
# Seconds that a command of SLURM may take, and between two questions whether jobs have ended.
QUERY_SECONDS = 30
POLL_SECONDS = 2.0
SAY_SECONDS = 300.0

States = dict[str, str]


def seconds_left(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return how long the allocation lasts that this process runs in; None where there is none, or no limit.

    The scheduler's word counts, not what was asked for: a limit may have been cut, or extended.
    """
    if JOB not in environment:
        return None
    left = _asked("squeue", "--noheader", "--jobs", environment[JOB], "--format", "%L")
    return None if left is None else parsed_time(left.strip())


def parsed_time(text: str) -> float | None:
    """Return the seconds that ``[days-][hours:]minutes:seconds`` means; None for a word such as UNLIMITED."""
    days, _, clock = text.rpartition("-")
    try:
        parts = [int(part) for part in clock.split(":")]
        total = int(days) * 86400 if days else 0
    except ValueError:
        return None
    for part, unit in zip(reversed(parts), (1, 60, 3600), strict=False):
        total += part * unit
    return float(total)


def states(run: str) -> States | None:
    """Return the state of each job of a run of Snakemake that SLURM knows, by its number; None without an answer.

    Parameters
    ----------
    run
        The name that the plugin gives all jobs of a run.
    """
    shown = _asked("squeue", "--noheader", "--states=all", "--name", run, "--format", "%i %T")
    return None if shown is None else dict(line.split(maxsplit=1) for line in shown.splitlines() if line.strip())


def _asked(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=QUERY_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def await_orphans(run: str, say: Callable[[str], None], known: Callable[[str], States | None] = states) -> list[str]:
    """Wait for jobs that a killed run submitted and that still wait or work; return their numbers.

    What they finish is then there, with its record, as if the run had not been killed: no training is begun a second
    time beside a living one, and no place in the queue is lost.

    Parameters
    ----------
    run
        The name that the plugin gave the jobs of that run.
    say
        Called with what a person should know, at the start and every five minutes.
    known
        Returns the state of each job of a run; None when SLURM does not answer, which is no news.
    """
    orphans = living(known(run))
    waited: set[str] = set()
    said = -SAY_SECONDS
    while orphans:
        waited.update(orphans)
        if time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            numbers = " ".join(orphans)
            say(
                f"The last run was killed, and its jobs in SLURM live on: {numbers}. Serpens waits for them and takes "
                f"up what they finish; to begin without them: scancel {numbers}"
            )
        time.sleep(POLL_SECONDS)
        found = known(run)
        orphans = orphans if found is None else living(found)
    return sorted(waited)


def living(found: States | None) -> list[str]:
    """Return the jobs that have not ended."""
    return [job for job, state in (found or {}).items() if state not in ENDED]


def mend(plugin: Any, name: Path) -> None:
    """Mend what Snakemake's plugin for SLURM (2.8.0) gets wrong, so that no job is lost and no run waits for ever.

    - A question that nobody answers, since a daemon is away, would drop all jobs from its list: it is no news.
    - ``CANCELLED by 0``, as sacct says it, and ``PREEMPTED`` are taken for states of a living job. A job that SLURM
      puts back into the queue is preempted for a moment only; one that stays so was cancelled.
    - A job that squeue has forgotten (MinJobAge after its end, when nobody asked in between) would be waited for.
    - Each submission asks for the account, in vain while slurmdbd is away; sbatch itself refuses a wrong one.
    - Nobody remembers the name of a run that was killed: it is written down.

    Parameters
    ----------
    plugin
        The module ``snakemake_executor_plugin_slurm``.
    name
        File that the name of the run, which all of its jobs have, is written to.
    """
    asked, begin = plugin.query_job_status, plugin.Executor.__post_init__
    seen: set[str] = set()
    preempted: set[str] = set()

    async def query_job_status(command: str, log: Any) -> tuple[States, float]:
        found, seconds = await asked(command, log)
        if found is None:
            return {}, 0.0
        told = {job: state.split()[0] for job, state in found.items() if state}
        shown = {job for job, state in told.items() if state == "PREEMPTED"}
        told |= dict.fromkeys(shown & preempted, "CANCELLED") | dict.fromkeys(shown - preempted, "COMPLETING")
        preempted.clear()
        preempted.update(shown)
        told |= dict.fromkeys(seen - told.keys(), "UNKNOWN")
        seen.update(found)
        return told, seconds

    def begin_named(executor: Any, *given: Any, **named: Any) -> None:
        begin(executor, *given, **named)
        io.write_text(name, executor.run_uuid)

    plugin.query_job_status = query_job_status
    plugin.Executor.__post_init__ = begin_named
    plugin.validate_account = lambda account, log: account
