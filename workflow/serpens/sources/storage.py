"""Data that Snakemake brings from a storage, by one of its plugins; here they are files that lie here."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from serpens import io
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
