"""The other nodes of a SLURM job, on which it may start processes."""

import os
from collections.abc import Mapping, Sequence

from serpens.slurm import JOB

# What a step says of itself: a step that is started from within it would take it for its own.
OF_A_STEP = ("SLURM_", "SRUN_", "SBATCH_")
KEPT = (JOB, "SLURM_CONF")


def nodes(asked: int, environment: Mapping[str, str] = os.environ) -> int:
    """Return how many machines work together: as many as were asked for in a SLURM job, elsewhere this one alone."""
    return asked if JOB in environment else 1


def on_other_nodes(command: Sequence[str], *, nodes: int, tasks: int, threads: int, gpus: int) -> list[str]:
    """Return what runs a command ``tasks`` times on each node of this job but the first.

    Parameters
    ----------
    nodes
        All nodes of the job.
    threads
        CPU cores of each task; 0 lets tasks share cores.
    gpus
        GPUs of each node.
    """
    return [
        "srun",
        # beside the step that this is
        "--overlap",
        "--relative=1",
        f"--nodes={nodes - 1}",
        f"--ntasks={(nodes - 1) * tasks}",
        f"--ntasks-per-node={tasks}",
        "--distribution=block",
        f"--cpus-per-task={threads}" if threads else "--overcommit",
        # without a word a step asks for all GPUs of the job
        f"--gpus-per-node={gpus}" if gpus else "--gres=none",
        "--kill-on-bad-exit=1",
        *command,
    ]


def environment_for_step(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment in which ``srun`` heeds what it is told alone."""
    return {name: value for name, value in environment.items() if name in KEPT or not name.startswith(OF_A_STEP)}


def task(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return which task of its step this process is, and which of its node; 0 and 0 where there is no step."""
    return int(environment.get("SLURM_PROCID", 0)), int(environment.get("SLURM_LOCALID", 0))
