"""The common ground of all stages: the checked configuration, what each job takes from it, and which must run again."""

import gc
import shutil
import sys
from functools import cache

from snakemake.io import checkpoint_target
from snakemake.jobs import Job as WorkflowJob
from snakemake.logging import logger
from snakemake.settings.types import RerunTrigger

from serpens import environment, planning, sizing, slurm
from serpens.codedigest import Reader
from serpens.contents import remembered
from serpens.jobs import Job, Jobs
from serpens.layout import CODE_CACHE, FIGURES, REFUSED, SLURM_RUN, TABLES, refusal
from serpens.locks import holder
from serpens.plan import Plan
from serpens.settings import as_json
from serpens.sources.registry import plugin
from serpens.sources.remote import note, seen
from serpens.sources.secrets import shown, without
from serpens.splits import PARTS


wildcard_constraints:
    study="[A-Za-z0-9_-]+",
    model="[A-Za-z0-9_-]+",
    split="[0-9]+",
    repeat="[0-9]+",
    shard="[0-9]+",


RUN = "{model}/split-{split}-repeat-{repeat}"
JOBS = Jobs(PROJECT)


def forced(job):
    """Return whether the command line says that a job must run."""
    given = workflow.dag_settings
    return given.forceall or bool({job.rule, JOBS.record(job)} & set(given.forcerun))


@cache
def plan():
    """Return what must run again; asked for once the command line is known, and only where jobs are planned."""
    embedded = workflow.modifier.skip_configfile
    for fault in environment.exact(workflow.dag_settings, RerunTrigger, embedded):
        logger.warning(fault)
    limit_gpus()
    if not workflow.dryrun:
        take_up()
    look_at_storages()
    # a job that ended after its run was killed is complete by its record, and by Snakemake's marks is not
    workflow.dag.ignore_incomplete = not embedded
    made = Plan(JOBS, Reader(CODE_CACHE), remembered(), forced)
    made.save()
    # what is there by now stays; the collector, which planning calls often, need not walk through it each time
    gc.freeze()
    # what is small the host does itself from which jobs are sent to a cluster
    workflow.localrules(*sizing.small_rules(JOBS))
    # after each checkpoint Snakemake plans anew, which is worth it only where a study waits for its cleaning
    rules.clean.rule.is_checkpoint = bool(made.waiting)
    return made


def take_up():
    """Begin where the last run ended: with what its jobs in a cluster finish, and without what it refused."""
    shutil.rmtree(REFUSED, ignore_errors=True)
    WorkflowJob.restart_times = property(retries)
    if plugin := sys.modules.get("snakemake_executor_plugin_slurm"):
        slurm.mend(plugin, SLURM_RUN)
    if SLURM_RUN.exists() and holder(RUNNING) is None:
        slurm.await_orphans(SLURM_RUN.read_text(), logger.warning)


def retries(job):
    """Return how often a job may be tried again: never when it failed for what a person must mend."""
    record = getattr(job.output, "record", None)
    refused = record is not None and refusal(record).exists()
    return 0 if refused else job.rule.restart_times


def needs(rule, **files):
    """Return an input function for unpack(): a job's files by name, flagged so that the job runs when the plan says so.

    Snakemake judges by times of files and follows a job that runs to all that read its files. To a job that by its
    records is up to date all files are ancient(), which it does not ask for their time; one that is not is forced.
    """

    def found(w):
        paths = {
            name: path(w) if callable(path) else path.format(**dict(w.items()))
            for name, path in files.items()
        }
        job = Job.of(rule, dict(w.items()))
        if (
            not workflow.is_main_process
        ):  # it is told what to do by the process that plans
            return paths
        if job not in plan().stale:
            return {name: ancient(path) for name, path in paths.items()}
        workflow.dag.forcefiles.add(JOBS.record(job))
        return paths

    return found


def targets(_):
    """Return what is made by default: each study that is to run and, when all do, their index.

    Of a study whose rows may turn out to be the same as before only the cleaning: what follows is asked for when it has
    run and Snakemake, for which it is a checkpoint, calls this again.
    """
    if not workflow.is_main_process:
        return []
    plan().refresh()
    wanted = [
        (
            checkpoint_target(JOBS.record(Job("clean", study)))
            if study in plan().waiting
            else at(f"{study}/report.html")
        )
        for study in PROJECT.selected
    ]
    if len(PROJECT.selected) < len(PROJECT.studies) or plan().waiting:
        return wanted
    return [*wanted, at("index.html")]


def at(path):
    """Return a path below the results folder."""
    return f"{PROJECT.results}/{path}"


def of_study(path):
    """Return a path below the folder of a study."""
    return at(f"{{study}}/{path}")


def per_study(path):
    """Return an input function: the path for every study."""
    return lambda w: expand(of_study(path), study=PROJECT.studies)


def per_shard(path):
    """Return an input function: the path for every part of a study's table that is washed by a job of its own."""
    return lambda w: expand(at(f"{w.study}/{path}"), shard=range(JOBS.shards[w.study]))


def per_split(path):
    """Return an input function: the path for every split of the study, and every part of it."""
    return lambda w: expand(
        at(f"{w.study}/{path}"), split=range(JOBS.splits[w.study]), part=PARTS
    )


def per_run(path):
    """Return an input function: the path for every training of the study."""
    return lambda w: [
        at(f"{w.study}/{path}".replace(RUN, run.stem)) for run in JOBS.runs[w.study]
    ]


def sources(w):
    """Return the files that a study is collected from."""
    return planning.source_files(PROJECT.studies[w.study])


def stored(w):
    """Return what a study is collected from in storages: Snakemake brings it for the job."""
    return [in_storage(query) for query in PROJECT.studies[w.study].data.storage or ()]


def in_storage(query):
    """Return an object of a storage, by the plugin that its query names."""
    name, wanted = plugin(query)
    return getattr(storage, name)(wanted)


def notes(w):
    """Return the files that say which objects these are."""
    return [str(note(query)) for query in PROJECT.studies[w.study].data.storage or ()]


def look_at_storages():
    """Ask storages whether their objects are those of last time; what they were then stands where nobody answers."""
    for study in PROJECT.selected.values():
        for query in study.data.storage or ():
            try:
                seen(query, in_storage(query).flags["storage_object"])
            except Exception as err:
                told = f"{shown(query)}: the storage does not tell of it; {without(str(err))}"
                if not note(query).exists():
                    raise WorkflowError(told) from None
                logger.warning(f"{told}; what was collected stands")


def settings_of(rule):
    """Return a params function: the settings that a job depends on, as JSON that compares by name and value."""
    return lambda w: as_json(JOBS.settings(Job.of(rule, dict(w.items()))))


def checkpoint_folder(w):
    """Return the folder of what a training keeps while it runs."""
    return str(JOBS.checkpoints(w.study) / RUN.format(**dict(w.items())))
