"""SMILES: a row a molecule, its ``smiles`` and its ``name``, which is what stands behind the first blank.

A first line that begins with the word ``smiles`` names the columns and is no molecule.
"""

import re
from collections.abc import Iterator

import pyarrow as pa

from serpens.errors import DataError
from serpens.formats.lines import numbered
from serpens.formats.records import pieces
from serpens.formats.registry import Read
from serpens.streams import Stream

SCHEMA = pa.schema([("smiles", pa.string()), ("name", pa.string())])
TITLE = "smiles"
WRONG = re.compile(r"[^A-Za-z0-9@+\-\[\]()=#$:/\\.%*~]")


def open_table(path: str, read: Read) -> Stream:
    """Return the table; what is wrong with the file is found when it is read."""
    return Stream(SCHEMA, lambda: pieces(_records(path), SCHEMA))


def header(path: str, read: Read) -> list[str]:
    """Return the columns, which are the same for every file."""
    names: list[str] = SCHEMA.names
    return names


def count(path: str, read: Read) -> int:
    """Count the lines that are not blank, without the title."""
    return sum(1 for _ in _lines(path))


def _lines(path: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in numbered(path):
        parts = line.split(maxsplit=1)
        if parts and not (number == 1 and parts[0].lower() == TITLE):
            yield number, parts


def _records(path: str) -> Iterator[tuple[str | None, ...]]:
    for number, parts in _lines(path):
        smiles, name = parts[0], parts[1].strip() if len(parts) > 1 else None
        if wrong := WRONG.search(smiles):
            msg = f"{path}, line {number}: a line must begin with a SMILES; found {wrong[0]!r} in {smiles!r}"
            raise DataError(msg)
        for left, right in ("()", "[]"):
            if smiles.count(left) != smiles.count(right):
                msg = (
                    f"{path}, line {number}: each {left!r} of a SMILES must be closed; {smiles!r} has "
                    f"{smiles.count(left)} {left!r} and {smiles.count(right)} {right!r}"
                )
                raise DataError(msg)
        yield smiles, name
