"""What changed when a study was collected again: rows that came, went and changed, columns that drifted.

``collections/001``, ``002`` ... beside a study's results hold the last two collections: digests of their rows, and how
the values of each column were distributed. No rule declares the folder, because Snakemake deletes what a job declares
before it runs again. It holds no value of a column that is about people.
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from serpens import drift, io, rowdigests
from serpens.artefacts import Digest
from serpens.dataartefacts import Cleaning, Collected, CollectedColumn, Collection, ColumnDrift, DataChanges, Source
from serpens.drift import Sketch
from serpens.errors import DataError
from serpens.layout import StudyFolder

ROW, CONTENT = "row", "content"
# Numbers that distributions are told from, over all columns, and at how many points each is kept.
SAMPLED_CELLS, LEAST_SAMPLE = 4_000_000, 1000
KEPT_POINTS, MOST_POINTS, LEAST_POINTS = 200_000, 1000, 50
# A category with more levels than these is no category any more.
MOST_LEVELS = 10_000
SHOWN_LEVELS = 12

NamedBy = Literal["id", "time", "content"]


def named_by(study: Mapping[str, Any]) -> NamedBy:
    """Return what a row of a study is known by, from one collection or evaluation to the next."""
    if study["id"] is not None:
        return "id"
    return "time" if study["horizon"] else "content"


def keep(folder: StudyFolder, by: NamedBy) -> DataChanges:
    """Keep the present collection of a study, and return what changed since the one before.

    A collection that is kept already is kept anew: its rows may have been cleaned otherwise.

    Parameters
    ----------
    by
        What a row is known by.

    Raises
    ------
    DataError
        If a kept collection is lost in part, damaged or of another version of Serpens.
    """
    home = folder.root / "collections"
    for left_over in home.glob(".*.part"):
        shutil.rmtree(left_over)
    kept = sorted((path for path in home.glob("*") if path.name.isdecimal()), key=lambda path: int(path.name))
    now = _described(folder, by)
    number = int(kept[-1].name) if kept else 0
    if not kept or _read(kept[-1]).source != now.source:
        number += 1
    entry, before = home / f"{number:03d}", home / f"{number - 1:03d}"
    temporary = home / f".{entry.name}.{os.getpid()}.part"
    temporary.mkdir(parents=True)
    try:
        _write(temporary, now, folder.root / "data/clean.parquet")
        if entry.exists():
            shutil.rmtree(entry)
        temporary.rename(entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for path in kept:
        if path not in (entry, before):
            shutil.rmtree(path)
    return changes(before if before.exists() else None, entry)


def changes(before: Path | None, entry: Path) -> DataChanges:
    """Return what changed from one kept collection to the next."""
    now = _read(entry)
    if before is None:
        return DataChanges(then=None, now=_collected(now))
    then = _read(before)
    shared = [name for name, column in now.columns.items() if name in then.columns]
    same = [name for name in shared if then.columns[name].type == now.columns[name].type]
    untold = _why_not_followed(then, now)
    added = removed = changed = None
    n_shared = 0
    if untold is None:
        streams = (io.read_stream(each / "rows.parquet") for each in (before, entry))
        added, removed, changed = rowdigests.compare(*streams)
        n_shared = now.rows - added - changed
        if now.named_by.startswith("content"):
            changed, untold = (
                None,
                "without an id a row is known by what it holds: one that changed is removed and added",
            )
        elif len(same) < max(len(then.columns), len(now.columns)):
            changed, untold = None, "how many rows changed cannot be told, because the columns in use did"
    old, new = (_Values(each) for each in (before, entry))
    return DataChanges(
        then=_collected(then),
        now=_collected(now),
        added=added,
        removed=removed,
        changed=changed,
        untold=untold,
        columns_added=tuple(name for name in now.columns if name not in then.columns),
        columns_removed=tuple(name for name in then.columns if name not in now.columns),
        columns_retyped=tuple(name for name in shared if name not in same),
        drift=tuple(_drift(name, then, now, old, new, n_shared) for name in same),
    )


def _collected(collection: Collection) -> Collected:
    return Collected(**{name: getattr(collection, name) for name in Collected.model_fields})


def _why_not_followed(then: Collection, now: Collection) -> str | None:
    if then.named_by != now.named_by:
        return "rows are named by other columns now, so that none can be followed"
    if then.key != now.key:
        return "columns were hashed with another key, so that no row can be followed"
    if then.digests != now.digests:
        return "rows were digested by another version, so that none can be followed"
    return None


def _read(entry: Path) -> Collection:
    path = entry / "collection.json"
    if not (path.is_file() and all((entry / name).is_file() for name in ("rows.parquet", "values.parquet"))):
        msg = f"a kept collection must be whole; {entry} is not: restore it, or remove it and forget the one before"
        raise DataError(msg)
    try:
        return Collection.read(path)
    except ValidationError as err:
        msg = (
            f"a kept collection must be of a form that this version of Serpens reads; {path} is not "
            f"({err.error_count()} faults): remove {entry}"
        )
        raise DataError(msg) from err


# --- what is kept -----------------------------------------------------------------------------------------------------


def _described(folder: StudyFolder, by: NamedBy) -> Collection:
    source = Source.read(folder.root / "data/source.json")
    cleaning = Cleaning.read(folder.root / "data/cleaning.json")
    digest = Digest.read(folder.root / "data/digest.json")
    parts = [source.sha256, *([source.cohort.sha256] if source.cohort else [])]
    naming = [
        f"{column.name} {column.type}"
        for column in cleaning.columns
        # a row's content is that of all columns that were read, also of those that then told nothing
        if (column.type is not None if by == "content" else column.role == by)
    ]
    return Collection(
        source=hashlib.sha256(" ".join(parts).encode()).hexdigest(),
        time=source.time,
        bytes=source.bytes + (source.cohort.bytes if source.cohort else 0),
        rows_read=cleaning.rows.read,
        rows=cleaning.rows.kept,
        named_by=f"{by}: {', '.join(sorted(naming))}",
        key=cleaning.key,
        digests=rowdigests.scheme(),
        columns={
            column.name: CollectedColumn(
                role=column.role,
                type=digest.columns[column.name]["type"],
                missing=column.missing,
                mean=column.mean,
                personal=column.personal is not None,
            )
            for column in cleaning.columns
            if column.kept and column.role != "id"
        },
    )


def _write(entry: Path, described: Collection, table: Path) -> None:
    """Write a collection: one reading of its cleaned rows, in the memory of a few pieces."""
    told = {name: column.type for name, column in described.columns.items() if not column.personal}
    counted = _Counted(told, described.rows)
    scratch = entry / "scratch"
    scratch.mkdir()

    def pieces() -> Iterator[rowdigests.Pairs]:
        for batch in io.read_stream(table).batches():
            frame = batch.to_pandas()
            pairs = rowdigests.digested(frame, ROW, leave_out=[CONTENT])
            counted.add(frame, pairs["name"])
            yield pairs

    ordered = rowdigests.sort(pieces(), described.rows, scratch)
    io.write_stream(entry / "rows.parquet", ordered)
    values, steps = counted.table()
    io.write_table(entry / "values.parquet", values)
    shutil.rmtree(scratch)
    columns = {
        name: column.model_copy(update={"step": steps.get(name, 0.0)}) for name, column in described.columns.items()
    }
    described.model_copy(update={"columns": columns}).write(entry / "collection.json")


class _Counted:
    """How the values of columns are distributed: of categories all rows, of numbers a sample.

    The sample are the rows whose digests are smallest, so that the same rows are in it each time.
    """

    def __init__(self, types: Mapping[str, str], n_rows: int) -> None:
        self._types = types
        wanted = max(LEAST_SAMPLE, SAMPLED_CELLS // max(1, len(types)))
        self._limit = None if n_rows <= wanted else np.uint64(wanted / n_rows * 2.0**64)
        self._points = max(LEAST_POINTS, min(MOST_POINTS, KEPT_POINTS // max(1, len(types))))
        self._levels: dict[str, Counter[str]] = {name: Counter() for name, kind in types.items() if kind == "category"}
        self._numbers: dict[str, list[NDArray[np.float64]]] = {name: [] for name in types if name not in self._levels}

    def add(self, frame: pd.DataFrame, names: NDArray[np.uint64]) -> None:
        for name, levels in self._levels.items():
            if len(levels) <= MOST_LEVELS:
                counts = frame[name].value_counts()
                levels.update({str(level): int(n) for level, n in counts.items()})
        chosen = frame if self._limit is None else frame[names < self._limit]
        for name, numbers in self._numbers.items():
            numbers.append(_as_numbers(chosen[name]))

    def table(self) -> tuple[pd.DataFrame, dict[str, float]]:
        """Return the distributions, and of each column of numbers by how much it may be wrong.

        There is a row for each level with its count, and for each point with how many numbers are at most so large.
        """
        parts, steps = [], {}
        for name in self._types:
            if name in self._levels:
                levels = self._levels[name]
                # too many to compare: none is kept
                kept = sorted(levels.items()) if len(levels) <= MOST_LEVELS else []
                part: dict[str, Any] = {"level": [level for level, _ in kept], "count": [n for _, n in kept]}
            else:
                numbers = np.concatenate([*self._numbers[name], np.empty(0)])
                own = drift.sketch(numbers, self._points)
                steps[name] = 1 / self._points if len(own.values) < len(np.unique(numbers[~np.isnan(numbers)])) else 0.0
                part = {"value": own.values, "count": own.at_most}
            frame = pd.DataFrame(part).assign(column=name)
            parts.append(frame.reindex(columns=["column", "level", "value", "count"]))
        empty = pd.DataFrame({"column": [], "level": [], "value": [], "count": []})
        whole = pd.concat([part for part in parts if len(part)] or [empty], ignore_index=True)
        return whole.astype({"column": object, "level": object, "value": np.float64, "count": np.int64}), steps


def _as_numbers(values: "pd.Series[Any]") -> NDArray[np.float64]:
    """Return numbers, of a time its days since 1970; NaN for what is missing."""
    array = values.to_numpy()
    if array.dtype.kind == "M":
        days = (array - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
        return np.asarray(days, dtype=np.float64)
    return array.astype(np.float64)


# --- what moved -------------------------------------------------------------------------------------------------------


class _Values:
    """The distributions of a kept collection, by column."""

    def __init__(self, entry: Path) -> None:
        self._own = dict(iter(io.read_table(entry / "values.parquet").groupby("column", sort=False)))

    def levels(self, name: str) -> dict[str, int]:
        own = self._own.get(name)
        return {} if own is None else dict(zip(own["level"], own["count"].tolist(), strict=True))

    def sketch(self, name: str) -> Sketch:
        own = self._own.get(name)
        if own is None:
            return Sketch(np.empty(0), np.empty(0, dtype=np.int64))
        return Sketch(own["value"].to_numpy(), own["count"].to_numpy())


def _drift(name: str, then: Collection, now: Collection, old: _Values, new: _Values, n_shared: int) -> ColumnDrift:
    before, after = then.columns[name], now.columns[name]
    shared = (n_shared / max(1, then.rows), n_shared / max(1, now.rows))
    found: dict[str, Any] = {"measure": None, "distance": None, "by_chance": None}
    if after.type == "category":
        levels_then, levels_now = old.levels(name), new.levels(name)
        if levels_then and levels_now:
            gained, lost = _only_in(levels_now, levels_then), _only_in(levels_then, levels_now)
            found = {
                "measure": "total variation",
                "distance": drift.total_variation(levels_then, levels_now),
                "by_chance": drift.total_variation_by_chance(
                    drift.spread(sum(levels_then.values()), sum(levels_now.values()), *shared),
                    len({*levels_then, *levels_now}),
                ),
                "new_levels": dict(gained[:SHOWN_LEVELS]),
                "lost_levels": dict(lost[:SHOWN_LEVELS]),
                "n_new": len(gained),
                "n_lost": len(lost),
            }
    else:
        sketch_then, sketch_now = old.sketch(name), new.sketch(name)
        if sketch_then.n and sketch_now.n:
            found = {
                "measure": "Kolmogorov-Smirnov",
                "distance": drift.kolmogorov_smirnov(sketch_then, sketch_now),
                "by_chance": min(
                    1.0,
                    drift.kolmogorov_smirnov_by_chance(drift.spread(sketch_then.n, sketch_now.n, *shared))
                    + before.step
                    + after.step,
                ),
            }
    return ColumnDrift(
        name=name,
        role=after.role,
        type=after.type,
        missing_then=before.missing / max(1, then.rows),
        missing_now=after.missing / max(1, now.rows),
        mean_then=before.mean,
        mean_now=after.mean,
        **found,
    )


def _only_in(levels: Mapping[str, int], others: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(
        ((level, n) for level, n in levels.items() if level not in others), key=lambda each: (-each[1], each[0])
    )
