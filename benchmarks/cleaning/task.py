"""What every contender makes of the table, and what they share so that they make the same.

Files, in a folder: ``raw.parquet`` (every value as the text that stands there), ``clean.parquet`` (typed, without rows
that have no outcome, one row an id, in the order of the ids), the same rows dealt to ``train``, ``validation``,
``calibration`` and ``test.parquet``, the inputs of models for training and validation as float32 (numbers clipped
to the fences, filled with the median and scaled, categories one-hot, the day as a number), and ``account.json``.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.cleaning.table import LEVELS, NUMBERS
from numpy.typing import NDArray

PARTS = ("train", "validation", "calibration", "test")
WORDS = (*LEVELS, "note")
CATEGORIES = (*WORDS, "outcome")
COLUMNS = ("id", *NUMBERS, *LEVELS, "day", "note", "outcome")
# What stands for a missing value in any column, and what does in one of numbers or times.
MISSING = ("", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "?", "#N/A")
MISSING += ("#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN")
AMONG_VALUES = ("-", "--", ".", "na", "none", "nil", "unknown", "missing", "n.a.", "n.d.", "nd", "not available")
SENTINEL = "-9.99"
NO_NUMBER = (*MISSING, *AMONG_VALUES, SENTINEL)
BINS, SHOWN = 20, 12


def dealt(ids: Iterable[str]) -> NDArray[np.str_]:
    """Return the part of each row: by 53 bits of sha256, against fixed bounds."""
    digests = b"".join(hashlib.sha256(b"serpens" + id_.encode()).digest()[:8] for id_ in ids)
    share = (np.frombuffer(digests, ">u8") >> np.uint64(11)).astype(np.float64) / 2**53
    names = np.array(["test", "calibration", "validation", "train"])
    return names[np.searchsorted(np.cumsum([0.2, 0.1, 0.15]), share, side="right")]


def fences(low: float, high: float) -> tuple[float, float]:
    """Return where outliers begin, by the quartiles."""
    return low - 3 * (high - low), high + 3 * (high - low)


def features(learned: Mapping[str, Any]) -> list[str]:
    """Return the columns that become inputs, in their order: ``x2`` before ``x10``."""
    return sorted(
        learned, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
    )


def write_account(folder: Path, account: Mapping[str, Any], learned: Mapping[str, Any]) -> None:
    """Write what was found in the columns, and what was learned of them on training rows."""
    (folder / "account.json").write_text(json.dumps({"columns": account, "learned": learned}))
