"""Delimited text: every column stays the text that stands there, so that 007 stays 007 and nothing is guessed."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from serpens.errors import DataError, listed
from serpens.formats.registry import Read
from serpens.streams import Stream, whole

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def open_table(path: str, read: Read) -> Stream:
    """Return the table.

    The csv module, not a faster reader: it tells the line of a row that has too many or too few fields.

    Raises
    ------
    DataError
        If it is not UTF-8, a quote stays open, or a row is longer or shorter than the header.
    """
    rows: list[list[str]] = []
    lines = _records(path)
    _, names = next(lines, (0, []))
    _check_header(path, names)
    for number, row in lines:
        if not row:
            continue  # a blank line is no row
        if len(row) != len(names):
            msg = (
                f"{path}: every row must have {len(names)} fields, as the header has; line {number} "
                f"has {len(row)}: mend that line, or the header"
            )
            raise DataError(msg)
        rows.append(row)
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return whole(pa.table({name: pa.array(values, pa.string()) for name, values in zip(names, columns, strict=True)}))


def header(path: str, read: Read) -> list[str]:
    """Return the fields of the first line."""
    _, names = next(_records(path), (0, []))
    _check_header(path, names)
    return names


def count(path: str, read: Read) -> int:
    """Count the rows below the first line."""
    return sum(1 for _, row in _records(path) if row) - 1


def _records(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of its last line."""
    file = Path(path)
    suffix = file.suffixes[-2] if file.suffix == ".gz" else file.suffix
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, delimiter=DELIMITERS[suffix], strict=True)
            for row in reader:
                yield reader.line_num, row
    except UnicodeDecodeError as err:
        msg = (
            f"{path}: the text must be UTF-8; byte {err.start} of a block ({err.object[err.start]:#04x}) is not: "
            f"convert it, for instance with  iconv -f latin1 -t utf-8 {file.name}"
        )
        raise DataError(msg) from err
    except csv.Error as err:
        msg = f"{path}: quotes must be closed and doubled inside; line {reader.line_num}: {err}"
        raise DataError(msg) from err
    except (OSError, EOFError, zlib.error) as err:
        msg = f"{path}: cannot be read; {err}"
        raise DataError(msg) from err


def _check_header(path: str, names: list[str]) -> None:
    if not names:
        msg = f"{path}: the first line must name the columns; the file is empty"
        raise DataError(msg)
    if "" in (stripped := [name.strip() for name in names]):
        msg = f"{path}: every column must have a name; column {stripped.index('') + 1} of {len(names)} has none"
        raise DataError(msg)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        msg = f"{path}: a column name must occur once; {listed(map(repr, twice))} occurs more often"
        raise DataError(msg)
