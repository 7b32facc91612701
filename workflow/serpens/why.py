"""``make why``: which jobs would run, why, and what they took last."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from serpens import configfile, durations
from serpens.codedigest import Reader
from serpens.contents import remembered
from serpens.errors import DataError, SerpensError, listed
from serpens.jobs import Job, Jobs
from serpens.layout import CODE_CACHE
from serpens.plan import Plan, Reason, in_order
from serpens.sources.registry import TABLES

if TYPE_CHECKING:
    import pyarrow as pa

# Files up to this size are read to tell what is different in them, in bytes.
COMPARED = 50_000_000
WORDS = {
    "never made": "never made: ",
    "forced": "",
    "setting": "setting changed: ",
    "code": "code changed: ",
    "library": "library changed: ",
    "output": "output ",
    "data": "data changed: ",
    "follows": "follows ",
}
SHOWN = 5
"""Reasons of one kind that are told of one job; of more the number."""


def lines(plan: Plan) -> Iterator[str]:
    """Yield what a person reads: a line a job, with every reason, and the sum."""
    stale = [job for job in in_order(plan.jobs) if job in plan.stale]
    if not stale:
        yield "Nothing would run: every job is up to date."
        return
    width = max(len(str(job)) for job in stale)
    open_ended = False
    for job in stale:
        if job.study in plan.waiting and job.rule == "split" and not job.split:
            yield f"    What follows runs only if the cleaned rows of {job.study} are others than before:"
            open_ended = True
        first, *more = _told(plan, job)
        yield f"{job!s:{width}}  {_took(plan, job):>8}  {first}"
        yield from (f"{'':{width}}  {'':8}  {line}" for line in more)
    known = [plan.last[job].seconds for job in stale if job in plan.last]
    total = (
        f"last time they took {durations.in_words(sum(known))} one after another" if known else "none has run before"
    )
    unknown = f", {len(stale) - len(known)} of them never ran" if known and len(known) < len(stale) else ""
    yield f"{'At most ' if open_ended else ''}{len(stale)} {'job' if len(stale) == 1 else 'jobs'}; {total}{unknown}."


def _took(plan: Plan, job: Job) -> str:
    return durations.in_words(plan.last[job].seconds) if job in plan.last else "new"


def _told(plan: Plan, job: Job) -> list[str]:
    by_kind: dict[str, list[Reason]] = {}
    for reason in plan.stale[job]:
        by_kind.setdefault(reason.kind, []).append(reason)
    told = []
    for kind, reasons in by_kind.items():
        for reason in reasons[:SHOWN]:
            told.append(f"{WORDS[kind]}{reason.what}{_change(plan, job, reason)}")
        if len(reasons) > SHOWN:
            told.append(f"and {len(reasons) - SHOWN} more of this kind")
    return told


def _change(plan: Plan, job: Job, reason: Reason) -> str:
    alone = plan.jobs.project.studies[job.study].data.file == (reason.what,) if job.rule == "collect" else False
    if reason.kind == "data" and alone and reason.change != "missing":
        before = Path(plan.jobs.project.results, job.study, "data/raw.parquet")
        return f": {rows_changed(before, reason.what)}"
    if reason.kind == "code" and reason.change == "changed":
        return ""
    return f": {reason.change}" if reason.change else ""


def rows_changed(before: Path, file: str) -> str:
    """Return which rows and columns of a table differ from those that were collected, as far as it is cheap to tell."""
    from serpens.formats import registry

    size = Path(file).stat().st_size
    if not file.endswith(TABLES) or size > COMPARED or not before.is_file():
        return "its bytes differ"
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        stream = registry.open_table(file, {})
        now = pa.Table.from_batches(stream.batches(), stream.schema)
    except DataError as error:
        return str(error)
    return differences(pq.read_table(before), now)


def differences(before: "pa.Table", now: "pa.Table") -> str:
    """Return in words how two tables differ, whatever the order of their rows."""
    names = [name for name in now.column_names if name in before.column_names]
    old, new = ({name: table[name].to_pylist() for name in names} for table in (before, now))
    told = []
    for label, ours, theirs in (("new", now, before), ("gone", before, now)):
        if columns := [name for name in ours.column_names if name not in theirs.column_names]:
            told.append(f"columns {label}: {listed(columns, SHOWN)}")
    differ = [name for name in names if Counter(map(repr, old[name])) != Counter(map(repr, new[name]))]
    rows = [Counter(zip(*(map(repr, columns[name]) for name in names), strict=True)) for columns in (old, new)]
    added, removed = (rows[1] - rows[0]).total(), (rows[0] - rows[1]).total()
    if added or removed:
        told.append(f"rows: {added} new, {removed} gone")
    if differ and added == removed:
        told.append(f"columns that differ: {listed(differ, SHOWN)}")
    return "; ".join(told) or "the same rows in another order or writing"


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return what reads the command line of those who look at a plan."""
    made = argparse.ArgumentParser(prog=f"python -m serpens.{name}", description=description)
    made.add_argument("--configfile", type=Path, action="append", default=[], help="in place of config.yaml")
    made.add_argument("--run", nargs="*", help="the studies that are looked at, in place of the configuration's")
    return made


def plan_of(given: argparse.Namespace) -> Plan:
    """Return the plan that the command line asks for.

    Raises
    ------
    SerpensError
        If the configuration is wrong.
    """
    project = configfile.load(given.configfile, {"run": given.run} if given.run else {})
    plan = Plan(Jobs(project), Reader(CODE_CACHE), remembered())
    plan.save()
    return plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Print why jobs would run."""
    given = parser("why", "which jobs would run, and why").parse_args(arguments)
    try:
        plan = plan_of(given)
    except SerpensError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{line}\n" for line in lines(plan))
    return 0


if __name__ == "__main__":
    sys.exit(main())
