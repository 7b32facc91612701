"""Who owns a lock, and whether that process still lives."""

import json
import os
import platform
from pathlib import Path
from typing import NamedTuple, Self


class Owner(NamedTuple):
    """A process: a number may be given out again, so its start is part of its name."""

    host: str
    pid: int
    started: float
    """When the process started; seconds since 1970."""

    @classmethod
    def me(cls) -> Self:
        """Return this process."""
        return cls(platform.node(), os.getpid(), _started(os.getpid()) or 0.0)

    @classmethod
    def parse(cls, text: str | bytes) -> Self | None:
        """Return the owner that :meth:`text` wrote; None if it is not whole."""
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError):
            return None

    def text(self) -> str:
        """Return what names the process in a lock file."""
        return json.dumps(self._asdict())

    def __str__(self) -> str:
        """Return the process as a person calls it."""
        return f"process {self.pid} on {self.host}"

    @property
    def dead(self) -> bool:
        """Whether the process is known to have ended; of another host's nobody knows."""
        if self.host != platform.node():
            return False
        started = _started(self.pid)
        return started is None or abs(started - self.started) > 1


def _started(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def occupy(file: Path) -> None:
    """Write down that this process runs the workflow in this folder."""
    from serpens import io

    io.write_text(file, Owner.me().text())


def release_dead(file: Path, locks: Path) -> str:
    """Remove the locks that a killed run left in a folder; return what was found, or nothing.

    Parameters
    ----------
    file
        What :func:`occupy` wrote last.
    locks
        Folder of Snakemake's lock files. Only those from before ``file`` are the killed run's.
    """
    held = list(locks.iterdir()) if locks.is_dir() else []
    if not held or not file.is_file():
        return ""
    owner = Owner.parse(file.read_bytes())
    if owner is None:
        return ""
    if not owner.dead:
        return f"Another run is at work in this folder ({owner}); wait until it ends, or stop it."
    since = file.stat().st_mtime_ns
    for lock in held:
        if lock.stat().st_mtime_ns <= since:
            lock.unlink(missing_ok=True)
    return f"The last run ({owner}) was killed; its locks are removed and its jobs taken up."
