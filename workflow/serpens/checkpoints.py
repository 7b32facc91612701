"""Checkpoints: what a training that was stopped goes on from.

    results/{study}/checkpoints/{model}/split-{k}-repeat-{r}/lock              who writes this training's outputs
    results/{study}/checkpoints/{model}/split-{k}-repeat-{r}/{key}/checkpoint-{step}

No rule declares them, so Snakemake deletes none of them. The key is made of everything that the training is made of:
a training with other data, code or settings never finds them. The lock belongs to the outputs, which all keys share.

A checkpoint is 32 bytes of sha256 and a safetensors file, written beside its place, forced to the disk and renamed.
The last two are kept. ``make checkpoints`` shows what trainings left behind.
"""

import errno
import hashlib
import json
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from serpens import locks
from serpens.errors import DataError, TrainingStoppedError
from serpens.layout import CHECKPOINTS
from serpens.usage import Amounts, together

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

PATTERN = "checkpoint-*"
KEPT = 2
DIGEST_BYTES = 32
# Of a job's key, in the name of its folder.
KEY_DIGITS = 16
# Saving may take this share of the time: a state that is slow to write is written less often than was asked.
MOST_SHARE = 0.02
# How long before the job's time limit its state is saved, beside three times what a save takes.
MARGIN_SECONDS = 60.0
# A run that waits for its turn says so more often than this; then the states stay when the owner ends.
AWAITED_SECONDS = 20.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SAVE_SIGNALS = (signal.SIGUSR1,)


