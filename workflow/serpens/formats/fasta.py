"""FASTA: a row a sequence, with its ``id``, the ``description`` behind it, and the ``sequence`` on one line."""

import re
from collections.abc import Iterator

import pyarrow as pa

from serpens.errors import DataError
from serpens.formats.lines import numbered
from serpens.formats.records import pieces
from serpens.formats.registry import Read
from serpens.streams import Stream

SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "description", "sequence")])
# Letters of bases and residues in either case, a stop, a gap.
WRONG = re.compile(r"[^A-Za-z*.-]")


def open_table(path: str, read: Read) -> Stream:
    """Return the table; what is wrong with the file is found when it is read."""
    return Stream(SCHEMA, lambda: pieces(_records(path), SCHEMA))


def header(path: str, read: Read) -> list[str]:
    """Return the columns, which are the same for every file."""
    names: list[str] = SCHEMA.names
    return names


def count(path: str, read: Read) -> int:
    """Count the lines that begin a record."""
    return sum(line.startswith(">") for _, line in numbered(path))


def named(path: str, number: int, line: str) -> tuple[str, str | None]:
    """Return id and description of the line that begins a record, without its first character.

    Raises
    ------
    DataError
        If it names nothing.
    """
    name, _, description = line[1:].partition(" ")
    if not name:
        msg = f"{path}, line {number}: an id must follow {line[0]!r} at once; found {line[:40]!r}"
        raise DataError(msg)
    return name, description.strip() or None


def _records(path: str) -> Iterator[tuple[str | None, ...]]:
    begun, name, description = 0, "", None
    parts: list[str] = []

    def ended() -> tuple[str | None, ...]:
        if not parts:
            msg = f"{path}, line {begun}: a sequence must follow its id; {name!r} has none"
            raise DataError(msg)
        return name, description, "".join(parts)

    for number, line in numbered(path):
        if line.startswith(">"):
            if begun:
                yield ended()
            begun, parts = number, []
            name, description = named(path, number, line)
        elif line.strip():
            if not begun:
                msg = f"{path}, line {number}: the first record must begin with '>'; found {line[:40]!r}"
                raise DataError(msg)
            if wrong := WRONG.search(line.strip()):
                msg = (
                    f"{path}, line {number}: a sequence must be letters, '*', '-' and '.'; found {wrong[0]!r} in "
                    f"{name!r}: mend the line"
                )
                raise DataError(msg)
            parts.append(line.strip())
    if begun:
        yield ended()
