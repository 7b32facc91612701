"""What is written beside results, and what to say when it cannot be."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from serpens.errors import EnvironmentFaultError
from serpens.layout import UNPACKED

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# Decimal, as disks are sold.
MB = 1_000_000


@contextmanager
def writing(path: Path, advice: str = "") -> Iterator[None]:
    """Say in words what keeps a file from being written.

    Raises
    ------
    EnvironmentFaultError
        If the disk is full, or nothing may be written there.
    """
    try:
        yield
    except OSError as err:
        if err.errno in FULL:
            why = f"no room is left ({err.strerror}): free some, then run again{advice}"
        elif err.errno in FORBIDDEN:
            why = f"this user may not write there ({err.strerror}): grant it, or run from another folder"
        else:
            raise
        raise EnvironmentFaultError(f"{path} cannot be written; {why}") from err


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder of this process for what is unpacked; it goes with the process, and those of dead ones go now."""
    with writing(UNPACKED):
        UNPACKED.mkdir(parents=True, exist_ok=True)
    host = os.uname().nodename
    for left in UNPACKED.glob(f"{host}-*"):
        if not Path(f"/proc/{left.name.split('-')[-2]}").exists() and Path("/proc").is_dir():
            shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(dir=UNPACKED, prefix=f"{host}-{os.getpid()}-") as folder:
        yield Path(folder)
