"""Where data can come from, and which files hold tables: names alone, known before any job."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from serpens.errors import listed
from serpens.formats.registry import SUFFIXES, bare

SOURCES = {
    "file": "serpens.sources.files",
    "url": "serpens.sources.download",
    "storage": "serpens.sources.storage",
    "openml": "serpens.sources.openml",
    "huggingface": "serpens.sources.huggingface",
    "simulator": "serpens.sources.simulation",
}
"""The key of the section ``data`` that names a source, and the module that brings its files here with ``bring``."""

STEPS = {
    "unpack": "serpens.sources.archives",
    "transpose": "serpens.sources.transposition",
    "join": "serpens.sources.joins",
    "cohort": "serpens.sources.cohorts",
}
"""What may be done to files and tables on their way, and the module that does it with ``apply``."""

TABLES = tuple(suffix for suffix in SUFFIXES if suffix != "/" and suffix not in (".csv.gz", ".tsv.gz"))
PACKED = (".csv.gz", ".tsv.gz")
"""Tables that are unpacked before they are read, so that what would fill a disk is noticed."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
"""Files that hold files."""
FILE_TYPES = (*(suffix for suffix in SUFFIXES if suffix != "/"), *ARCHIVES)
ENDINGS = (
    f"{listed(bare(SUFFIXES))} (a folder), text also packed, such as .csv.gz, or of an archive: {listed(ARCHIVES)}"
)
PAPERS = ("readme", "license", "licence", "copying", "copyright", "changelog", "citation", "authors")
PAPER_SUFFIXES = ("", ".txt", ".md", ".rst", ".html", ".pdf", ".cff")
"""What people put beside tables and is none, by an old custom of names, though it may end like one."""

PLUGINS = {"gs": "gcs"}
"""Plugins of Snakemake whose name is not how their queries begin."""
LOCKED = {"s3": "s3", "fs": "storage"}
"""Plugins that Serpens is tested with, and the file in ``requirements/`` that holds their versions."""


def plugin(query: str) -> tuple[str, str]:
    """Return the storage plugin that a query is for, and the query as the plugin reads it."""
    scheme, _, rest = query.partition("://")
    # a plain path is all that this one takes
    return PLUGINS.get(scheme, scheme), rest if scheme == "fs" else query


def installation(name: str) -> str:
    """Return the command that installs a storage plugin."""
    what = f"-r requirements/{LOCKED[name]}.lock" if name in LOCKED else f"snakemake-storage-plugin-{name}"
    return f".venv/bin/python -m pip install {what}"


def kind(data: Mapping[str, Any]) -> str:
    """Return the key that says where data come from."""
    return next(key for key in SOURCES if data[key] is not None)


def ending(name: str, endings: tuple[str, ...]) -> str | None:
    """Return the longest of the endings that a name has."""
    return max((each for each in endings if name.lower().endswith(each)), key=len, default=None)


def is_paper(name: str) -> bool:
    """Return whether a file tells about the tables beside it, such as ``README.txt``."""
    path = PurePosixPath(name.lower())
    return path.stem in PAPERS and path.suffix in PAPER_SUFFIXES


def must_unpack(name: str) -> bool:
    """Return whether a file must be unpacked before it can be read as a table."""
    return ending(name, (*PACKED, *ARCHIVES)) is not None


def steps(settings: Mapping[str, Any]) -> list[str]:
    """Return what is done to the data of a study on their way, by the settings of collecting."""
    data = settings["data"]
    files = [*(data["file"] or ()), *(data["url"] or ()), *(data["storage"] or ())]
    files += [join["file"] for join in data["join"]] + [settings["cohort"] or ""]
    files += [data["huggingface"]["file"]] if data["huggingface"] else []
    # what a folder or a pattern holds is seen when it is looked at
    packed = any(must_unpack(name) or name.endswith("/") or name.endswith("*") for name in files)
    wanted = {"unpack": packed, "transpose": data["transpose"], "join": data["join"], "cohort": settings["cohort"]}
    return [step for step, used in wanted.items() if used]
