"""Whether the versions that Serpens was tested with are the ones that run; asked before any job."""

import sys
from importlib import metadata

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
