"""A lock that one process holds, on one machine or on a file system that machines share; its death frees it.

The file ``lock`` names its owner. On the owner's own machine the process table says whether it lives; elsewhere the
file's modification time does, which the owner renews every few seconds. Ages are differences of times that the file
system gave, so that clocks of machines may differ.

A process that was suspended for long can lose its lock to another machine without knowing: what must not be written
twice is preceded by :meth:`Lock.check`.
"""

import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Self

from serpens.errors import EnvironmentFaultError, LockLostError

logger = logging.getLogger(__name__)

NAME = "lock"
HEARTBEAT_SECONDS = 5.0
# Of an owner on another machine: after this time without a heartbeat it is taken for dead.
STALE_SECONDS = 60.0
# How often a waiting process looks, and how often it says so.
POLL_SECONDS = 0.5
SAY_SECONDS = 60.0


@dataclass(frozen=True)
class Owner:
    """A process that holds a lock.

    Attributes
    ----------
    place
        The boot of the machine and the process namespace: where ``pid`` has a meaning.
    started
        When the process started, in ticks since boot; a later process of the same ``pid`` has another. Empty where
        the system does not say.
    token
        This lock of this process, and no other.
    """

    host: str
    place: str
    pid: int
    started: str
    token: str

    @classmethod
    def this_process(cls) -> Self:
        """Return this process as the owner of a new lock."""
        pid = os.getpid()
        return cls(platform.node(), _place(), pid, _started(pid) or "", uuid.uuid4().hex)

    @property
    def is_here(self) -> bool:
        """Whether this machine's process table knows the owner."""
        return (self.host, self.place) == (platform.node(), _place())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Seen(NamedTuple):
    """A lock as it was found: its owner, and when it last gave a sign of life, by the file system's clock."""

    owner: Owner
    beat: float


