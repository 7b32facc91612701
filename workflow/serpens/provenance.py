"""What a job was made from: digests of its inputs, versions of what it ran on, what it took."""

import hashlib
import json
import platform
import resource
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from serpens.codedigest import Code
from serpens.contents import files
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


@dataclass(frozen=True)
class Origin:
    """What a job is made from.

    Attributes
    ----------
    inputs
        sha256 of each file that it reads, by path.
    """

    rule: str
    code: Code
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def key(self) -> str:
        """One sha256 of all of it: equal keys make equal files, on the same machine."""
        made_from = [self.rule, self.code.sha256, self.settings, self.inputs]
        return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def origin(rule: str, code: Code, settings: Mapping[str, Any], inputs: Iterable[str]) -> Origin:
    """Return what a job is made from, before it starts: what changes under its hands is another content."""
    return Origin(rule, code, settings, {str(path): sha256(path) for path in files(inputs)})


def _left(path: Path) -> dict[str, Any]:
    return {"sha256": sha256(path), "bytes": path.stat().st_size}


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in megabytes (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def cpu_seconds() -> float:
    """Return the processor time of this process so far, and of its children that have ended: user's and system's."""
    taken = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in taken)


def record(
    *,
    rule: str,
    wildcards: Mapping[str, str],
    origin: "Origin",
    outputs: Iterable[str],
    threads: int,
    start: str,
    spent: Mapping[str, float | None],
) -> dict[str, Any]:
    """Return a job's record: what it was made from, where, and what it took.

    Parameters
    ----------
    outputs
        Paths of the files and folders that the job wrote; each file is recorded with its sha256.
    spent
        ``seconds`` and ``cpu_seconds`` of the job's own work.
    """
    return {
        "rule": rule,
        "wildcards": dict(wildcards),
        "key": origin.key,
        "inputs": origin.inputs,
        "outputs": {str(path): _left(path) for path in files(outputs)},
        "settings": dict(origin.settings),
        "code": {"sha256": origin.code.sha256, "definitions": origin.code.definitions},
        "libraries": origin.code.libraries,
        "threads": threads,
        "versions": versions(),
        "host": platform.node(),
        "machine": f"{platform.system()} {platform.machine()}",
        "start": start,
        **{name: amount if amount is None else round(amount, 3) for name, amount in spent.items()},
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }
