"""What files hold, without reading again what has not changed.

A file whose size, times and inode are those of an earlier reading has the content of that reading. The time of the last
change of the inode (ctime) is among them, which no program can set: content that comes with an older modification time
(``cp -p``, ``rsync -t``, ``tar x``) is seen.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from serpens import io

RACY_NS = 2_000_000_000
"""A file may change twice within one tick of a file system's clock (two seconds on the coarsest): what was read within
it of the last change is read again."""

Stamp = list[int]


def stamp(path: io.PathLike) -> Stamp:
    """Return size in bytes, modification time and inode change time in ns, and inode of a file."""
    status = Path(path).stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def files(paths: Iterable[io.PathLike]) -> Iterator[Path]:
    """Yield files, and for folders the files in them, in order of their names."""
    for path in map(Path, paths):
        if path.is_dir():  # hidden files are Snakemake's own time stamps
            yield from sorted(inner for inner in path.rglob("[!.]*") if inner.is_file())
        elif path.is_file():
            yield path


class Contents:
    """Digests of files, remembered by stamp.

    Parameters
    ----------
    cache
        File that keeps them between runs; None keeps nothing.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache
        self.known: dict[str, Any] = io.read_cache(cache) if cache else {}
        self.read = 0
        """Files that were read because they were not known."""

    def sha256(self, path: io.PathLike) -> str:
        """Return the digest of a file's bytes, from memory if the file has not changed.

        Raises
        ------
        OSError
            If the file cannot be read.
        """
        key, now = str(path), stamp(path)
        entry = self.known.get(key)
        if entry is not None and entry["stamp"] == now and entry["read"] - now[2] > RACY_NS:
            return str(entry["sha256"])
        self.read += 1
        self.known[key] = {"stamp": now, "read": time.time_ns(), "sha256": io.sha256(path)}
        return str(self.known[key]["sha256"])

    def save(self) -> None:
        """Keep what was read for the next run."""
        if self.cache and self.read:
            io.write_cache(self.cache, self.known)
            self.read = 0
