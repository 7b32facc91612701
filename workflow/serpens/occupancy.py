"""One run at a time in a folder; what a killed run left behind does not stop the next one.

Snakemake locks the files that it makes, but its locks outlive it when it is killed, and do not say whose they are. A
lock of ours beside them does (:mod:`serpens.locks`).
"""

from pathlib import Path

from serpens.locks import NAME, Lock, holder, look


def occupy(folder: Path) -> None:
    """Say that this process runs the workflow here, until it ends."""
    Lock(folder).try_acquire()


def release_dead(folder: Path, locks: Path) -> str:
    """Remove the locks of Snakemake that a killed run left; return what was found, or nothing.

    Parameters
    ----------
    folder
        Where :func:`occupy` was told.
    locks
        Folder of Snakemake's lock files. Only those from before the last sign of life are the killed run's.
    """
    held = list(locks.iterdir()) if locks.is_dir() else []
    seen = look(folder / NAME)
    if not held or seen is None:
        return ""
    if (other := holder(folder)) is not None:
        return f"Another run is at work in this folder ({other}); wait until it ends, or stop it."
    for lock in held:
        if lock.stat().st_mtime <= seen.beat:
            lock.unlink(missing_ok=True)
    return f"The last run ({seen.owner}) was killed; its locks are removed and its jobs taken up."
