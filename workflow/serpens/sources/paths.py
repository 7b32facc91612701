"""Which files a study names: paths, patterns and folders written out. Looked at before any job, and again in it."""

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from serpens.errors import ConfigurationError, listed
from serpens.sources.registry import ARCHIVES, ENDINGS, FILE_TYPES, ending

# A folder with one of these is one of images.
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
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
        If a pattern or a folder has no table, or a folder has something else besides.
    """
    found: list[str] = []
    for path in given:
        if is_pattern(path):
            found += _fitting(path)
        elif is_folder(path):
            found += [path] if _holds_images(path) else _inside(path)
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
    data = settings["data"]
    try:
        names = written_out(data["file"] or ())
    except ConfigurationError:  # said elsewhere
        names = []
    names += [*(data["url"] or ()), *(data["storage"] or ()), *(join["file"] for join in data["join"])]
    names += [data["huggingface"]["file"]] if data["huggingface"] else []
    names += [settings["cohort"]] if settings["cohort"] else []
    member = settings["read"].get("member")
    known = [member if ending(name, ARCHIVES) else name for name in names]
    return [name for name in known if name and (name.endswith("/") or ending(name, FILE_TYPES))]


def _holds_images(folder: str) -> bool:
    return any(path.suffix.lower() in IMAGES for path in Path(folder).rglob("*"))


def _fitting(pattern: str) -> list[str]:
    found = sorted((path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()), key=natural)  # noqa: PTH207
    if not found:
        raise ConfigurationError(f"no file fits {pattern!r}, seen from {Path.cwd()}")
    _all_tables(found, f"fits {pattern!r}")
    return found


def _inside(folder: str) -> list[str]:
    if not Path(folder).is_dir():
        raise ConfigurationError(f"there is no folder {folder!r}, seen from {Path.cwd()}")
    # hidden files, and those that programs put beside theirs: _SUCCESS, _metadata
    found = [
        path.as_posix()
        for path in Path(folder).rglob("*")
        if path.is_file() and not any(step.startswith((".", "_")) for step in path.relative_to(folder).parts)
    ]
    if not found:
        raise ConfigurationError(f"the folder {folder!r} holds no file")
    _all_tables(found, f"lies in {folder!r}")
    return sorted(found, key=natural)


def _all_tables(paths: Sequence[str], where: str) -> None:
    if others := sorted(path for path in paths if ending(path, FILE_TYPES) is None):
        raise ConfigurationError(
            f"{others[0]} {where} and is no table (one of {ENDINGS}): name the tables alone, "
            "by a pattern such as parts/*.csv"
        )
