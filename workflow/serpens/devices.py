"""Which GPUs this machine has, and which of them a job may use.

CUDA_VISIBLE_DEVICES, of the user or of a scheduler, says which a run may use; among these each of its jobs leases its
own, by locks that the kernel takes back when the process ends, however it ends. Several jobs within one allocation of a
scheduler are thus kept apart too.
"""

import fcntl
import logging
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from serpens.errors import EnvironmentFaultError

logger = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Where the locks lie: one place for all users and projects of a machine, and only of this one.
LEASES = Path("/tmp/serpens-gpus")
QUEUE = "queue"
# Seconds between two looks for a device that has become free.
POLL_SECONDS = 0.2
# Seconds that nvidia-smi may take: it wakes sleeping devices.
QUERY_SECONDS = 60
# What a Mac with Apple's processor has one of; it shares the memory of the machine.
APPLE = ("Darwin", "arm64")


class Gpu(NamedTuple):
    """A GPU as its driver shows it."""

    uuid: str
    name: str
    memory_mb: int


def gpus(environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """List the GPUs of this machine that the environment leaves to this process: NVIDIA's, or else Apple's one."""
    if (platform.system(), platform.machine()) == APPLE:
        return [Gpu("apple", "Apple's GPU", 0)]
    query = ["nvidia-smi", "--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        shown = subprocess.run(query, capture_output=True, text=True, timeout=QUERY_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # no driver, or no device that it knows
        return []
    present = []
    for line in shown.splitlines():
        uuid, name, memory = (part.strip() for part in line.split(","))
        present.append(Gpu(uuid, name, int(memory) if memory.isdigit() else 0))
    visible = environment.get(VISIBLE)
    if visible is None:
        return present
    words = [word.strip() for word in visible.split(",")]
    return [gpu for word in words if word for gpu in _meant(word, present)]


def _meant(word: str, present: list[Gpu]) -> list[Gpu]:
    """Return the GPU that CUDA takes a word for: a number, the beginning of a UUID, or a part of a GPU (MIG)."""
    if word.startswith("MIG-"):
        return [Gpu(word, "part of a GPU", 0)]
    return [gpu for number, gpu in enumerate(present) if word == str(number) or gpu.uuid.startswith(word)]


@contextmanager
def leased(n: int, folder: Path = LEASES) -> Iterator[list[str]]:
    """Hold ``n`` GPUs for a block, waiting until they are free, and let CUDA see these alone; yield their UUIDs.

    Who asks for several takes them at the head of a queue, one after the other, so that two who want two cannot each
    hold one and wait for the other. Where no GPU is known nothing is held, and nothing hidden from CUDA. To be called
    before CUDA is used.

    Raises
    ------
    EnvironmentFaultError
        If the machine has fewer than ``n``, but some.
    """
    present = [gpu.uuid for gpu in gpus()] if n else []
    if n and not present:
        yield []
        return
    if len(present) < n:
        msg = f"this job asks for {n} GPUs and may use {len(present)} here: set resources.gpu to {len(present)} or less"
        raise EnvironmentFaultError(msg)
    before = os.environ.get(VISIBLE)
    with ExitStack() as held:
        taken = _take(n, present, folder, held) if n else []
        os.environ[VISIBLE] = ",".join(taken)
        try:
            yield taken
        finally:
            del os.environ[VISIBLE]
            if before is not None:
                os.environ[VISIBLE] = before


def _take(n: int, present: list[str], folder: Path, held: ExitStack) -> list[str]:
    """Lock ``n`` of the devices until ``held`` is closed."""
    taken: list[str] = []
    with ExitStack() as queue:
        if not _lock(folder / QUEUE, queue, wait=False):
            logger.info("waiting for a GPU: other jobs wait too")
            _lock(folder / QUEUE, queue, wait=True)
        said = False
        while True:
            for uuid in present:
                if uuid not in taken and _lock(folder / uuid, held, wait=False):
                    taken.append(uuid)
                if len(taken) == n:
                    return taken
            if not said:
                logger.info("waiting for a GPU: other jobs use %s", ", ".join(set(present) - set(taken)))
                said = True
            time.sleep(POLL_SECONDS)


def _lock(path: Path, held: ExitStack, *, wait: bool) -> bool:
    """Lock a file until ``held`` is closed or the process ends; return whether it could be."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    held.callback(os.close, descriptor)
    return True


def _open(path: Path) -> int:
    """Open a lock file, which another user may have made: to lock it, reading is enough."""
    with suppress(FileExistsError):
        path.parent.mkdir()
        path.parent.chmod(0o1777)  # like /tmp: everybody makes files, and nobody removes another's
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        try:
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
