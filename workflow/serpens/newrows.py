"""Rows that come after training, read as cleaning read the table that a study was made from.

With :func:`serpens.features.encode` this is the way from a raw table to what a model sees. A row becomes what it became
in training, bit for bit, whatever rows are beside it. Nothing is learned here and no row is left out.
"""

from dataclasses import replace

import pyarrow as pa

from serpens.artefacts import Schema
from serpens.columns import Collected, Reading, collected_as, examples, explain, read
from serpens.dataartefacts import Cleaning, ColumnAccount
from serpens.errors import DataError, nearest
from serpens.personal import fingerprint

WORDS = ("text", "levels")
MEANT: dict[Collected, str] = {
    "text": "words",
    "levels": "words",
    "boolean": "true or false",
    "number": "numbers",
    "time": "times",
}


def apply(schema: Schema, cleaning: Cleaning, raw: pa.Table, *, key: bytes = b"") -> dict[str, pa.Array]:
    """Return the columns that :func:`serpens.features.encode` needs, read from raw rows.

    Parameters
    ----------
    schema
        What training learned.
    cleaning
        The account of the same study, which says how each column is read.
    raw
        Columns in any order; further ones, also the target, are not looked at. A forecast needs its target and times,
        regular ones.
    key
        What columns about people are hashed with.

    Returns
    -------
    columns
        By name, ``(n,)`` each: float64, timestamps in microseconds (UTC), or text; null where there is no value. A
        level that training did not see stays: encoding makes zeros of it, and counts it.

    Raises
    ------
    DataError
        If a column is missing or there twice, is of another type, or a value is not what it must be; or if the key is
        not the one of training.
    """
    names = [feature.name for feature in schema.features]
    if schema.series is not None:
        names += [schema.target.name, schema.series.time]
    accounts = {account.name: account for account in cleaning.columns}
    if any(accounts[name].personal == "hash" for name in names if name in accounts):
        _require_key(cleaning, key)
    return {name: _column(name, accounts.get(name), raw, key) for name in names}


def _column(name: str, account: ColumnAccount | None, raw: pa.Table, key: bytes) -> pa.Array:
    found = raw.schema.get_all_field_indices(name)
    if len(found) != 1:
        there = "it is not" if not found else f"there are {len(found)} of this name"
        msg = f"column {name!r} must be there once; {there}{nearest(name, raw.schema.names) if not found else ''}"
        raise DataError(msg)
    values = raw.column(found[0]).combine_chunks()
    how = _reading(name, account, values.type, key)
    done = read(how, values)
    for fault, rows in done.faults.items():
        raise explain(how, fault, examples(how, fault, values, done, rows))
    return done.values


def _reading(name: str, account: ColumnAccount | None, type_: pa.DataType, key: bytes) -> Reading:
    """Return how a column of new rows is read: as in training, from the type that it has now."""
    if account is None or account.reading is None:
        msg = (
            f"the schema and the account of cleaning must be those of one study; column {name!r} is an input in the "
            "one, and not read in the other: take schema.json and cleaning.json from one folder"
        )
        raise DataError(msg)
    known = account.reading
    how = Reading(name, known.type, str(account.how), spec=known.said, form=known.format)
    how = replace(how, personal=account.personal, key=key)
    given = "text" if pa.types.is_null(type_) else collected_as(name, type_)
    if known.type in ("number", "time"):
        # written or not, a number is the same number; so is a time
        if given in (*WORDS, known.collected, known.type):
            return replace(how, kind="text" if given in WORDS else given)
    elif given == known.collected or {given, known.collected} <= {*WORDS}:
        # 01 and 1 are two words, and one number: a number does not stand for a word
        return replace(how, kind="category" if known.collected in ("levels", "boolean") else known.collected)
    elif pa.types.is_null(type_):
        return how
    msg = (
        f"column {name!r} must hold {MEANT[known.collected]}, as it did when the study was made; it is of type "
        f"{type_}: give it the type that it had there"
    )
    raise DataError(msg)


def _require_key(cleaning: Cleaning, key: bytes) -> None:
    if fingerprint(key) != cleaning.key:
        given = f"the one given is {fingerprint(key)}" if key else "there is none"
        msg = (
            f"columns about people must be hashed with the key of the study, whose fingerprint is {cleaning.key}; "
            f"{given}: give the key in the file .serpens-key of the folder in which the study was made"
        )
        raise DataError(msg)