class Lock:
    """The lock of a folder.

    Parameters
    ----------
    folder
        Where the file ``lock`` lies; made when the lock is taken.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.owner = Owner.this_process()
        self._released = threading.Event()

    def acquire(self, while_waiting: Callable[[], None]) -> None:
        """Wait until the lock is free, take it, and keep it alive.

        Parameters
        ----------
        while_waiting
            Called now and then; what it raises ends the wait.
        """
        said = -SAY_SECONDS
        begun = time.monotonic()
        while (other := self.try_acquire()) is not None:
            if time.monotonic() - begun >= said + SAY_SECONDS:
                said = time.monotonic() - begun
                logger.info(
                    "waiting for %s, which works on the same outputs; stop it if it is not wanted (%s)",
                    other,
                    self.path,
                )
            while_waiting()
            time.sleep(POLL_SECONDS)

    def try_acquire(self) -> Owner | None:
        """Take the lock if it is free.

        Returns
        -------
        other
            The living process that holds it, or None when this one does now.
        """
        seen = look(self.path)
        if seen is not None:
            if self._lives(seen):
                return seen.owner
            self._bury(seen)
        if self._claim(self.path):
            threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
            return None
        return seen.owner if (seen := look(self.path)) else self.try_acquire()

    def held(self) -> bool:
        """Return whether this process holds the lock."""
        seen = look(self.path)
        return seen is not None and seen.owner.token == self.owner.token

    def check(self) -> None:
        """Raise unless this process holds the lock.

        Raises
        ------
        LockLostError
            If another process took the lock, or somebody removed it.
        """
        seen = look(self.path)
        if seen is None or seen.owner.token != self.owner.token:
            lost = "it was removed"
            if seen is not None:
                lost = f"{seen.owner} took it, when this one had not been heard of for {STALE_SECONDS:g} s"
            msg = (
                f"the lock {self.path} must stay with the process that works on these outputs, {self.owner}; {lost}. "
                "This process stops and changes nothing more; run again"
            )
            raise LockLostError(msg)

    def release(self) -> None:
        """Give the lock back, if this process still has it."""
        self._released.set()
        if self.held():
            self.path.unlink(missing_ok=True)

    def _lives(self, seen: Seen) -> bool:
        owner = seen.owner
        started = _started(owner.pid) if owner.is_here else ""
        if started is None:
            return False
        if started and owner.started:
            return started == owner.started
        try:
            return self.now() - seen.beat < STALE_SECONDS
        except FileNotFoundError:  # the owner has ended, and removed the folder
            return False

    def now(self) -> float:
        """Return the time by the clock that the file system stamps files with."""
        probe = self.path.with_name(f"{NAME}.{self.owner.token}.now")
        try:
            probe.touch()
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _claim(self, path: Path) -> bool:
        """Make a file that names this process unless the file is there; it is never seen half-written."""
        own = self._write_own()
        try:
            os.link(own, path)
        except FileExistsError:
            return False
        except FileNotFoundError:  # the last owner removed the folder between two lines
            return self._claim(path)
        except OSError:  # a file system without links: for a moment the file is empty, and its owner unknown
            return self._claim_without_links(path)
        finally:
            own.unlink(missing_ok=True)
        return True

    def _claim_without_links(self, path: Path) -> bool:
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(json.dumps(asdict(self.owner)))
        except FileExistsError:
            return False
        return True

    def _write_own(self) -> Path:
        own = self.path.with_name(f"{NAME}.{self.owner.token}")
        while True:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                own.write_text(json.dumps(asdict(self.owner)), encoding="utf-8")
            except FileNotFoundError:  # the last owner removed the folder between two lines
                continue
            except OSError as err:
                with suppress(OSError):
                    own.unlink(missing_ok=True)
                where = self.path.parent
                msg = f"a lock must be written in {where} ({err.strerror}): make it writable, or free some space"
                raise EnvironmentFaultError(msg) from err
            return own

    def _bury(self, dead: Seen) -> None:
        """Remove a dead owner's lock; of several who saw it dead, one may, or the last would remove a living one's.

        The right to do so is an empty file: it takes no space, where the dead owner may have filled the disk.
        """
        right = self.path.with_name(f"{NAME}.{dead.owner.token}.dead")
        try:
            right.touch(exist_ok=False)
        except FileNotFoundError:  # with its folder: all is gone
            return
        except FileExistsError:
            with suppress(FileNotFoundError):
                if self.now() - right.stat().st_mtime > STALE_SECONDS:  # who had the right died before it was used
                    right.unlink()
            return
        seen = look(self.path)
        if seen is not None and seen.owner.token == dead.owner.token:
            self.path.unlink(missing_ok=True)
            logger.info("%s is dead: its lock is free", dead.owner)
        right.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            # a file system that is away for a moment comes back
            with suppress(OSError):
                if not self.held():
                    return
                os.utime(self.path)


def holder(folder: Path) -> Owner | None:
    """Return the living process that holds a folder's lock, if there is one."""
    lock = Lock(folder)
    seen = look(lock.path)
    return seen.owner if seen is not None and lock._lives(seen) else None


def leftovers(folder: Path) -> list[Path]:
    """List what processes left that died while they looked at a lock."""
    return list(folder.glob(f"{NAME}.*"))


def look(path: Path) -> Seen | None:
    """Read a lock file; None when there is none.

    The file is opened, not only stat'ed: on NFS this alone asks the server for its present time.
    """
    try:
        with path.open(encoding="utf-8") as file:
            beat = os.fstat(file.fileno()).st_mtime
            text = file.read()
    except FileNotFoundError:
        return None
    try:
        return Seen(Owner(**json.loads(text)), beat)
    except (ValueError, TypeError):
        # written this moment, or by a process that died while it wrote: its time tells
        return Seen(Owner("an unknown machine", "", 0, "", ""), beat)


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux: the machine's name must do
        return ""


def _started(pid: int) -> str | None:
    """Return when a process of this machine started, an empty text if that is not told, None if there is none."""
    try:
        # after the name, which stands in brackets and may hold anything: state, ..., start time
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
