"""What files hold, without reading again what has not changed.

A file whose size, times and inode are those of an earlier reading has the content of that reading. The time of the last
change of the inode (ctime) is among them, which no program can set: content that comes with an older modification time
(``cp -p``, ``rsync -t``, ``tar x``) is seen.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from serpens import io
from serpens.layout import CONTENT_CACHE

Fact = TypeVar("Fact")

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
    """What was found out about files, remembered by stamp.

    Parameters
    ----------
    cache
        File that keeps it between runs; None keeps nothing.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache
        self.known: dict[str, Any] = io.read_cache(cache) if cache else {}
        self.read = 0
        """Times that a file was read because what was asked was not known."""

    def sha256(self, path: io.PathLike) -> str:
        """Return the digest of a file's bytes.

        Raises
        ------
        OSError
            If the file cannot be read.
        """
        return self.fact(path, "sha256", io.sha256)

    def fact(self, path: io.PathLike, name: str, find: Callable[[io.PathLike], Fact]) -> Fact:
        """Return what ``find`` says of a file, from memory if the file has not changed; it must be plain JSON."""
        key, now = str(path), stamp(path)
        entry = self.known.get(key)
        if entry is None or entry["stamp"] != now or entry["read"] - now[2] <= RACY_NS:
            entry = self.known[key] = {"stamp": now, "read": time.time_ns(), "facts": {}}
        if name not in entry["facts"]:
            self.read += 1
            entry["facts"][name] = find(path)
        found: Fact = entry["facts"][name]
        return found

    def save(self) -> None:
        """Keep what was found for the next run."""
        if self.cache and self.read:
            io.write_cache(self.cache, self.known)
            self.read = 0


@cache
def remembered() -> Contents:
    """Return what is known of the files of the working directory; read once a process."""
    return Contents(CONTENT_CACHE)
