"""The processes that a training starts to help it: they end when it does, and it fails when one of them ends early.

Their standard input is a pipe that this process holds open. It closes at the end of the training and at the death of
this process, whatever killed it, which is how they know: nothing lives on that nobody waits for.
"""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, NamedTuple, NoReturn, Self

from serpens import errors
from serpens.errors import EnvironmentFaultError, SerpensError, TrainingStoppedError

logger = logging.getLogger(__name__)

# How long this process may be busy after a companion has ended early, before it is ended without ceremony.
GRACE_SECONDS = 60.0
# Within this time after a failure here it shows whether a companion's end was the cause.
BLAME_SECONDS = 5.0
END_SECONDS = 10.0
POLL_SECONDS = 0.02


class Failure(NamedTuple):
    """What a companion says it failed for."""

    kind: str
    message: str
    trace: str

    @property
    def is_echo(self) -> bool:
        """Whether it only found that another one had gone."""
        return bool(re.search("[Cc]onnection|peer|remote process", self.message))


class Lost(NamedTuple):
    """The end of a process that started some of the companions, or is one, before its time."""

    numbers: range
    text: str


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
        self.lost: list[Lost] = []
        self._over = threading.Event()
        self._watched: list[tuple[subprocess.Popen[str], threading.Thread]] = []

    def start(self, command: Sequence[str], numbers: range, environment: Mapping[str, str] = os.environ) -> None:
        """Start a process, which is or starts the companions of these numbers.

        It has a session of its own: what a terminal signals is for this one to heed.
        """
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            text=True,
            start_new_session=True,
        )
        thread = threading.Thread(target=self._watch, args=(process, numbers), daemon=True)
        thread.start()
        self._watched.append((process, thread))

    def wait_until(self, all_here: Callable[[], bool], seconds: float) -> None:
        """Wait until all have come.

        Raises
        ------
        ChildProcessError
            If one of them ended instead.
        EnvironmentFaultError
            If they do not come.
        """
        end = time.monotonic() + seconds
        while not all_here():
            if self.lost:
                raise ChildProcessError(self.lost[0].text)
            if time.monotonic() > end:
                msg = (
                    f"the {self.size} processes of a training must find each other within {seconds:.0f} s, and did "
                    "not: nodes must reach each other by their host names on any port, and have cores and memory for "
                    "all"
                )
                raise EnvironmentFaultError(msg)
            time.sleep(POLL_SECONDS)

    def blame(self, error: Exception) -> NoReturn:
        """Raise what a companion failed for, or the error if it was not theirs."""
        end = time.monotonic() + BLAME_SECONDS
        while time.monotonic() < end:
            told = {number: failure for number, failure in self.told().items() if not failure.is_echo}
            for number, failure in told.items():
                kind = getattr(errors, failure.kind, None)
                if isinstance(kind, type) and issubclass(kind, SerpensError):
                    raise kind(failure.message) from error
                msg = f"process {number + 1} of {self.size} failed:\n{failure.trace}"
                raise RuntimeError(msg) from error
            if self._silent():
                break
            time.sleep(POLL_SECONDS)
        if not self.lost:
            raise error
        if isinstance(error, ChildProcessError):
            msg = f"{self.lost[0].text} before the training began: the lines of the log above this one say why"
            raise EnvironmentFaultError(msg) from error
        for number, failure in self.told().items():
            logger.info("process %d of %d: %s: %s", number + 1, self.size, failure.kind, failure.message)
        raise TrainingStoppedError(self._stopped()) from error

    def _silent(self) -> list[Lost]:
        """Return who ended without a word, and so was killed."""
        told = self.told()
        return [lost for lost in self.lost if set(lost.numbers) - told.keys()]

    def _stopped(self) -> str:
        lost = (self._silent() or self.lost)[0]
        return f"{lost.text}, and all ended with it: run again, and the training goes on from its last checkpoint"

    def _name(self, numbers: range) -> str:
        if len(numbers) == 1:
            return f"process {numbers[0] + 1} of {self.size}"
        return f"one of processes {numbers[0] + 1} to {numbers[-1] + 1} of {self.size}"

    def _watch(self, process: "subprocess.Popen[str]", numbers: range) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            logger.warning("%s: %s", self._name(numbers), line.rstrip())
        code = process.wait()
        if self._over.is_set():
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        self.lost.append(Lost(numbers, f"{self._name(numbers)} of this training {how}"))
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
