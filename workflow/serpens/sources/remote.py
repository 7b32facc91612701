"""What storages say of their objects, written down at planning; a job that reads an object reads its note too."""

import hashlib
from pathlib import Path
from typing import Any

from serpens import io
from serpens.layout import REMOTE
from serpens.sources.secrets import shown


def note(query: str) -> Path:
    """Return the file that holds what a storage last said of an object."""
    return REMOTE / f"{hashlib.sha256(query.encode()).hexdigest()[:16]}.json"


def seen(query: str, found: Any) -> None:
    """Write down what a storage says of an object now, where that differs from before.

    Collecting reads this file, and so it runs again when the object is another one.

    Parameters
    ----------
    found
        The object, as Snakemake's plugins hold it. Where the storage knows a checksum, that alone counts; else the time
        of the last change and the size do.
    """
    checksum = found.checksum()
    about = {"checksum": checksum} if checksum else {"changed": found.mtime(), "bytes": found.size()}
    about |= {"query": shown(query)}
    path = note(query)
    if not path.exists() or io.read_cache(path) != about:
        io.write_json(path, about)
