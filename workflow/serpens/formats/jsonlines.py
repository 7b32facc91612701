"""JSON lines: a JSON object a line, each a row.

An object inside becomes columns with dotted names, ``{"place": {"lat": 1}}`` the column ``place.lat``. A key that a
line lacks is missing there. A column keeps the type of its values; where they differ it is text, as it stands in the
file.
"""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from serpens.errors import DataError
from serpens.formats.kinds import Kinds, Written, column
from serpens.formats.lines import numbered
from serpens.formats.registry import Read
from serpens.formats.tables import check_names, rows_at_once
from serpens.streams import Stream

NOUNS = {str: "text", int: "a number", Written: "a number", bool: "a truth value", list: "a list", type(None): "null"}


class _TwiceError(Exception):
    """A key stands twice in an object."""


def open_table(path: str, read: Read) -> Stream:
    """Return the table; the file is read once to find the columns and their types, and once for the values.

    Raises
    ------
    DataError
        If a line is no JSON object, or holds a list.
    """
    kinds = _kinds(path)
    schema = kinds.schema()
    at_once = rows_at_once(len(schema))

    def batches() -> Iterator[pa.RecordBatch]:
        waiting: list[dict[str, Any]] = []
        for _, row in _rows(path):
            waiting.append(row)
            if len(waiting) == at_once:
                yield _batch(schema, waiting)
                waiting = []
        if waiting:
            yield _batch(schema, waiting)

    return Stream(schema, batches)


def header(path: str, read: Read) -> list[str]:
    """Return the keys of all lines: any line may have one that no other has."""
    return list(_kinds(path).of)


def count(path: str, read: Read) -> int:
    """Count the lines that are not blank."""
    return sum(1 for _, line in numbered(path) if line.strip())


def _batch(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    arrays = [column([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _kinds(path: str) -> Kinds:
    kinds = Kinds()
    for number, row in _rows(path):
        if kinds.note_row(row):
            continue  # as a line before, which held no list
        for name, value in row.items():
            if isinstance(value, list):
                msg = (
                    f"{path}, line {number}: a key must hold one value; {name!r} holds a list: write its values under "
                    "keys of their own, or leave the key out"
                )
                raise DataError(msg)
    check_names(path, list(kinds.of))
    return kinds


def _rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row with the number of its line; a blank line is no row."""
    for number, line in numbered(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_flat, parse_float=Written, parse_constant=Written)
        except _TwiceError as err:
            msg = f"{path}, line {number}: a key must occur once; {err} occurs more often"
            raise DataError(msg) from err
        except (ValueError, RecursionError) as err:
            msg = f"{path}, line {number}: must be a JSON object on one line; {err}"
            raise DataError(msg) from err
        if not isinstance(row, dict):
            msg = f'{path}, line {number}: must be a JSON object, such as {{"x": 1}}; found {NOUNS[row.__class__]}'
            raise DataError(msg)
        yield number, row


def _flat(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object with the objects inside it spread out; those are flat already."""
    found = dict(pairs)
    if len(found) == len(pairs) and dict not in map(type, found.values()):
        return found
    found = {}
    for key, value in pairs:
        inner = {f"{key}.{name}": part for name, part in value.items()} if value.__class__ is dict else {key: value}
        if twice := found.keys() & inner.keys():
            raise _TwiceError(repr(min(twice)))
        found |= inner
    return found