@dataclass(frozen=True)
class State:
    """A training at one step.

    Attributes
    ----------
    step
        Steps that are done.
    tensors
        What is large; none shares memory with the training.
    facts
        The rest, as JSON.
    """

    step: int
    tensors: "dict[str, Tensor]"
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training, from its start until its outputs are written.

    Nothing is touched before :meth:`open`. As a context it gives back the lock and the signals' handlers at its end;
    it removes the checkpoints if the block succeeded, or failed for its data, which it would again; but not under the
    eyes of a second run of the same training, which waits and would have to start anew.

    Parameters
    ----------
    folder
        Belongs to the training's outputs; holds the lock, and a folder for each key.
    key
        Digest of all that the training is made of.
    every_seconds
        Time between two checkpoints; 0 saves after every step. It is stretched when a save takes more than 2 % of it.
    deadline
        When the job's time ends, by ``clock``: a checkpoint is made shortly before.
    spent
        What the job took so far beside its time, such as energy, to be carried into the next attempt.
    """

    def __init__(
        self,
        folder: str | Path,
        key: str,
        *,
        every_seconds: float = 60.0,
        deadline: float = math.inf,
        spent: Callable[[], Amounts] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock_folder = Path(folder)
        self.folder = self.lock_folder / key
        self.every_seconds = every_seconds
        self.clock = clock
        self._spent = spent
        self._deadline = deadline
        self._lock = locks.Lock(self.lock_folder)
        self._to_close = ExitStack()
        self._begun = self._next = math.inf
        self._slowest = 0.0
        self._earlier: Amounts = {}
        self._asked = False
        self._stop: signal.Signals | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        over = kind is None or issubclass(kind, DataError)
        if over and self._lock.held() and not self._is_awaited():
            self._remove()
        self._to_close.close()
        model, all_models = self.lock_folder.parents[:2]
        parents = (model, all_models) if all_models.name == CHECKPOINTS else ()
        _remove_empty(self.folder, self.lock_folder, *parents)

    def open(self) -> None:
        """Take the lock, waiting for whoever has it, and heed signals.

        Raises
        ------
        TrainingStoppedError
            If a signal asked to stop while the lock was another's.
        """
        self._to_close.enter_context(self._heeding_signals())
        self._lock.acquire(while_waiting=self._wait)
        self._to_close.callback(self._lock.release)
        for path in (*self.folder.glob(".*.part"), *locks.leftovers(self.lock_folder)):
            path.unlink(missing_ok=True)
        self._begun = self.clock()
        self._plan(self._begun)

    @property
    def _awaited(self) -> Path:
        return self.lock_folder / f"{locks.NAME}.{self.folder.name}.awaited"

    def _is_awaited(self) -> bool:
        try:
            return self._lock.now() - self._awaited.stat().st_mtime < AWAITED_SECONDS
        except FileNotFoundError:
            return False

    def open_if_free(self) -> bool:
        """Take the lock without waiting; return whether it is this process's now."""
        if self._lock.try_acquire() is not None:
            return False
        self._to_close.callback(self._lock.release)
        return True

    def latest(self) -> State | None:
        """Return the newest state that is intact, or None to start anew; remove what is damaged."""
        for path in sorted(self.folder.glob(PATTERN), reverse=True):
            try:
                state = read(path)
            except DamagedError as error:
                logger.warning("%s is damaged (%s): it is removed, and an earlier state used", path, error)
                path.unlink(missing_ok=True)
                continue
            self._earlier = state.facts.pop("spent")
            return state
        return None

    @property
    def earlier(self) -> Amounts:
        """What earlier attempts took, ``seconds`` among it, for work that this one did not have to do again."""
        return self._earlier

    def due(self) -> bool:
        """Return whether the state is to be saved now; asked after each step, so it costs next to nothing."""
        return self._asked or self.clock() >= self._next

    def save(self, state: State) -> None:
        """Save a state; a disk that refuses it is reported, and training goes on.

        Raises
        ------
        LockLostError
            If another process took over.
        TrainingStoppedError
            If a signal asked to stop.
        """
        self._lock.check()
        self._asked = False
        begun = self.clock()
        spent = together(self._earlier, {"seconds": begun - self._begun, **self._spent()})
        facts = state.facts | {"spent": spent}
        problem = self._write(State(state.step, state.tensors, facts))
        ended = self.clock()
        self._slowest = max(self._slowest, ended - begun)
        if ended >= self._deadline - self._margin:
            self._deadline = math.inf
        self._plan(ended)
        if self._stop is not None:
            kept = f"its state is kept in {self.folder}: run again, and it goes on from there"
            if problem:
                kept = f"its state could not be kept in {self.folder} ({problem}): {self._going_back()}"
            msg = f"{self._stop.name} stopped the training in epoch {facts['epoch']} after step {state.step}; {kept}"
            raise TrainingStoppedError(msg)

    def check(self) -> None:
        """Raise unless the training's outputs are still this process's to write.

        Raises
        ------
        LockLostError
            If another process took over.
        """
        self._lock.check()

    def discard(self, why: str) -> None:
        """Remove all states, so that the training starts anew."""
        logger.warning("the checkpoints in %s are removed, and training starts anew: %s", self.folder, why)
        self._remove()
        self._earlier = {}

    def _write(self, state: State) -> str:
        """Write a state and return what was in the way, if it could not be."""
        content = pack(state)
        path = self.folder / f"checkpoint-{state.step:012d}"
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync(self.folder)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            logger.warning(
                "a checkpoint needs %.1f MB in %s and could not be written: %s. Training goes on; "
                "if it is stopped, %s%s",
                len(content) / 1e6,
                self.folder,
                error.strerror,
                self._going_back(),
                ". Free some space there" if full else "",
            )
            return error.strerror or type(error).__name__
        for old in sorted(self.folder.glob(PATTERN))[:-KEPT]:
            old.unlink(missing_ok=True)
        return ""

    def _going_back(self) -> str:
        steps = [int(path.name.rpartition("-")[2]) for path in self.folder.glob(PATTERN)]
        return f"the next run goes on after step {max(steps)}" if steps else "the next run starts anew"

    def _plan(self, now: float) -> None:
        wait = max(self.every_seconds, self._slowest / MOST_SHARE) if self.every_seconds else 0.0
        self._next = min(now + wait, self._deadline - self._margin)

    @property
    def _margin(self) -> float:
        return MARGIN_SECONDS + 3 * self._slowest

    def _remove(self) -> None:
        for path in (*self.folder.glob(PATTERN), *self.folder.glob(".*.part")):
            path.unlink(missing_ok=True)

    @contextmanager
    def _heeding_signals(self) -> Iterator[None]:
        before = {each: signal.signal(each, self._heed) for each in (*STOP_SIGNALS, *SAVE_SIGNALS)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _heed(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if number in STOP_SIGNALS:
            self._stop = signal.Signals(number)

    def _wait(self) -> None:
        """Let the lock's owner know that another run of the same training wants to go on from its last state."""
        with suppress(FileNotFoundError):  # the owner has ended, and removed the folder
            self._awaited.touch()
        if self._stop is not None:
            msg = (
                f"{self._stop.name} stopped the training while it waited for {self._lock.path}; nothing was lost: "
                "run again"
            )
            raise TrainingStoppedError(msg)


class DamagedError(Exception):
    """A checkpoint is not what was written."""


def pack(state: State) -> bytes:
    """Return a state as the bytes of a checkpoint."""
    from safetensors.torch import save

    facts = json.dumps(state.facts | {"step": state.step})
    payload = save(state.tensors, metadata={"facts": facts})
    return hashlib.sha256(payload).digest() + payload


def read(path: Path) -> State:
    """Read a checkpoint.

    Raises
    ------
    DamagedError
        If it cannot be read, or its bytes are not those that were written.
    """
    try:
        return unpack(path.read_bytes())
    except OSError as error:
        raise DamagedError(error.strerror) from error


def unpack(content: bytes) -> State:
    """Return the state that became these bytes.

    Raises
    ------
    DamagedError
        If they are not those that it became.
    """
    from safetensors.torch import load

    digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise DamagedError(f"its {len(content)} bytes do not have the sha256 that they were written with")
    # safetensors: the length of the header, the header as JSON, the tensors
    length = int.from_bytes(payload[:8], "little")
    facts = json.loads(json.loads(payload[8 : 8 + length])["__metadata__"]["facts"])
    return State(facts.pop("step"), load(payload), facts)


def _sync(folder: Path) -> None:
    """Force a rename to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # not empty
            return
