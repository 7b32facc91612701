"""Whether the versions that Serpens was tested with are the ones that run; asked before any job."""

import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from serpens.errors import EnvironmentFaultError

PYTHON = (3, 11)
# prefix of the version that must be installed
PINNED = {"snakemake": "9.", "torch": "2.13."}
CURE = "run `make setup` in the Serpens folder and use the environment that it makes (.venv)"


def check() -> None:
    """Raise, in one line, unless Python, Snakemake and torch are of the versions that Serpens needs.

    Raises
    ------
    EnvironmentFaultError
        Naming what is needed, what was found, and the cure.
    """
    if sys.version_info[:2] != PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        msg = f"Serpens needs Python {PYTHON[0]}.{PYTHON[1]}; this is {found}: {CURE}"
        raise EnvironmentFaultError(msg)
    for package, prefix in PINNED.items():
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            found = "none"
        if not found.startswith(prefix):
            msg = f"Serpens needs {package} {prefix}x; found {found}: {CURE}"
            raise EnvironmentFaultError(msg)


def exact(settings: Any, triggers: Any, embedded: bool) -> Iterator[str]:
    """Make Snakemake leave it to Serpens which jobs run again; yield what a profile or the command line lacks for it.

    Parameters
    ----------
    settings
        Snakemake's ``DAGSettings``; set right in place, unless they serve the rules of another workflow too.
    triggers
        Snakemake's ``RerunTrigger``.
    embedded
        Whether Serpens is a module of another workflow.
    """
    found = ", ".join(sorted(trigger.name.lower().replace("_", "-") for trigger in settings.rerun_triggers))
    if embedded:
        if triggers.CODE in settings.rerun_triggers:
            yield (
                f"Serpens needs rerun-triggers without code, found {found}: with it Snakemake also reruns jobs whose "
                "script was merely touched; give --rerun-triggers mtime params input, or set it in the profile"
            )
    elif settings.rerun_triggers != {triggers.MTIME}:
        yield f"Serpens decides by its records what runs again; rerun-triggers mtime is used in place of {found}"
        settings.rerun_triggers = frozenset({triggers.MTIME})
    if not settings.force_incomplete:
        yield "Serpens takes up what was killed; rerun-incomplete is used, which the profile does not set"
        settings.force_incomplete = True
