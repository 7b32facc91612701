"""What each job asks for: GPUs, threads, memory, disk and time, each with its reason.

A figure comes from the study's ``resources``; else, for memory and time, from what the same jobs took last; else from
the extent of the data and the size of the model. Whoever asks for too little is killed, and whoever asks for too much
waits: estimates get a margin, a job that has run a smaller one, and each further attempt as much again.

Threads, GPUs and nodes depend on the study and its data alone, never on the machine or on what was recorded: a training
on a CPU may round otherwise with another number of threads, and two machines must agree.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

from serpens import costs, durations, extent, modelsize, planning
from serpens.config import Project, Study
from serpens.costs import Cost
from serpens.extent import Extent
from serpens.jobs import Job, Jobs
from serpens.modelconfig import BoostedTrees, Linear, Trivial
from serpens.plan import in_order
from serpens.settings import models

if TYPE_CHECKING:
    from serpens.plan import Plan

SNAKEMAKE_MB = 350
"""On a cluster a job's memory holds two Snakemakes beside its script, each of 161 MB and more with many jobs."""
MEMORY_MARGIN, TIME_MARGIN = 1.5, 2.0
"""Of an estimate."""
MEMORY_MARGIN_AGAIN, TIME_MARGIN_AGAIN = 1.3, 2.0
"""Of what was recorded."""
START_MINUTES, LEAST_MINUTES, LEAST_DISK_MB = 2, 10, 1000
MB_STEP, MINUTES_STEP = 100, 10
"""Figures are rounded up to whole steps."""

SMALL_MB, SMALL_MINUTES = 2000, 10
"""Up to these a job without a GPU is a guest on the machine that submits."""

CORE_SECONDS = 1800
"""Work for one core above which a training gets a second thread; with 4 times as much 4, with 16 times as much 8. Below
it a study's trainings end sooner side by side, a thread each: threads that share small steps wait for each other. On
two cores that others use too, two threads took 5 times (trees) to 50 times (an MLP of width 64) as long as one."""
STREAM_SECONDS = 10
"""Work for one core above which the cleaning of a table gets a second thread; with twice as much 4."""
MOST_THREADS = 8
"""What a workstation can give one job without stopping the others."""
SHARE = 2e7
"""Operations of a step that are worth a thread; assumed."""
GAIN = 0.7
"""Power of the number of threads or GPUs that the work goes faster by; assumed."""

RESOURCES = ("mem_mb", "disk_mb", "runtime")
"""What every job asks for beside threads."""

BY_STUDY = "set by the study"

CHANGES_SIZE = frozenset({"setting", "data", "follows"})
"""Why a job runs again that may need more or less than last time."""


class Ask(NamedTuple):
    """What a job asks for.

    Attributes
    ----------
    gpu
        GPUs, over all nodes.
    gpu_model
        The scheduler's name of their model; None where any will do, or none is asked for.
    threads
        Cores, over all nodes.
    mem_mb, disk_mb
        Memory of a node and space for files, in MB.
    runtime
        Time limit, in minutes.
    nodes, cpus_per_task
        For a job on several nodes, as the executor for SLURM reads them; None for a job on one.
    seconds
        What it is expected to take.
    why
        The reason of each figure, in words.
    """

    gpu: int
    gpu_model: str | None
    threads: int
    mem_mb: int
    disk_mb: int
    runtime: int
    nodes: int | None
    cpus_per_task: int | None
    seconds: float
    why: dict[str, str]

    @property
    def tasks(self) -> int | None:
        """Tasks of a job on several nodes: one on each, which starts what runs there."""
        return self.nodes

    @property
    def mpi(self) -> str | None:
        """What keeps the executor from putting a job on several nodes into a step of one."""
        return "srun" if self.nodes else None

    @property
    def tasks_per_gpu(self) -> int | None:
        """What keeps the executor from taking ``tasks`` for those of each GPU."""
        return -1 if self.nodes and self.gpu else None

    @property
    def slurm_extra(self) -> str | None:
        """What has SLURM deal tasks and GPUs out to the nodes evenly."""
        gpus = f" --gpus-per-node={self.gpu // self.nodes}" if self.nodes and self.gpu else ""
        return f"--ntasks-per-node=1{gpus}" if self.nodes else None

    def again(self, attempt: int) -> "Ask":
        """Return what an attempt, counted from 1, asks for: each as much more."""
        return self._replace(
            mem_mb=attempt * self.mem_mb, disk_mb=attempt * self.disk_mb, runtime=attempt * self.runtime
        )


class Last(NamedTuple):
    """The most that jobs of a kind took when they last ran; and whether they may need something else now."""

    seconds: float
    peak_memory_mb: float
    changed: bool


class Sizes:
    """What the jobs of a project ask for.

    Parameters
    ----------
    plan
        Knows what jobs took last; None where nothing is planned, as in a job on a cluster, whose record is removed
        before it starts.
    gpus
        The most GPUs that a job can get; None when it gets what it asks for.
    """

    def __init__(self, jobs: Jobs, plan: "Plan | None" = None, *, gpus: int | None = None) -> None:
        self.jobs, self.plan, self.gpus = jobs, plan, gpus
        self._extents: dict[str, Extent] = {}
        self._asks: dict[Job, Ask] = {}

    def ask(self, job: Job, attempt: int = 1) -> Ask:
        """Return what a job asks for; the same for all splits and repeats of a model."""
        kind = kind_of(job)
        if kind not in self._asks:
            self._asks[kind] = self._training(kind) if kind.rule == "train" else self._other(kind)
        return self._asks[kind].again(attempt)

    def extent(self, study: str) -> Extent:
        """Return how much data a study has."""
        if study not in self._extents:
            self._extents[study] = extent.of(self.jobs.project.studies[study])
        return self._extents[study]

    def _other(self, job: Job) -> Ask:
        if job.rule == "index":
            cost = costs.index(len(self.jobs.project.studies))
        else:
            cost = costs.OF_STUDY[job.rule](self.jobs.project.studies[job.study], self.extent(job.study))
        threads = _streaming_threads(cost)
        cost = cost._replace(memory_mb=cost.memory_mb + (threads - 1) * cost.thread_mb)
        ask = _rounded(cost, self._last(job, gpu=False), at_once=threads)
        return ask._replace(threads=threads, why=ask.why | {"threads": cost.words})

    def _training(self, job: Job) -> Ask:
        study = self.jobs.project.studies[job.study]
        if not planning.is_network(study, job.model):
            return _by_study(study, self._baseline(study, job))
        wanted, why = _gpus(study)
        gpu = wanted if self.gpus is None else min(wanted, self.gpus)
        if gpu < wanted:
            why = f"{wanted} wanted, {gpu or 'none'} to be had"
        nodes = study.resources.nodes
        processes = study.resources.processes or 1
        on_core = self._cost(job, gpu=False)
        threads, threads_why = _threads(study, on_core, at_least=max(wanted, processes))
        ask = _rounded(
            self._cost(job, gpu=True) if gpu else on_core,
            self._last(job, gpu=gpu > 0),
            at_once=gpu or threads,
            on_a_node=math.ceil((gpu or processes) / nodes),
        )
        if nodes > 1:
            ask = ask._replace(nodes=nodes, cpus_per_task=math.ceil(threads / nodes))
        return _by_study(
            study,
            ask._replace(
                gpu=gpu,
                gpu_model=study.resources.gpu_model if gpu else None,
                threads=threads,
                why=ask.why | {"gpu": why, "threads": threads_why},
            ),
        )

    def _baseline(self, study: Study, job: Job) -> Ask:
        """Return what a model asks for that is no network, and so runs on one node."""
        cost = self._cost(job, gpu=False)
        threads, why = _threads(study, cost)
        if why == BY_STUDY:  # over all nodes
            threads = math.ceil(threads / study.resources.nodes)
        ask = _rounded(cost, self._last(job, gpu=False), at_once=threads)
        return ask._replace(threads=threads, why=ask.why | {"threads": why})

    def _cost(self, job: Job, *, gpu: bool) -> Cost:
        study, extent = self.jobs.project.studies[job.study], self.extent(job.study)
        model = models(study)[job.model]
        if isinstance(model, Trivial):
            return costs.trivial(extent)
        if isinstance(model, Linear):
            return costs.linear(model, extent)
        if isinstance(model, BoostedTrees):
            return costs.boosted_trees(model, extent)
        size = modelsize.of(model, extent.input_shape, extent.outputs)
        return costs.network(study, model, extent, size, gpu=gpu)

    def _last(self, job: Job, *, gpu: bool) -> Last | None:
        """Return what jobs of a kind took when they last ran on the same kind of device; None if none has."""
        if self.plan is None:
            return None
        alike = [job]
        if job.rule in ("split", "train", "wash"):
            alike = [each for each in self.jobs.of_study(job.study) if kind_of(each) == job]
        took = [self.plan.last[each] for each in alike if each in self.plan.last]
        took = [each for each in took if (each.device != "cpu") == gpu]
        if not took:
            return None
        reasons = {reason.kind for each in alike for reason in self.plan.stale.get(each, ())}
        return Last(
            max(each.seconds for each in took),
            max(each.peak_memory_mb for each in took),
            changed=bool(reasons & CHANGES_SIZE),
        )


def resources(rule: str, project: Project) -> tuple[str, ...]:
    """Return the names of what a rule's jobs ask for beside threads, without what no study of the project needs.

    Snakemake takes some time for each of them in each job.
    """
    if rule != "train":
        return RESOURCES
    wanted = [study.resources for study in project.studies.values()]
    model = ("gpu_model",) if any(each.gpu_model for each in wanted) else ()
    several = (
        ("nodes", "tasks", "tasks_per_gpu", "mpi", "cpus_per_task", "slurm_extra")
        if any(each.nodes > 1 for each in wanted)
        else ()
    )
    return ("gpu", *model, *RESOURCES, *several)


def kind_of(job: Job) -> Job:
    """Return what stands for all jobs that ask for the same: without split, repeat and shard."""
    return job._replace(split=None, repeat=None, shard=None)


def is_small(ask: Ask) -> bool:
    """Return whether a job may run where jobs are submitted from."""
    return not ask.gpu and ask.threads == 1 and ask.mem_mb <= SMALL_MB and ask.runtime <= SMALL_MINUTES


def small_rules(jobs: Jobs) -> set[str]:
    """Return the rules all of whose jobs are small, in the studies that are made.

    By the studies alone, not by what jobs took last, so that it is the same in every process of a run.
    """
    sizes, kinds = Sizes(jobs), {kind_of(job) for job in in_order(jobs)}
    # who deals a table out wants its parts elsewhere
    spread = {kind.rule for kind in kinds if kind.rule == "wash" or not is_small(sizes.ask(kind))}
    return {kind.rule for kind in kinds} - spread


def _by_study(study: Study, ask: Ask) -> Ask:
    """Return what a training asks for, with the figures that the study sets."""
    given = {name: value for name in RESOURCES if (value := getattr(study.resources, name)) is not None}
    return ask._replace(**given, why=ask.why | dict.fromkeys(given, BY_STUDY))


def _gpus(study: Study) -> tuple[int, str]:
    """Return how many GPUs a network of the study asks for, and why."""
    asked = study.resources
    if asked.gpu is not None:
        return asked.gpu, BY_STUDY
    if asked.processes is not None:
        return 0, "its processes are for CPUs"
    return asked.nodes, "a network" if asked.nodes == 1 else "a network, one on each node"


def _threads(study: Study, cost: Cost, *, at_least: int = 1) -> tuple[int, str]:
    """Return how many threads a training gets, and why, by its work on one core and the size of its steps.

    The work is that of a CPU also where a GPU does it: the same study must not round otherwise on another machine.
    """
    if study.resources.threads is not None:
        return study.resources.threads, BY_STUDY
    threads = 1
    while 2 * threads <= MOST_THREADS and cost.seconds > CORE_SECONDS * threads**2 and cost.step > 2 * threads * SHARE:
        threads *= 2
    why = f"about {durations.in_words(cost.seconds)} of work for one core"
    return (at_least, f"one for each of its {at_least} processes") if at_least > threads else (threads, why)


def _streaming_threads(cost: Cost) -> int:
    """Return how many threads a job gets that works through a table piece by piece; its result depends on none."""
    threads = 1
    while cost.thread_mb and 2 * threads <= MOST_THREADS and cost.seconds > STREAM_SECONDS * threads:
        threads *= 2
    return threads


def _rounded(cost: Cost, last: Last | None, *, at_once: int = 1, on_a_node: int = 1) -> Ask:
    """Return what a job asks for, with margins, from its cost and from what it took last.

    Parameters
    ----------
    at_once
        Threads or GPUs that share the work.
    on_a_node
        Processes on a node, each of which takes the memory.
    """
    expected = cost.seconds / at_once**GAIN
    seconds, memory = TIME_MARGIN * expected, MEMORY_MARGIN * cost.memory_mb
    why = dict.fromkeys(RESOURCES, cost.words)
    if last is not None:
        took = f"took {durations.in_words(last.seconds)} and {last.peak_memory_mb:,.0f} MB last time"
        took += ", before a change" if last.changed else ""
        again, memory_again = TIME_MARGIN_AGAIN * last.seconds, MEMORY_MARGIN_AGAIN * last.peak_memory_mb
        if not last.changed or again > seconds:
            expected, seconds, why["runtime"] = last.seconds, again, took
        if not last.changed or memory_again > memory:
            memory, why["mem_mb"] = memory_again, took
    return Ask(
        gpu=0,
        gpu_model=None,
        threads=1,
        mem_mb=_up(SNAKEMAKE_MB + memory * on_a_node, MB_STEP),
        disk_mb=max(LEAST_DISK_MB, _up(MEMORY_MARGIN * cost.disk_mb, MB_STEP)),
        runtime=max(LEAST_MINUTES, _up(START_MINUTES + seconds / 60, MINUTES_STEP)),
        nodes=None,
        cpus_per_task=None,
        seconds=expected,
        why=why,
    )


def _up(value: float, step: int) -> int:
    return math.ceil(value / step) * step
