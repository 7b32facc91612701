"""FASTQ: a row a read, with ``id``, ``description``, ``sequence``, and its ``quality``: the mean of its Phred scores.

A record has four lines; quality is written with 33 added (Sanger, Illumina 1.8 and later).
"""

import re
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa

from serpens.errors import DataError
from serpens.formats.fasta import WRONG, named
from serpens.formats.lines import numbered
from serpens.formats.records import pieces
from serpens.formats.registry import Read
from serpens.streams import Stream

SCHEMA = pa.schema(
    [("id", pa.string()), ("description", pa.string()), ("sequence", pa.string()), ("quality", pa.float64())]
)
LINES, OFFSET = 4, 33
NO_QUALITY = re.compile(r"[^!-~]")


def open_table(path: str, read: Read) -> Stream:
    """Return the table; what is wrong with the file is found when it is read."""
    return Stream(SCHEMA, lambda: pieces(_records(path), SCHEMA))


def header(path: str, read: Read) -> list[str]:
    """Return the columns, which are the same for every file."""
    names: list[str] = SCHEMA.names
    return names


def count(path: str, read: Read) -> int:
    """Count the lines, of which four make a record."""
    return sum(1 for _, line in numbered(path) if line) // LINES


def _records(path: str) -> Iterator[tuple[str | float | None, ...]]:
    lines = ((number, line) for number, line in numbered(path))
    while record := list(islice(lines, LINES)):
        if not any(line for _, line in record):
            continue  # blank lines at the end
        number = record[0][0]
        if len(record) < LINES or not record[0][1].startswith("@") or not record[2][1].startswith("+"):
            msg = (
                f"{path}, line {number}: a record must have four lines: '@' with an id, the sequence, '+', the "
                f"quality; found {', '.join(repr(line[:20]) for _, line in record)}"
            )
            raise DataError(msg)
        (_, title), (_, sequence), (_, plus), (_, quality) = record
        name, description = named(path, number, title)
        if plus not in ("+", f"+{title[1:]}"):
            msg = f"{path}, line {number + 2}: '+' must stand alone or repeat {title[1:]!r}; found {plus[:40]!r}"
            raise DataError(msg)
        if not sequence or (wrong := WRONG.search(sequence)):
            found = "nothing" if not sequence else repr(wrong[0]) if wrong else ""
            msg = f"{path}, line {number + 1}: a sequence must be letters, '*', '-' and '.'; found {found} in {name!r}"
            raise DataError(msg)
        if len(quality) != len(sequence):
            msg = (
                f"{path}, line {number + 3}: each of the {len(sequence)} letters of {name!r} must have a quality; "
                f"found {len(quality)}"
            )
            raise DataError(msg)
        if wrong := NO_QUALITY.search(quality):
            msg = f"{path}, line {number + 3}: a quality must be a character from '!' to '~'; found {wrong[0]!r}"
            raise DataError(msg)
        yield name, description, sequence, sum(quality.encode()) / len(quality) - OFFSET
