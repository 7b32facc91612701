"""Excel: one sheet of a workbook, whose first row names the columns.

A column keeps the type of its cells; where they differ it is text. Formulas stand for the value that Excel last saved.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from zipfile import BadZipFile, ZipFile

import pyarrow as pa
from openpyxl import load_workbook
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from serpens.errors import DataError, listed
from serpens.formats.kinds import Kinds, column
from serpens.formats.registry import Read
from serpens.formats.tables import check_names, not_as_named, rows_at_once
from serpens.streams import Stream

Row = tuple[Any, ...]
CHUNK = 1 << 20
# A cell with a formula and without the value that it had when the workbook was saved; an empty text (str) is one.
UNSAVED = re.compile(
    rb'<c (?![^>]*t="str")[^>]*?r="([A-Z]+[0-9]+)"[^>]*>\s*<f[^>]*?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>'
)


def open_table(path: str, read: Read) -> Stream:
    """Return the table; the sheet is read once to find the types of its columns, and once for the values.

    Raises
    ------
    DataError
        If the workbook cannot be read, it is not said which of several sheets is meant, a row is longer than the one
        that names the columns, or a formula has no value.
    """
    _require_values(path, read)
    rows = _rows(path, read)
    names = [str(name) for name in next(rows)]
    kinds = Kinds()
    for name in names:
        kinds.note(name, None)
    for row in rows:
        for name, value in zip(names, row, strict=True):
            kinds.note(name, value)
    schema = kinds.schema()

    def batches() -> Iterator[pa.RecordBatch]:
        at_once = rows_at_once(len(names))
        waiting: list[Row] = []
        rows = _rows(path, read)
        next(rows)
        for row in rows:
            waiting.append(row)
            if len(waiting) == at_once:
                yield _batch(schema, waiting)
                waiting = []
        if waiting:
            yield _batch(schema, waiting)

    return Stream(schema, batches)


def header(path: str, read: Read) -> list[str]:
    """Return what stands in the first row."""
    return [str(name) for name in next(_rows(path, read))]


def count(path: str, read: Read) -> int:
    """Count the rows below the names that hold anything."""
    return sum(1 for _ in _rows(path, read)) - 1


def _batch(schema: pa.Schema, rows: list[Row]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [column(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _rows(path: str, read: Read) -> Iterator[Row]:
    """Yield the names of the columns, then each row that holds anything, as long as the names."""
    skipped = read.get("skip_rows", 0)
    with _sheet(path, read) as sheet:
        width = 0
        for number, cells in enumerate(sheet.iter_rows(min_row=skipped + 1, values_only=True), start=skipped + 1):
            row = cells
            while row and row[-1] is None:
                row = row[:-1]
            if not width:
                where = f"{path}, sheet {sheet.title!r}, row {number}"
                yield _names(where, row)
                width = len(row)
            elif len(row) > width:
                msg = (
                    f"{path}, sheet {sheet.title!r}, row {number}: there must be no more cells than the {width} named "
                    f"columns; {get_column_letter(len(row))}{number} holds {row[-1]!r}: name its column, or clear it"
                )
                raise DataError(msg)
            elif row:
                yield row + (None,) * (width - len(row))
        if not width:
            msg = f"{path}, sheet {sheet.title!r}: row {skipped + 1} must name the columns; the sheet ends before it"
            raise DataError(msg)


def _require_values(path: str, read: Read) -> None:
    """Refuse formulas that no program has computed yet, which openpyxl would give as empty cells."""
    with _sheet(path, read) as sheet, ZipFile(path) as archive, archive.open(sheet._worksheet_path) as file:
        rest = b""
        while chunk := file.read(CHUNK):
            rest += chunk
            if found := UNSAVED.search(rest):
                msg = (
                    f"{path}, sheet {sheet.title!r}: a formula must have been saved with its value; "
                    f"{found[1].decode()} has none: open the workbook in a spreadsheet program, and save it"
                )
                raise DataError(msg)
            rest = rest[rest.rfind(b"</c>") + 1 :]


def _names(where: str, row: Row) -> Row:
    for place, name in enumerate(row, start=1):
        if name is None:
            msg = (
                f"{where} must name every column; the cell in {get_column_letter(place)} is empty: split merged "
                "cells and give each column a name of its own, or pass over lines above the names "
                "with read: {skip_rows: ...}"
            )
            raise DataError(msg)
    check_names(where, [str(name) for name in row])
    return row


@contextmanager
def _sheet(path: str, read: Read) -> Iterator[Any]:
    try:
        with warnings.catch_warnings():
            # of styles and menus, which no value depends on
            warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
            book = load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, OSError, ValueError) as err:
        raise not_as_named(path, "an Excel workbook", err) from err
    try:
        sheet = book[_chosen(path, [each.title for each in book.worksheets], read.get("sheet"))]
        # what a file says of its size is often wrong
        sheet.reset_dimensions()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
            yield sheet
    except (BadZipFile, EOFError, OSError) as err:
        raise not_as_named(path, "an Excel workbook", err) from err
    finally:
        book.close()


def _chosen(path: str, titles: list[str], wanted: str | int | None) -> str:
    there = listed(f"{place} {title!r}" for place, title in enumerate(titles, start=1))
    if wanted is None:
        if len(titles) > 1:
            msg = f"{path}: it must be said which sheet is meant; there are {there}: set read: {{sheet: ...}}"
            raise DataError(msg)
        return titles[0]
    if isinstance(wanted, int) and wanted <= len(titles):
        return titles[wanted - 1]
    if wanted not in titles:
        msg = f"{path}: read.sheet must be one of the sheets; there are {there}, found {wanted!r}"
        raise DataError(msg)
    return str(wanted)
