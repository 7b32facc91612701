"""Cleaning: what every row and column is, which are kept, and an account of all of them.

The same rows in another order, or columns in another order, give the same cleaned table.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from serpens.artefacts import Cleaning, ColumnAccount, Histogram, RowAccount
from serpens.calendar import regular
from serpens.columns import Parsed, number_as_text, parse, time_as_text
from serpens.config import Task
from serpens.configtypes import choice
from serpens.errors import DataError, listed
from serpens.sources.cohorts import COHORT

# A target of numbers with more distinct values than this is a value, not a class.
MAX_CLASSES = 20
# A category that differs in nearly every one of many rows says which row it is, not what it is like.
IDENTIFIER_SHARE, IDENTIFIER_ROWS = 0.95, 50
HISTOGRAM_BINS, SHOWN_LEVELS = 20, 12
FEATURE = "feature"
# Columns that cleaning adds.
OURS = ("row", "content")
# Stands for a missing value of any type, so that a row's text does not depend on the type of the column.
NOTHING = "\x00"


@dataclass(frozen=True)
class Cleaned:
    """A cleaned table.

    Attributes
    ----------
    frame
        ``row`` (what the row is called), ``content`` (equal for exact duplicates), and the columns in use: numbers
        float64, times datetime64, categories text with None.
    task, classes
        What is predicted; with two classes the positive one is last. No classes for numbers.
    account
        Every row and column: read = kept + dropped.
    """

    frame: pd.DataFrame
    task: Task
    classes: tuple[str, ...]
    account: Cleaning


def clean(
    table: pd.DataFrame,
    *,
    target: str,
    task: Task | None = None,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
    id: str | None = None,
    group: str | None = None,
    time: str | None = None,
    weight: str | None = None,
    split_column: str | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    image_columns: Sequence[str] | None = None,
    positive_class: str | None = None,
    horizon: int | None = None,
) -> Cleaned:
    """Clean a table.

    Parameters
    ----------
    columns
        What is declared of columns: ``type``, ``min``, ``max``, ``format``, ``missing``.
    id, group, time, weight, split_column
        Columns with a role of their own; none of them is ever a feature.
    features, drop, image_columns
        Patterns such as ``gene_*``: which columns may be used, which not, which are pixels.
    horizon
        Given for a forecast, which uses other columns only when ``features`` names them.

    Raises
    ------
    DataError
        If a column is missing, a value is not what it must be, or rows of one id or time differ.
    """
    roles = {target: "target"} | {
        name: role
        for name, role in ((id, "id"), (group, "group"), (time, "time"), (weight, "weight"), (split_column, "split"))
        if name is not None
    }
    for name, role in roles.items():
        if name not in table.columns:
            there = [column for column in table.columns if column != COHORT]
            msg = f"the {role} column {name!r} must be among the columns; it is not{choice(name, there, 'there are')}"
            raise DataError(msg)
    declared = columns or {}
    table = table.set_axis(pd.RangeIndex(1, len(table) + 1))
    allowed = features if features is not None else ([] if horizon else image_columns)
    reasons = {name: reason for name in table.columns if name not in roles and (reason := _unused(name, allowed, drop))}
    parsed = {
        name: _parse(name, table[name], roles.get(name), declared.get(name, {}))
        for name in table.columns
        if name not in reasons and name != COHORT
    }
    if taken := [name for name in OURS if name in parsed]:
        msg = f"a column in use may not be called {taken[0]!r}, which Serpens adds: rename it, or name it in drop"
        raise DataError(msg)
    frame = pd.DataFrame({name: column.values for name, column in parsed.items()}, index=table.index)
    if COHORT in table:
        frame[COHORT] = table[COHORT].astype(bool)
    account = _RowCount(read=len(table))
    frame = _with_roles(
        frame, target, group=group, time=time, weight=weight, split=split_column, horizon=horizon, account=account
    )
    if id is not None:
        frame = _one_row_an_id(frame, id, account)
    if parsed[target].type == "time":
        msg = f"the target must hold numbers or classes; column {target!r} holds times: make numbers of them"
        raise DataError(msg)
    task = task or _task(frame[target], parsed[target], horizon)
    if task == "classification":
        frame[target] = _class_names(frame[target])
    if positive_class is not None and task != "classification":
        msg = (
            f"positive_class is for classification; column {target!r} holds numbers, and the task is {task}: drop "
            "positive_class, or say task: classification"
        )
        raise DataError(msg)
    classes = _classes(frame[target], target, positive_class) if task == "classification" else ()
    if task != "classification" and parsed[target].type != "number":
        msg = f"a target of {task} must hold numbers; column {target!r} is of type {parsed[target].type}"
        raise DataError(msg)
    for name in [name for name in parsed if name not in roles]:
        if reason := _useless(frame[name], parsed[name], pixel=image_columns is not None):
            reasons[name] = reason
    # with the columns that tell nothing: one that is constant until rows are added must not move the old rows
    content = frame[id].astype(object) if id is not None else row_digests(frame)
    frame = frame.drop(columns=[name for name in reasons if name in frame])
    if horizon:
        assert time is not None
        frame = _one_row_a_time(frame, time, account)
        content = _as_text(frame[time])
    frame = _named(frame, content, time)
    account.duplicates = int(frame["content"].duplicated().sum())
    if id is not None and roles[id] == "id":
        frame = frame.drop(columns=id)
    entries = [
        _column_account(name, roles.get(name, FEATURE), parsed.get(name), frame, reasons.get(name), task)
        for name in table.columns
        if name != COHORT
    ]
    if not any(entry.role == FEATURE and entry.kept for entry in entries) and not horizon:
        why = listed(f"{name} ({reason})" for name, reason in reasons.items())
        msg = f"at least one column must be left to predict from; there is none. Left out: {why or 'none'}"
        raise DataError(msg)
    return Cleaned(
        frame.reset_index(drop=True), task, classes, Cleaning(rows=account.closed(len(frame)), columns=tuple(entries))
    )


@dataclass
class _RowCount:
    """Where every row goes."""

    read: int
    inserted: int = 0
    duplicates: int = 0

    def __post_init__(self) -> None:
        self.dropped: dict[str, int] = {}

    def drop(self, reason: str, n: int) -> None:
        if n:
            self.dropped[reason] = self.dropped.get(reason, 0) + int(n)

    def closed(self, kept: int) -> RowAccount:
        assert self.read + self.inserted == kept + sum(self.dropped.values())
        return RowAccount(kept=kept, **vars(self))


def _unused(name: str, allowed: Sequence[str] | None, drop: Sequence[str]) -> str | None:
    if name == COHORT:
        return None
    if any(fnmatchcase(name, pattern) for pattern in drop):
        return "named in drop"
    if allowed is not None and not any(fnmatchcase(name, pattern) for pattern in allowed):
        return "not named in features"
    return None


def _parse(name: str, raw: "pd.Series[Any]", role: str | None, spec: Mapping[str, Any]) -> Parsed:
    if role in ("id", "group", "split"):
        return parse(name, raw, dict(spec) | {"type": "category"})
    parsed = parse(name, raw, spec)
    if role == "time" and parsed.type not in ("time", "number"):
        msg = f"the time column {name!r} must hold times or numbers; it is of type {parsed.type}: declare its format"
        raise DataError(msg)
    if role == "weight" and (parsed.type != "number" or not (parsed.values.dropna() > 0).all()):
        msg = f"the weight column {name!r} must hold numbers above 0; it does not: repair it"
        raise DataError(msg)
    return parsed


def _with_roles(
    frame: pd.DataFrame,
    target: str,
    *,
    group: str | None,
    time: str | None,
    weight: str | None,
    split: str | None,
    horizon: int | None,
    account: _RowCount,
) -> pd.DataFrame:
    """Remove rows without a target; refuse rows that lack what the claim or the loss needs."""
    missing = frame[target].isna()
    if not horizon:
        account.drop("no target", missing.sum())
        frame = frame[~missing]
    if frame.empty or frame[target].isna().all():
        msg = f"the target {target!r} must have values; it is missing in every row"
        raise DataError(msg)
    for role, name in (("group", group), ("time", time), ("weight", weight), ("split", split)):
        if name is not None and (gone := frame.index[frame[name].isna()]).size:
            msg = (
                f"every row must have a value of the {role} column {name!r}; {len(gone)} have none, rows "
                f"{listed(map(str, gone), 5)}: fill them in, or remove these rows"
            )
            raise DataError(msg)
    return frame


def _one_row_an_id(frame: pd.DataFrame, id_: str, account: _RowCount) -> pd.DataFrame:
    if (gone := frame.index[frame[id_].isna()]).size:
        msg = f"every row must have an id; column {id_!r} is missing in rows {listed(map(str, gone), 5)}"
        raise DataError(msg)
    return _merged(frame, id_, account, "same id, same content", "rows of one id must agree")


def _merged(frame: pd.DataFrame, key: str, account: _RowCount, reason: str, must: str) -> pd.DataFrame:
    """Keep one of the rows with the same key and content; refuse rows with the same key that differ."""
    once = frame[~frame.duplicated()]
    account.drop(reason, len(frame) - len(once))
    if (twice := once.index[once[key].duplicated(keep=False)]).size:
        first = once.loc[twice[0], key]
        rows = once[once[key] == first]
        differing = [
            "the file they are from" if name == COHORT else str(name)
            for name in rows
            if len(rows[name].drop_duplicates()) > 1
        ]
        msg = (
            f"{must}; column {key!r} is {first!r} in rows {listed(map(str, rows.index), 5)}, which differ in "
            f"{listed(differing)}: correct them, or name another column"
        )
        raise DataError(msg)
    return once


def _task(values: "pd.Series[Any]", parsed: Parsed, horizon: int | None) -> Task:
    if horizon:
        return "forecasting"
    if parsed.type == "number":
        many = values.nunique() > MAX_CLASSES or not (values == values.round()).all()
        return "regression" if many else "classification"
    return "classification"


def _class_names(values: "pd.Series[Any]") -> "pd.Series[Any]":
    return values.map(number_as_text).astype(object) if values.dtype == np.float64 else values.astype(object)


def _classes(values: "pd.Series[Any]", target: str, positive: str | None) -> tuple[str, ...]:
    """Return the classes in order; with two, the positive one last: the one named, or the rarer one."""
    counts = values.value_counts()
    names = sorted(counts.index, key=lambda name: (_number(name), name))
    if len(names) < 2:
        msg = f"the target {target!r} must have at least two classes; every row is {names[0]!r}"
        raise DataError(msg)
    if positive is not None and positive not in names:
        msg = (
            f"positive_class {positive!r} must occur in column {target!r}; it does not"
            f"{choice(positive, names, 'there are')}"
        )
        raise DataError(msg)
    if positive is not None and len(names) > 2:
        msg = (
            f"positive_class needs two classes; column {target!r} has {len(names)}: {listed(names)}. "
            "Drop positive_class, or make two classes of them"
        )
        raise DataError(msg)
    if len(names) > 2:
        return tuple(names)
    last = positive or min(reversed(names), key=lambda name: counts[name])
    return tuple(sorted(names, key=lambda name: name == last))


def _number(name: str) -> float:
    """Return the number that a class name is, so that 2 comes before 10; infinity for a word."""
    try:
        return float(name)
    except ValueError:
        return float("inf")


def _useless(values: "pd.Series[Any]", parsed: Parsed, *, pixel: bool) -> str | None:
    """Return why a feature cannot tell anything, or None."""
    n_known, n_distinct = values.notna().sum(), values.nunique()
    if n_known == 0:
        return "empty: no row has a value"
    if n_distinct == 1 and n_known == len(values) and not pixel:
        return "constant: the same in every row"
    if parsed.type == "text":
        return "text: no model family reads it yet"
    if parsed.type == "category" and n_known > IDENTIFIER_ROWS and n_distinct > IDENTIFIER_SHARE * n_known:
        return "identifier: a different value in nearly every row"
    return None


def _one_row_a_time(frame: pd.DataFrame, time: str, account: _RowCount) -> pd.DataFrame:
    frame = _merged(frame, time, account, "same time, same content", "rows of one time must agree")
    grid = regular(frame[time])
    whole = frame.set_index(time).reindex(pd.Index(grid, name=time)).reset_index()
    account.inserted = len(whole) - len(frame)
    return whole[list(frame.columns)]


def _named(frame: pd.DataFrame, content: "pd.Series[Any]", time: str | None) -> pd.DataFrame:
    """Name every row by its content (its id, time or values), and bring the rows into canonical order."""
    frame = frame.assign(content=content)
    ordered = frame.sort_values([time, "content"] if time else ["content"], kind="stable")
    repeat = ordered.groupby("content", sort=False).cumcount()
    suffix = np.where(repeat > 0, "-" + (repeat + 1).astype(str), "")
    row = ordered["content"].astype(object) + suffix
    rest = sorted(name for name in frame.columns if name != "content")
    return pd.concat([row.rename("row"), ordered[["content", *rest]]], axis=1)


def row_digests(frame: pd.DataFrame) -> "pd.Series[Any]":
    """Return 16 hexadecimal digits of the sha256 of each row's values, columns in order of their names."""
    texts = [(_as_text(frame[name])).to_numpy(dtype=object) for name in sorted(frame.columns)]
    digests = [hashlib.sha256("\x1f".join(values).encode()).hexdigest()[:16] for values in zip(*texts, strict=True)]
    return pd.Series(digests, index=frame.index, dtype=object)


