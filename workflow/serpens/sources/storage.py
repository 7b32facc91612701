"""Data that Snakemake brings from a storage, by one of its plugins; here they are files that lie here."""

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from serpens import io
from serpens.layout import REMOTE
from serpens.sources.files import check
from serpens.sources.parts import Brought, File, Given
from serpens.sources.secrets import shown


def bring(data: Mapping[str, Any], given: Given) -> Brought:
    """Return what Snakemake brought for each query.

    Raises
    ------
    DataError
        If a file differs from its sha256.
    """
    files = []
    for query, path in zip(data["storage"], map(Path, given.retrieved), strict=True):
        name = PurePosixPath(query.partition("?")[0]).name
        files.append(File(path, shown(query), name, path.stat().st_size, io.sha256(path)))
    check(files, data["sha256"])
    return Brought(tuple(files))


def note(query: str) -> Path:
    """Return the file that holds what a storage last said of an object."""
    return REMOTE / f"{hashlib.sha256(query.encode()).hexdigest()[:16]}.json"


def seen(query: str, found: Any) -> None:
    """Write down what a storage says of an object now, where that differs from before.

    Collecting reads this file, and so it runs again when the object is another one.

    Parameters
    ----------
    found
        The object, as Snakemake's plugins hold it. Where the storage knows a checksum, it alone counts; else the time of
        the last change and the size do.
    """
    checksum = found.checksum()
    about = {"checksum": checksum} if checksum else {"changed": found.mtime(), "bytes": found.size()}
    about |= {"query": shown(query)}
    path = note(query)
    if not path.exists() or io.read_cache(path) != about:
        io.write_json(path, about)
