"""How many threads the libraries of a job may start: as many as it was given.

Snakemake sets the variables that linear algebra and OpenMP read when they are loaded (OMP_NUM_THREADS and its like),
and Arrow takes its threads for computing from the same. Here stand those that are read later: when a library starts its
first thread, or counts the machine's cores to start that many.
"""

import os

VARIABLES = (
    "ARROW_IO_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
)


def limit(n: int) -> None:
    """Let libraries that start no thread yet start ``n`` at most, in this process and its children."""
    os.environ.update(dict.fromkeys(VARIABLES, str(n)))