def _as_text(values: "pd.Series[Any]") -> "pd.Series[Any]":
    if values.dtype == np.float64:
        return pd.Series(
            [NOTHING if v != v else number_as_text(v) for v in values.tolist()], index=values.index, dtype=object
        )
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        # a date alone where the time is midnight, value by value: one row's text depends on no other row
        texts = [NOTHING if v is pd.NaT else time_as_text(v) for v in values]
        return pd.Series(texts, index=values.index, dtype=object)
    texts = [NOTHING if gone else str(value) for value, gone in zip(values, values.isna(), strict=True)]
    return pd.Series(texts, index=values.index, dtype=object)


def _column_account(
    name: str, role: str, parsed: Parsed | None, frame: pd.DataFrame, reason: str | None, task: Task
) -> ColumnAccount:
    entry: dict[str, Any] = {"name": name, "role": role, "kept": reason is None, "reason": reason}
    if parsed is None:
        return ColumnAccount(**entry)
    entry |= {"type": parsed.type, "how": parsed.how, "missing_words": parsed.missing_words}
    if role == "target" and task == "classification":
        entry["type"] = "category"
    values = frame.get(name, parsed.values)
    known = values.dropna()
    entry |= {"missing": int(values.isna().sum()), "distinct": int(known.nunique())}
    if values.dtype == np.float64 and len(known):
        counts, edges = np.histogram(known, bins=HISTOGRAM_BINS)
        return ColumnAccount(
            **entry,
            min=float(known.min()),
            max=float(known.max()),
            mean=float(known.mean()),
            sd=float(known.std(ddof=0)),
            histogram=Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist())),
        )
    if pd.api.types.is_datetime64_any_dtype(values.dtype) and len(known):
        return ColumnAccount(**entry, min=known.min().isoformat(), max=known.max().isoformat())
    levels = known.value_counts()
    frequent = sorted(levels.items(), key=lambda item: (-item[1], str(item[0])))[:SHOWN_LEVELS]
    return ColumnAccount(**entry, levels=tuple((str(level), int(count)) for level, count in frequent))
