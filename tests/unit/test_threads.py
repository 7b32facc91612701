"""A job of one thread starts no more, whatever the machine has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serpens import threads

WORKFLOW = Path(__file__).parents[2] / "workflow"
# What Snakemake sets for a job of one thread.
SNAKEMAKE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
COUNTS = """
import json
import numpy as np
import scipy.linalg
import sklearn.ensemble
from joblib import effective_n_jobs
from threadpoolctl import threadpool_info
from serpens import threads
threads.limit(1)
import pyarrow as pa
import torch._inductor.config
from serpens import networks
pools = {f"{pool['internal_api']} of {pool['prefix']}": pool["num_threads"] for pool in threadpool_info()}
print(json.dumps(pools | {
    "Arrow": pa.cpu_count(),
    "Arrow, reading and writing": pa.io_thread_count(),
    "torch, in an operation": torch.get_num_threads(),
    "torch, operations side by side": torch.get_num_interop_threads(),
    "torch, compiling": torch._inductor.config.compile_threads,
    "joblib": effective_n_jobs(-1),
}))
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a machine with one core starts one thread anyway")
def test_every_library_starts_as_many_threads_as_the_job_has():
    environment = {name: value for name, value in os.environ.items() if name not in threads.VARIABLES} | SNAKEMAKE
    done = subprocess.run(
        [sys.executable, "-c", COUNTS], cwd=WORKFLOW, env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert len(found) >= 8
    assert {name: count for name, count in found.items() if count != 1} == {}
