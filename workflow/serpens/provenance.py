"""What a job was made from: digests of its inputs, versions of what it ran on, what it took."""

import platform
import resource
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from serpens.io import sha256

# What a reader needs to make the numbers again; everything else is pinned by requirements/*.lock.
LIBRARIES = (
    "snakemake",
    "torch",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
    "skops",
    "safetensors",
    "pydantic",
    "matplotlib",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that can move a number."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:  # pragma: no cover - a partial installation
            found[library] = "not installed"
    return found


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in megabytes (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def record(
    *,
    rule: str,
    wildcards: Mapping[str, str],
    inputs: list[str],
    settings: Mapping[str, Any],
    threads: int,
    start: str,
    seconds: float,
) -> dict[str, Any]:
    """Return a job's record: what it was made from, where, and what it took.

    Parameters
    ----------
    inputs
        Paths of the files that the job read; each is recorded with its sha256.
    seconds
        Wall time of the job's own work.
    """
    return {
        "rule": rule,
        "wildcards": dict(wildcards),
        "inputs": {path: sha256(path) for path in inputs if Path(path).is_file()},
        "settings": dict(settings),
        "threads": threads,
        "versions": versions(),
        "host": platform.node(),
        "machine": f"{platform.system()} {platform.machine()}",
        "start": start,
        "seconds": round(seconds, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }
