"""The frame around every script of the workflow: its settings, its log, its errors and its record."""

import json
import logging
import math
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from serpens import codedigest, io, provenance, slurm, threads
from serpens.errors import ConfigurationError, DataError, LockLostError, SerpensError
from serpens.layout import CODE_CACHE, refusal
from serpens.usage import Amounts, together

if TYPE_CHECKING:
    from snakemake.script import Snakemake

logger = logging.getLogger("serpens")

Held = TypeVar("Held")


@dataclass(frozen=True)
class Job:
    """What a script gets from the workflow, and what it tells the record.

    Attributes
    ----------
    settings
        The part of the study that the rule depends on.
    inputs
        sha256 of each file that the job reads, by path.
    key
        sha256 of what the job is made from: data, code, settings and libraries.
    deadline
        When the job's time ends, by ``time.monotonic``; infinite without a limit.
    held
        What is given back after the record is written, or at failure.
    cpu_before
        Processor time that the process had taken when the job began.
    facts
        Entries that the script adds to its own record, such as the device it used; what stands under ``earlier`` is
        added to what this attempt took.
    """

    settings: dict[str, Any]
    inputs: Mapping[str, str]
    key: str
    deadline: float
    held: ExitStack
    cpu_before: float
    facts: dict[str, Any] = field(default_factory=dict)

    def hold(self, context: AbstractContextManager[Held]) -> Held:
        """Enter a context until the job is recorded, so that a kill before that finds it as it was."""
        return self.held.enter_context(context)

    def spent(self) -> Amounts:
        """Return what this attempt took so far, beside its time."""
        return {"cpu_seconds": provenance.cpu_seconds() - self.cpu_before}


@contextmanager
def script_run(snakemake: "Snakemake") -> Iterator[Job]:
    """Run a script's body: log to the rule's log file, report errors there, write the record at the end.

    A :class:`SerpensError` is the user's to mend: its text is the last line of the log and of the terminal, and
    nobody needs our stack. Any other error is ours: the log gets the stack as well.
    """
    handler = logging.FileHandler(snakemake.log[0], mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    loggers = logger, logging.getLogger("py.warnings")
    logger.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    for each in loggers:
        each.addHandler(handler)
    threads.limit(snakemake.threads)
    start, clock, cpu = provenance.now(), time.perf_counter(), provenance.cpu_seconds()
    try:
        origin = _origin(snakemake)
        with ExitStack() as held:
            job = Job(
                settings=dict(origin.settings),
                inputs=origin.inputs,
                key=origin.key,
                deadline=time.monotonic() + _seconds_left(snakemake),
                held=held,
                cpu_before=cpu,
            )
            yield job
            now = {"seconds": time.perf_counter() - clock, **job.spent()}
            spent = together(job.facts.pop("earlier", {}), now)
            _write_record(snakemake, job, origin, start=start, spent=spent)
        logger.info("done in %.1f s", spent["seconds"])
    except Exception as err:  # reported, and the job fails: nothing goes on
        if not isinstance(err, SerpensError):
            logger.info("%s", "".join(traceback.format_exception(err)).rstrip())
        handler.setFormatter(logging.Formatter("%(message)s"))
        if isinstance(err, ConfigurationError | DataError):  # a second attempt would end the same
            with suppress(OSError):  # on a full disk it is tried again, to no avail
                io.write_text(refusal(snakemake.output.record), str(err))
        # who lost its lock may not touch what is another's now
        _fail(snakemake, f"{type(err).__name__}: {err}", outputs=not isinstance(err, LockLostError))
    finally:
        for each in loggers:
            each.removeHandler(handler)
        handler.close()


def _seconds_left(snakemake: "Snakemake") -> float:
    """Return how long the job may still run: by its scheduler, or else by what it asked for."""
    left = slurm.seconds_left()
    return 60 * snakemake.resources.get("runtime", math.inf) if left is None else left


def _origin(snakemake: "Snakemake") -> provenance.Origin:
    settings = json.loads(snakemake.params.settings)
    rule = _rule_of(snakemake.output.record)
    code = codedigest.Reader(CODE_CACHE).code(rule, settings)
    # what Snakemake brought for this job goes with it; which object it is, a note says that is an input too
    brought = set(map(str, getattr(snakemake.input, "retrieved", ())))
    inputs = [path for path in map(str, snakemake.input) if path not in brought]
    return provenance.origin(rule, code, settings, inputs)


def _rule_of(record: str) -> str:
    """Return the rule that a record belongs to; in a workflow that has Serpens as a module it has another name."""
    parts = Path(record).parts
    return Path(parts[len(parts) - parts[::-1].index("records")]).stem


def _write_record(snakemake: "Snakemake", job: Job, origin: provenance.Origin, *, start: str, spent: Amounts) -> None:
    written = provenance.record(
        rule=origin.rule,
        wildcards=dict(snakemake.wildcards.items()),
        origin=origin,
        outputs=map(str, snakemake.output),
        threads=snakemake.threads,
        start=start,
        spent=spent,
    )
    for path in snakemake.output:
        io.sweep(path)
    io.write_json(snakemake.output.record, written | job.facts)


def _fail(snakemake: "Snakemake", message: str, *, outputs: bool) -> None:
    """Remove the job's outputs, say why as the last line of the log and on the terminal, and exit."""
    for path in map(Path, snakemake.output if outputs else ()):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    logger.error("%s", message)
    sys.stderr.write(f"{snakemake.rule} {' '.join(snakemake.wildcards)}: {message}\n")
    sys.exit(1)
