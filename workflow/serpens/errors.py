"""What Serpens raises.

    SerpensError
    ├── ConfigurationError    config.yaml is wrong: stops before any job
    ├── DataError             the data are wrong: stops the job that reads them
    ├── EnvironmentFaultError the machine lacks what Serpens needs
    ├── TrainingStoppedError  a signal stopped a training; its state is kept
    └── LockLostError         another process works on the same outputs now

A message says what must hold, what was found, where, and what to do about it.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SerpensError(Exception):
    """Base of every error that a user can mend."""


class ConfigurationError(SerpensError):
    """The configuration is wrong; raised before any job starts."""


class DataError(SerpensError):
    """The data contradict the study; raised by the job that reads them."""


class EnvironmentFaultError(SerpensError):
    """The machine lacks something: a version, a library, a device."""


class TrainingStoppedError(SerpensError):
    """A signal asked a training to stop; run again, and it goes on."""


class LockLostError(SerpensError):
    """Another process took over what this one worked on; outputs are not this one's to write or delete any more."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest allowed word, or an empty string."""
    folded = {name.casefold(): name for name in allowed}
    close = get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.6)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def listed(words: Iterable[str], limit: int = 30) -> str:
    """Join words for a message, ending in a count when there are more than ``limit``."""
    words = list(words)
    shown = ", ".join(words[:limit])
    return shown if len(words) <= limit else f"{shown}, … ({len(words)} in all)"
