"""What jobs ask for: of a workstation, and of a cluster by its profile."""

from serpens import devices
from serpens.sizing import Sizes


def limit_gpus():
    """Let no more trainings run on this machine at once than its GPUs allow; where it has none, none is asked for."""
    # a dry run of a cluster's profile has no executor, but its number of jobs
    elsewhere = workflow.non_local_exec or (
        workflow.dryrun and workflow.resource_settings.nodes
    )
    if not elsewhere and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", len(devices.gpus()))


@cache
def sizes():
    """Return what jobs ask for; in a job on a cluster, whose record is gone by then, by its study alone."""
    made = plan() if workflow.is_main_process else None
    most = workflow.global_resources.get("gpu")
    return Sizes(JOBS, made, gpus=None if most is None else most.value)


def asked(rule, figure):
    """Return a resource function: a figure of what a job asks for in an attempt; what is None is not asked for."""

    def found(w, attempt):
        return getattr(sizes().ask(Job.of(rule, dict(w.items())), attempt), figure)

    return found


def asks(rule):
    """Return a rule's resources by name."""
    names = sizing.resources(rule, PROJECT)
    by_name = {name: asked(rule, name) for name in names}
    if "gpu" in names and "gpu_partition" in profile_resources():
        by_name["slurm_partition"] = partition
    if "slurm_extra" in names:
        by_name["slurm_extra"] = extra
    return by_name


def partition(w):
    """Return where a cluster runs a training: with a GPU in the profile's gpu_partition, else in its usual one."""
    wanted = sizes().ask(Job.of("train", w)).gpu
    name = "gpu_partition" if wanted else "slurm_partition"
    return profile_resources()[name].raw if name in profile_resources() else None


def extra(w):
    """Return what else a training tells sbatch: what the profile says, and what several nodes need."""
    given = profile_resources()
    said = given["slurm_extra"].raw if "slurm_extra" in given else None
    return (
        " ".join(filter(None, (said, sizes().ask(Job.of("train", w)).slurm_extra)))
        or None
    )


@cache
def profile_resources():
    """Return the resources that a profile, or the command line, gives every job."""
    return workflow.resource_settings._parsed_default_resources


def together(w):
    """Return the group whose trainings share a job of a cluster, as many as its profile says: the small ones."""
    shares = workflow.non_local_exec and sizing.is_small(
        sizes().ask(Job.of("train", w))
    )
    return "baselines" if shares else None
