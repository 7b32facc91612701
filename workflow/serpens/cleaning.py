"""Cleaning: what every row and column is, which are kept, and an account of all of them.

The same rows in another order, or columns in another order, give the same cleaned table. No more of it is in memory
than a few pieces: it is read, typed and dealt to ranges of its canonical order, and each range is sorted and counted.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serpens.columns import Reading
from serpens.config import Task
from serpens.errors import DataError
from serpens.finishing import Cleaned, Finish
from serpens.rawtable import RawTable, bad_weight
from serpens.shards import Shards
from serpens.streams import Stream
from serpens.washing import Roles, Tally

# A target of numbers with more distinct values than this is a value, not a class.
MAX_CLASSES = 20
# A category that differs in nearly every one of many rows says which row it is, not what it is like.
IDENTIFIER_SHARE, IDENTIFIER_ROWS = 0.95, 50


def raw_table(
    stream: Stream,
    *,
    target: str,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
    numbers: Mapping[str, str | None] | None = None,
    id: str | None = None,
    group: str | None = None,
    time: str | None = None,
    weight: str | None = None,
    split_column: str | None = None,
    subgroups: Sequence[str] = (),
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    image_columns: Sequence[str] | None = None,
    personal: Mapping[str, str] | None = None,
    key: bytes = b"",
    horizon: int | None = None,
) -> RawTable:
    """Return a table with what a study says of its columns.

    Parameters
    ----------
    columns
        What is declared of columns: ``type``, ``min``, ``max``, ``format``, ``missing`` and so on.
    numbers
        How numbers are written where nothing is declared: ``decimal`` and ``thousands``.
    id, group, time, weight, split_column
        Columns with a role of their own; none of them is ever a feature.
    subgroups
        Columns that are kept whether or not they are features.
    features, drop, image_columns
        Patterns such as ``gene_*``: which columns may be used, which not, which are pixels.
    personal, key
        What becomes of each column that is about people (drop, hash, keep), and the key that they are hashed with.
    horizon
        Given for a forecast, which uses other columns only when ``features`` names them.

    Raises
    ------
    DataError
        If a column that the study names is not there, or has a name that Serpens needs.
    """
    return RawTable(
        stream,
        Roles(target, id, group, time, weight, split_column),
        columns=columns,
        numbers=numbers,
        features=features,
        drop=drop,
        image_columns=image_columns,
        personal=personal,
        key=key,
        horizon=horizon,
        subgroups=subgroups,
    )


def clean(
    table: RawTable,
    *,
    folder: Path,
    task: Task | None = None,
    positive_class: str | None = None,
    duplicates: str = "keep",
    threads: int = 1,
    shards: Shards | None = None,
) -> Cleaned:
    """Clean a table.

    Parameters
    ----------
    folder
        Where rows may wait on disk until they are sorted; it is made and left empty when it is needed.
    duplicates
        What becomes of rows that repeat another one exactly: keep, drop or refuse.
    shards
        Parts of the table that were washed by jobs of their own, all of it.

    Raises
    ------
    DataError
        If a value is not what it must be, or rows of one id or time differ.
    """
    target = table.roles.target
    tally, dealt = table.washed(folder, threads, shards)
    _check_rows(tally, table.roles, table.readings, all_missing=not tally.columns[target].known)
    task = task or _task(tally, table.readings[target], target, table.horizon)
    _check_task(task, table.readings[target], target, positive_class)
    reasons = dict(table.reasons)
    roles = table.roles.by_column()
    for name, how in table.readings.items():
        if name not in roles and (useless := _useless(tally, how, pixel=table.of_pixels)):
            if name in table.subgroups:
                msg = (
                    f"a column of subgroups must tell some rows from others; column {name!r} is left out ({useless}): "
                    "take it out of subgroups"
                )
                raise DataError(msg)
            reasons[name] = useless
    return Finish(table, tally, dealt, task, reasons, positive_class, duplicates, threads, folder).cleaned()


def _check_rows(tally: Tally, roles: Roles, readings: Mapping[str, Reading], *, all_missing: bool) -> None:
    """Refuse a table that lacks what the claim or the loss needs."""
    if all_missing:
        msg = f"the target {roles.target!r} must have values; it is missing in every row"
        raise DataError(msg)
    if not tally.weights:
        assert roles.weight is not None
        raise bad_weight(roles.weight)
    for role, rows in tally.gaps.items():
        name = getattr(roles, role)
        if role == "id":
            msg = f"every row must have an id; column {name!r} is missing in rows {rows.numbers}"
        else:
            msg = (
                f"every row must have a value of the {role} column {name!r}; {rows.n} have none, rows {rows.numbers}: "
                "fill them in, or remove these rows"
            )
        raise DataError(msg)
    if readings[roles.target].type == "time":
        msg = f"the target must hold numbers or classes; column {roles.target!r} holds times: make numbers of them"
        raise DataError(msg)


def _task(tally: Tally, how: Reading, target: str, horizon: int | None) -> Task:
    if horizon:
        return "forecasting"
    if how.type != "number":
        return "classification"
    values = tally.columns[target].values
    is_few = values is not None and len(values) <= MAX_CLASSES and all(value == round(value) for value in values)
    return "classification" if is_few else "regression"


def _check_task(task: Task, how: Reading, target: str, positive: str | None) -> None:
    if positive is not None and task != "classification":
        msg = (
            f"positive_class is for classification; column {target!r} holds numbers, and the task is {task}: drop "
            "positive_class, or say task: classification"
        )
        raise DataError(msg)
    if task != "classification" and how.type != "number":
        msg = f"a target of {task} must hold numbers; column {target!r} is of type {how.type}"
        raise DataError(msg)


def _useless(tally: Tally, how: Reading, *, pixel: bool) -> str | None:
    """Return why a feature cannot tell anything, or None."""
    column, n_rows = tally.columns[how.name], tally.read - tally.no_target
    if column.known == 0:
        return "empty: no row has a value"
    is_word = how.type in ("category", "text")
    same = column.distinct.n == 1 if is_word else column.low == column.high
    if same and column.known == n_rows and not pixel:
        return "constant: the same in every row"
    if how.type == "text":
        return "text: no model family reads it yet"
    if is_word and column.known > IDENTIFIER_ROWS and column.distinct.n > IDENTIFIER_SHARE * column.known:
        return "identifier: a different value in nearly every row"
    return None
