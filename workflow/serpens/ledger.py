"""The ledger of a study's test rows: every reading of them, and why, each line chained to the one before.

``ledger.jsonl`` beside a study's results. No rule declares it, so nothing deletes it; the evaluation, which alone reads
test rows, signs before it does. A line holds the sha256 of the line before, so that none can be changed or taken out of
the middle unseen. (Who removes the whole file, or its end, is seen only by whoever has a copy of its last line.)
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from serpens import io, provenance
from serpens.artefacttypes import Entry
from serpens.errors import DataError, listed
from serpens.layout import StudyFolder
from serpens.splits import PARTS

FILE = "ledger.jsonl"
TEST = PARTS[-1]
MODEL_FILES = ("weights.safetensors", "model.json")
# What stands before the first line.
NOTHING = "0" * 64


class Reading(Entry):
    """One reading of the test rows."""

    number: int
    """1 for the first."""
    time: str
    """When; ISO 8601, UTC."""
    reason: str
    """What had changed since the reading before."""
    rows: str
    """sha256 of the test rows of all splits."""
    models: str
    """sha256 of all trained models."""
    settings: str
    """sha256 of the evaluation's settings."""
    key: str
    """sha256 of everything that the evaluation is made from: these, its code and its libraries."""
    before: str
    """sha256 of the line before; zeros in the first."""


@dataclass(frozen=True)
class Use:
    """How often the present test rows were used.

    Attributes
    ----------
    readings
        All of them, those of earlier rows too.
    of_these
        Readings of the rows that are tested now.
    choices
        How many different models or settings were tested on these rows: after each but the last, somebody could have
        looked at the scores and changed something.
    """

    readings: tuple[Reading, ...]
    of_these: int
    choices: int


def path_of(folder: StudyFolder) -> Path:
    """Return where the ledger of a study lies."""
    return folder.root / FILE


def sign(folder: StudyFolder, settings: Mapping[str, Any], inputs: Mapping[str, str], key: str) -> Reading:
    """Write down that the test rows are about to be read.

    Parameters
    ----------
    inputs
        sha256 of each file that the evaluation reads, by path.
    key
        sha256 of what the evaluation is made from.

    Raises
    ------
    DataError
        If a line was changed or taken out.
    """
    path = path_of(folder)
    lines = _lines(path)
    kept = _checked(path, lines)
    rows, models = (
        _digest({_below(folder, file): sha256 for file, sha256 in inputs.items() if is_meant(Path(file))})
        for is_meant in (lambda file: file.name == f"{TEST}.parquet", lambda file: file.name in MODEL_FILES)
    )
    now = {"rows": rows, "models": models, "settings": _digest(dict(settings)), "key": key}
    reading = Reading(
        number=len(kept) + 1,
        time=provenance.now(),
        reason=_reason(kept[-1] if kept else None, now),
        before=_sha256(lines[-1]) if lines else NOTHING,
        **now,
    )
    io.sweep(path)
    io.write_text(path, "".join(f"{line}\n" for line in [*lines, json.dumps(reading.model_dump())]))
    return reading


def read(folder: StudyFolder) -> Use:
    """Return how the test rows of a study were used; nothing of a study that was evaluated before there were ledgers.

    Raises
    ------
    DataError
        If a line was changed or taken out.
    """
    path = path_of(folder)
    readings = tuple(_checked(path, _lines(path)))
    these = [reading for reading in readings if reading.rows == readings[-1].rows]
    return Use(readings, len(these), len({(reading.models, reading.settings) for reading in these}))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _checked(path: Path, lines: list[str]) -> list[Reading]:
    """Return the readings of a ledger whose lines follow from each other."""
    found = []
    before = NOTHING
    for number, line in enumerate(lines, start=1):
        try:
            reading = Reading.model_validate_json(line)
        except ValidationError:
            reading = None
        if reading is None or (reading.before, reading.number) != (before, number):
            msg = (
                f"{path}: the ledger of the test rows must be as it was written; line {number} does not follow from "
                "the one before: restore the file, or remove it and say so wherever you report these results"
            )
            raise DataError(msg)
        found.append(reading)
        before = _sha256(line)
    return found


def _reason(last: Reading | None, now: Mapping[str, str]) -> str:
    if last is None:
        return "first reading"
    changed = list(_changed(last, now))
    if changed:
        return f"changed: {listed(changed)}"
    return "nothing had changed: the results were lost, or the reading before did not end"


def _changed(last: Reading, now: Mapping[str, str]) -> Iterator[str]:
    names = {"rows": "the test rows", "models": "the models", "settings": "the settings of the evaluation"}
    found = [word for name, word in names.items() if getattr(last, name) != now[name]]
    yield from found
    if not found and last.key != now["key"]:
        yield "the code of the evaluation, or its libraries"


def _below(folder: StudyFolder, file: str) -> str:
    """Return a path from the study's folder on, so that results may be moved."""
    path = Path(file)
    return path.relative_to(folder.root).as_posix() if path.is_relative_to(folder.root) else path.name


def _digest(content: Mapping[str, Any]) -> str:
    return _sha256(json.dumps(content, sort_keys=True))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
