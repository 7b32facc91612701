"""Which files a study names: paths, patterns and folders written out. Looked at before any job, and again in it."""

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from serpens.errors import ConfigurationError, listed
from serpens.formats.registry import IMAGE_SUFFIXES
from serpens.sources.registry import ARCHIVES, ENDINGS, FILE_TYPES, ending, is_paper

# What Hive and Spark call a folder of rows whose key is missing.
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def is_pattern(path: str) -> bool:
    """Return whether a path stands for those that fit it."""
    return any(sign in path for sign in "*?[")


def is_folder(path: str) -> bool:
    """Return whether a path names a folder of tables."""
    return path.endswith("/")


def written_out(given: Sequence[str]) -> list[str]:
    """Return the files that paths, patterns and folders name, each in natural order of names.

    Raises
    ------
    ConfigurationError
        If a pattern or a folder has no table, or something else besides, or a folder has images and tables.
    """
    found: list[str] = []
    for path in given:
        if is_pattern(path):
            found += _fitting(path)
        elif is_folder(path):
            found += _inside(path)
        else:
            found.append(path)
    if twice := sorted({path for path in found if found.count(path) > 1}) if len(set(found)) < len(found) else []:
        raise ConfigurationError(f"a file must be named once, or its rows count twice; named again: {listed(twice)}")
    return found


def natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts names as people count: ``part-2`` before ``part-10``."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in re.split(r"(\d+)", name)]


def keys(path: str, given: Sequence[str]) -> dict[str, str | None]:
    """Return what the folders of a file say of all of its rows, as ``year=2020``, below the folder that was named."""
    for folder in filter(is_folder, given):
        if Path(path).is_relative_to(folder):
            pairs = [step.split("=", 1) for step in Path(path).relative_to(folder).parent.parts if "=" in step]
            return {name: None if value == NO_VALUE else unquote(value) for name, value in pairs}
    return {}


def table_names(settings: Mapping[str, Any]) -> list[str]:
    """Return names of the tables of a study, by whose endings they are read, as far as they are known before any job.

    Parameters
    ----------
    settings
        Of collecting.
    """
    member = settings["read"].get("member")
    known = [member if ending(name, ARCHIVES) else name for name in _names(settings)]
    return [name for name in known if name and (name.endswith("/") or ending(name, FILE_TYPES))]


def is_any_unseen(settings: Mapping[str, Any]) -> bool:
    """Return whether a table of a study is the only one of an archive: what it is, is seen when it is unpacked."""
    return "member" not in settings["read"] and any(ending(name, ARCHIVES) for name in _names(settings))


def _names(settings: Mapping[str, Any]) -> list[str]:
    data = settings["data"]
    try:
        names = written_out(data["file"] or ())
    except ConfigurationError:  # said elsewhere
        names = []
    names += [*(data["url"] or ()), *(data["storage"] or ()), *(join["file"] for join in data["join"])]
    names += [data["huggingface"]["file"]] if data["huggingface"] else []
    return names + ([settings["cohort"]] if settings["cohort"] else [])


def _fitting(pattern: str) -> list[str]:
    found = [path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()]  # noqa: PTH207
    if not found:
        raise ConfigurationError(f"no file fits {pattern!r}, seen from {Path.cwd()}")
    return _tables(found, f"fits {pattern!r}")


def _inside(folder: str) -> list[str]:
    """Return the tables below a folder, or the folder itself where it is one of images."""
    if not Path(folder).is_dir():
        raise ConfigurationError(f"there is no folder {folder!r}, seen from {Path.cwd()}")
    # hidden files, and those that programs put beside theirs: _SUCCESS, _metadata
    found = [
        path.as_posix()
        for path in Path(folder).rglob("*")
        if path.is_file() and not any(step.startswith((".", "_")) for step in path.relative_to(folder).parts)
    ]
    images = sorted(path for path in found if path.lower().endswith(IMAGE_SUFFIXES))
    if not images:
        return _tables(found, f"lies in {folder!r}")
    if tables := sorted(path for path in found if ending(path, FILE_TYPES) and not is_paper(path)):
        raise ConfigurationError(
            f"the folder {folder!r} must hold tables or images; it holds {tables[0]} and {images[0]}: name the tables "
            "alone, by a pattern such as parts/*.csv, and if they name the images, say so with read.images"
        )
    return [folder]


def _tables(paths: Sequence[str], where: str) -> list[str]:
    """Return tables in natural order, without what tells about them."""
    paths = sorted((path for path in paths if not is_paper(path)), key=natural)
    if not paths:
        raise ConfigurationError(f"there must be a table that {where}; there is none")
    if others := sorted(path for path in paths if ending(path, FILE_TYPES) is None):
        raise ConfigurationError(
            f"{others[0]} {where} and is no table (one of {ENDINGS}): name the tables alone, "
            "by a pattern such as parts/*.csv"
        )
    return paths
