"""Every evaluation that was shown is kept, with all that a later one must know to say what changed since.

``history/001``, ``002`` ... beside a study's results. No rule declares the folder, because Snakemake deletes what a job
declares before it runs again: what is here outlives the jobs, as a lab notebook does.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import ValidationError

from serpens import io
from serpens.artefacts import Digest, Evaluation, MadeFrom, Record, ResolvedStudy
from serpens.artefacttypes import Artefact
from serpens.errors import DataError
from serpens.identity import row_digests
from serpens.layout import Run, StudyFolder
from serpens.pieces import Columns

ROW, CONTENT = "row", "content"

T = TypeVar("T", bound=Artefact)


@dataclass(frozen=True)
class Entry:
    """A kept evaluation; each part is read when it is asked for.

    Raises
    ------
    DataError
        If a part is lost, damaged or of another version of Serpens.
    """

    folder: Path

    @property
    def name(self) -> str:
        """Its number, in three digits or more."""
        return self.folder.name

    @cached_property
    def evaluation(self) -> Evaluation:
        """The evaluation as it was."""
        return self._read(Evaluation, "evaluation.json")

    @cached_property
    def made_from(self) -> MadeFrom:
        """Data, code and libraries."""
        return self._read(MadeFrom, "made_from.json")

    @cached_property
    def study(self) -> dict[str, Any]:
        """The resolved study: plain, so that one of an older version can still be compared."""
        study: dict[str, Any] = io.read_json(self._there("study.json"))
        return study

    @cached_property
    def time(self) -> str:
        """When the evaluation was made; ISO 8601, UTC."""
        return str(io.read_json(self._there("record.json"))["start"])

    @cached_property
    def rows(self) -> Columns:
        """Every cleaned row: ``row``, ``content``, and ``group`` or ``time`` where the claim is about them."""
        return io.read_columns(self._there("rows.parquet"))

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Every prediction of every training for its test rows, with ``model``, ``split`` and ``repeat``."""
        return io.read_table(self._there("predictions.parquet"))

    def _there(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            msg = f"a kept evaluation must be whole; {path} is missing: restore it, or remove {self.folder}"
            raise DataError(msg)
        return path

    def _read(self, model: type[T], name: str) -> T:
        path = self._there(name)
        try:
            return model.read(path)
        except ValidationError as err:
            msg = (
                f"a kept evaluation must be of a form that this version of Serpens reads; {path} is not "
                f"({err.error_count()} faults): remove {self.folder}"
            )
            raise DataError(msg) from err


def entries(folder: StudyFolder) -> list[Entry]:
    """Return the kept evaluations of a study, the oldest first."""
    kept = [path for path in (folder.root / "history").glob("*") if path.name.isdecimal()]
    return [Entry(path) for path in sorted(kept, key=lambda path: int(path.name))]


def archive(
    folder: StudyFolder,
    study: ResolvedStudy,
    given: Mapping[str, Any],
    records: Mapping[str, Record],
    runs: Sequence[Run],
) -> Entry:
    """Keep the evaluation of a study, unless it is the one that was kept last; return its entry.

    The entry appears under its name only when it is whole.

    Parameters
    ----------
    given
        The study before anything was inferred from its data.
    """
    kept = entries(folder)
    resolved = study.model_dump(mode="json")
    inferred = [name for name, value in resolved.items() if name not in given or given[name] != value]
    made_from = made(Digest.read(folder.root / "data/digest.json"), records.values(), inferred)
    if kept and _same(kept[-1], folder.root / "evaluation.json", made_from):
        return kept[-1]
    home = folder.root / "history"
    for left_over in home.glob(".*.part"):
        shutil.rmtree(left_over)
    number = int(kept[-1].name) + 1 if kept else 1
    entry = home / f"{number:03d}"
    temporary = home / f".{entry.name}.{os.getpid()}.part"
    temporary.mkdir(parents=True)
    shutil.copyfile(folder.root / "evaluation.json", temporary / "evaluation.json")
    shutil.copyfile(folder.record("evaluate"), temporary / "record.json")
    study.write(temporary / "study.json")
    made_from.write(temporary / "made_from.json")
    io.write_table(temporary / "rows.parquet", _rows(folder, study))
    io.write_table(temporary / "predictions.parquet", _predictions(folder, runs))
    temporary.rename(entry)
    return Entry(entry)


def made(digest: Digest, records: Iterable[Record], inferred: Iterable[str]) -> MadeFrom:
    """Return what an evaluation was made from: all that any of its jobs ran."""
    code: dict[str, set[str]] = {}
    libraries: dict[str, set[str]] = {}
    for record in records:
        for union, own in ((code, record.code.definitions), (libraries, record.libraries)):
            for name, value in own.items():
                union.setdefault(name, set()).add(value)
    return MadeFrom(data=digest.sha256, code=_joined(code), libraries=_joined(libraries), inferred=tuple(inferred))


def _joined(union: Mapping[str, set[str]]) -> dict[str, str]:
    # machines of one cluster may differ in a version: both are told
    return {name: ", ".join(sorted(values)) for name, values in sorted(union.items())}


def _same(entry: Entry, evaluation: Path, made_from: MadeFrom) -> bool:
    kept = entry.folder / "evaluation.json"
    return (
        kept.is_file()
        and kept.read_bytes() == evaluation.read_bytes()
        and (entry.folder / "made_from.json").is_file()
        and entry.made_from.data == made_from.data
    )


def _rows(folder: StudyFolder, study: ResolvedStudy) -> pd.DataFrame:
    """Return what each cleaned row is called, what it holds, and the group or time that the claim puts it in."""
    table = io.read_table(folder.root / "data/clean.parquet")
    # the column of that name in the cleaned table is the id where there is one, whatever else the row holds
    held = pa.Table.from_pandas(table.drop(columns=[ROW, CONTENT]), preserve_index=False)
    rows = table[[ROW]].assign(content=row_digests(held).to_numpy(zero_copy_only=False))
    claim = study.test_on
    for role, column in (("group", claim.new), ("time", claim.after)):
        if column is not None and not study.horizon:
            rows[role] = table[column]
    return rows


def _predictions(folder: StudyFolder, runs: Sequence[Run]) -> pd.DataFrame:
    """Return the predictions of all trainings as one table.

    Every repeat is kept, not their mean alone: a score is the mean over repeats, and of how many may change.
    """
    parts = []
    for run in runs:
        own = io.read_table(folder.predictions(run))
        parts.append(own.assign(model=run.model, split=np.int64(run.split), repeat=np.int64(run.repeat)))
    return pd.concat(parts, ignore_index=True)
