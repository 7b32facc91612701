"""``make plan``: what each job would ask for, and why."""

import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from serpens import durations
from serpens.errors import SerpensError
from serpens.jobs import Job
from serpens.plan import Plan, in_order
from serpens.sizing import BY_STUDY, Ask, Sizes, kind_of
from serpens.why import parser, plan_of

WIDTH, NAME_WIDTH = 100, 34
HEAD = f"{'jobs':>5}  {'':{NAME_WIDTH}}{'GPUs':>10}{'cores':>7}{'memory':>11}{'disk':>11}{'time':>11}"
FIGURES = {"disk_mb": "disk", "mem_mb": "memory", "runtime": "time", "threads": "cores", "gpu": "GPUs"}
"""What is told of an ask, by the name of its resource."""
PLAIN = ({"disk_mb", "mem_mb", "runtime"}, {"disk_mb"}, {"mem_mb", "runtime"})
"""What the size of the job and its last run are reasons of, without saying so."""


def lines(plan: Plan, sizes: Sizes, *, every: bool) -> Iterator[str]:
    """Yield what a person reads: two lines or more for jobs that ask for the same, and the sum.

    Parameters
    ----------
    every
        Whether jobs that are up to date are shown too.
    """
    jobs = [job for job in in_order(plan.jobs) if every or job in plan.stale]
    if not jobs:
        yield "Nothing would run: every job is up to date. ARGS=--all shows what they would ask for."
        return
    yield HEAD
    for kind, n in Counter(map(kind_of, jobs)).items():
        yield from _told(kind, n, sizes.ask(kind))
    yield from textwrap.wrap(_sum(plan, sizes, jobs, every=every), WIDTH)


def _told(kind: Job, n: int, ask: Ask) -> Iterator[str]:
    gpus = f"{ask.gpu} {ask.gpu_model or ''}".strip() if ask.gpu else "-"
    name = f"{kind} on {ask.nodes} nodes" if ask.nodes else str(kind)
    memory, disk, time = _mb(ask.mem_mb), _mb(ask.disk_mb), _minutes(ask.runtime)
    figures = f"{gpus:>10}{ask.threads:>7}{memory:>11}{disk:>11}{time:>11}"
    if len(name) > NAME_WIDTH:
        yield f"{n:>5}  {name}"
        yield f"{'':{7 + NAME_WIDTH}}{figures}"
    else:
        yield f"{n:>5}  {name:<{NAME_WIDTH}}{figures}"
    yield from textwrap.wrap(_why(ask), WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)


def _why(ask: Ask) -> str:
    """Return the reasons, each once, with the figures that it is the reason of; one core needs none."""
    figures: dict[str, list[str]] = {}
    for name in FIGURES:
        if name in ask.why and not (name == "threads" and ask.threads == 1):
            figures.setdefault(ask.why[name], []).append(name)
    return "; ".join(
        why if set(names) in PLAIN and why != BY_STUDY else f"{', '.join(FIGURES[name] for name in names)}: {why}"
        for why, names in figures.items()
    )


def _sum(plan: Plan, sizes: Sizes, jobs: Sequence[Job], *, every: bool) -> str:
    asks = [sizes.ask(job) for job in jobs]
    on_gpus = sum(ask.gpu > 0 for ask in asks)
    new = sum(job not in plan.last for job in jobs)
    most = "At most " if plan.waiting and not every else ""
    return (
        f"{most}{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}, {on_gpus or 'none'} of them on GPUs, expected to "
        f"take {durations.in_words(sum(ask.seconds for ask in asks))} one after another"
        f"{f', {new} of them by their size alone' if new else ''}. A further attempt asks for as much memory, disk "
        "and time again."
    )


def _mb(value: int) -> str:
    return f"{value} MB" if value < 1000 else f"{value / 1000:,.1f} GB"


def _minutes(value: int) -> str:
    return f"{value} min" if value < 120 else f"{value / 60:,.1f} h"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what jobs would ask for."""
    options = parser("asks", "what each job would ask for, and why")
    options.add_argument("--all", action="store_true", help="jobs that are up to date too")
    options.add_argument("--gpus", type=int, help="the most GPUs that a job can get; 0 trains on the CPU")
    given = options.parse_args(arguments)
    try:
        plan = plan_of(given)
        told = list(lines(plan, Sizes(plan.jobs, plan, gpus=given.gpus), every=given.all))
    except SerpensError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    plan.save()
    sys.stdout.writelines(f"{line}\n" for line in told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
