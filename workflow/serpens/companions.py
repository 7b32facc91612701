"""The processes that a training starts to help it: they end when it does, and it fails when one of them ends early.

Their standard input is a pipe that this process holds open. It closes at the end of the training and at the death of
this process, whatever killed it, which is how they know: nothing lives on that nobody waits for.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, NamedTuple, NoReturn, Self

from serpens import errors
from serpens.errors import SerpensError, TrainingStoppedError

logger = logging.getLogger(__name__)

# How long this process may be busy after a companion has ended early, before it is ended without ceremony.
GRACE_SECONDS = 60.0
# Within this time after a failure here it shows whether a companion's end was the cause.
BLAME_SECONDS = 5.0
# Within this time after the first companion has failed, those have that failed for the same reason or for its end.
SETTLING_SECONDS = 0.5
END_SECONDS = 10.0
POLL_SECONDS = 0.02


class Failure(NamedTuple):
    """What a companion says it failed for."""

    kind: str
    message: str
    trace: str


class Companions:
    """Processes that are started, watched and ended.

    Parameters
    ----------
    size
        How many work together, with this one.
    told
        Returns what companions said that they failed for, by their number.
    """

    def __init__(self, size: int, told: Callable[[], dict[int, Failure]]) -> None:
        self.size, self.told = size, told
        self.lost: list[str] = []
        self.killed = False
        self._over = threading.Event()
        self._watched: list[tuple[subprocess.Popen[str], threading.Thread]] = []

    def start(self, command: Sequence[str], name: str) -> None:
        """Start a process, in a session of its own: what a terminal signals is for this one to heed."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            text=True,
            start_new_session=True,
        )
        thread = threading.Thread(target=self._watch, args=(process, name), daemon=True)
        thread.start()
        self._watched.append((process, thread))

    def wait_until(self, all_here: Callable[[], bool], seconds: float) -> None:
        """Wait until all have come.

        Raises
        ------
        ChildProcessError
            If one of them ended instead.
        TimeoutError
            If they do not come.
        """
        end = time.monotonic() + seconds
        while not all_here():
            if self.lost:
                raise ChildProcessError(self.lost[0])
            if time.monotonic() > end:
                msg = f"the {self.size} processes of a training must find each other within {seconds:.0f} s"
                raise TimeoutError(msg)
            time.sleep(POLL_SECONDS)

    def blame(self, error: Exception) -> NoReturn:
        """Raise what a companion failed for, or the error if it was not theirs."""
        end = time.monotonic() + BLAME_SECONDS
        while not self.lost and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        if not self.lost:
            raise error
        time.sleep(SETTLING_SECONDS)
        told = self.told()
        for failure in told.values():
            kind = getattr(errors, failure.kind, None)
            if isinstance(kind, type) and issubclass(kind, SerpensError):
                raise kind(failure.message) from error
        if self.killed or not told:
            raise TrainingStoppedError(self._stopped()) from error
        number, failure = next(iter(told.items()))
        msg = f"process {number + 1} of {self.size} failed:\n{failure.trace}"
        raise RuntimeError(msg) from error

    def _stopped(self) -> str:
        return f"{self.lost[0]}, and all ended with it: run again, and the training goes on from its last checkpoint"

    def _watch(self, process: "subprocess.Popen[str]", name: str) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            logger.warning("%s: %s", name, line.rstrip())
        code = process.wait()
        if self._over.is_set():
            return
        self.killed |= code < 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        self.lost.append(f"{name} of this training {how}")
        # who waits for a process that is gone on a GPU does not learn of it
        if not self._over.wait(GRACE_SECONDS):
            logger.error("TrainingStoppedError: %s", self._stopped())
            sys.stderr.write(f"TrainingStoppedError: {self._stopped()}\n")
            os._exit(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for process, _ in self._watched:
            _close(process.stdin)
        for process, thread in self._watched:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            thread.join()
            _close(process.stderr)


def _close(pipe: IO[str] | None) -> None:
    assert pipe is not None
    with suppress(BrokenPipeError):
        pipe.close()
