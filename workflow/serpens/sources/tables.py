"""Reading one file as a table, piece by piece; every value of a text is the text that stands there.

So 007 stays 007 and nothing is guessed: what a value means is decided when it is cleaned.
"""

import csv
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from serpens.errors import DataError, listed
from serpens.streams import Stream

DELIMITERS = {".csv": ",", ".tsv": "\t"}
AT_ONCE = 65_536
"""Rows that are read at once."""


def open_table(path: str, read: Mapping[str, Any]) -> Stream:
    """Return the table of a file.

    Raises
    ------
    DataError
        From here or from the pieces, if the file is not what its name says.
    """
    return _parquet(Path(path)) if path.endswith(".parquet") else _delimited(Path(path))


def _parquet(file: Path) -> Stream:
    import pyarrow.parquet as pq

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(batch_size=AT_ONCE):
                    yield batch.replace_schema_metadata(None)
        except (pa.ArrowException, OSError) as err:
            raise _not_parquet(file, err) from err

    try:
        # not read_table, which fails on a column name that occurs twice before we can say so
        schema = pq.ParquetFile(file).schema_arrow.remove_metadata()
    except (pa.ArrowException, OSError) as err:
        raise _not_parquet(file, err) from err
    _check_header(file, schema.names)
    return Stream(schema, batches)


def _not_parquet(file: Path, err: Exception) -> DataError:
    return DataError(f"{file}: must be Parquet, as its name says; {err}")


def _delimited(file: Path) -> Stream:
    """Read text with the csv module, which tells the line of a row that has too many or too few fields."""

    def records() -> Iterator[tuple[int, list[str]]]:
        reader = None
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                reader = csv.reader(lines, delimiter=DELIMITERS[file.suffix], strict=True)
                for row in reader:
                    yield reader.line_num, row
        except UnicodeDecodeError as err:
            msg = (
                f"{file}: the text must be UTF-8; byte {err.start} of a block ({err.object[err.start]:#04x}) is not: "
                f"convert it, for instance with  iconv -f latin1 -t utf-8 {file.name}"
            )
            raise DataError(msg) from err
        except csv.Error as err:
            line = reader.line_num if reader else 1
            raise DataError(f"{file}: quotes must be closed and doubled inside; line {line}: {err}") from err
        except OSError as err:
            raise DataError(f"{file}: cannot be read; {err}") from err

    header = next(records(), (1, []))[1]
    _check_header(file, header)
    schema = pa.schema([(name, pa.string()) for name in header])

    def rows() -> Iterator[list[str]]:
        for line, row in islice(records(), 1, None):
            if not row:
                continue  # a blank line is no row
            if len(row) != len(header):
                msg = (
                    f"{file}: every row must have {len(header)} fields, as the header has; line {line} "
                    f"has {len(row)}: mend that line, or the header"
                )
                raise DataError(msg)
            yield row

    def batches() -> Iterator[pa.RecordBatch]:
        every = rows()
        while some := list(islice(every, AT_ONCE)):
            yield pa.record_batch([pa.array(column, pa.string()) for column in zip(*some, strict=True)], schema=schema)

    return Stream(schema, batches)


def _check_header(file: Path, header: list[str]) -> None:
    if not header:
        msg = f"{file}: the first line must name the columns; the file is empty"
        raise DataError(msg)
    if "" in (names := [name.strip() for name in header]):
        msg = f"{file}: every column must have a name; column {names.index('') + 1} of {len(names)} has none"
        raise DataError(msg)
    if twice := sorted({name for name in header if header.count(name) > 1}):
        msg = f"{file}: a column name must occur once; {listed(map(repr, twice))} occurs more often"
        raise DataError(msg)
