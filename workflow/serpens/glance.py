"""What a glance at a table's file tells before any job: its columns, and how many rows it has.

Each is read once for every content of a file.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from serpens import io
from serpens.contents import remembered
from serpens.errors import ConfigurationError, nearest


def header(path: str | Path) -> list[str]:
    """Return the column names of a table.

    Raises
    ------
    ConfigurationError
        The file is not there, is no table, is empty, is not UTF-8, or a column has no name of its own.
    """
    require(path)
    return remembered().fact(path, "header", _header)


def _header(path: io.PathLike) -> list[str]:
    names = _parquet(path).schema_arrow.names if _is_parquet(path) else next(_records(path), [])
    if not names:
        raise ConfigurationError(f"{path} is empty; its first line must name the columns")
    for place, name in enumerate(names, start=1):
        if "\N{REPLACEMENT CHARACTER}" in name:
            raise ConfigurationError(f"{path} is not UTF-8: column {place} reads {name!r}; convert the file")
        if not name.strip():
            raise ConfigurationError(f"column {place} of {path} has no name; give it one in the first line")
        if name in names[: place - 1]:
            raise ConfigurationError(f"{path} has two columns named {name!r}; rename one")
    return names


def count_rows(path: str | Path, at_most: int) -> int:
    """Count the data rows of a table, and stop at ``at_most``."""

    def counted(path: io.PathLike) -> int:
        if _is_parquet(path):
            return min(int(_parquet(path).metadata.num_rows), at_most)
        return sum(1 for _ in islice(filter(None, _records(path)), 1, at_most + 1))

    return remembered().fact(path, f"at most {at_most} rows", counted)


def require(path: str | Path) -> None:
    """Refuse a path where no file is, and name the one that may be meant.

    Raises
    ------
    ConfigurationError
        There is no file.
    """
    file, folder = Path(path), Path(path).absolute().parent
    if not folder.is_dir():
        raise ConfigurationError(f"there is no file {str(path)!r}: there is no folder {folder}")
    if not file.is_file():
        near = nearest(file.name, sorted(entry.name for entry in folder.iterdir()))
        raise ConfigurationError(f"there is no file {file.name!r} in {folder}{near}")


def _is_parquet(path: io.PathLike) -> bool:
    return str(path).endswith(".parquet")


def _parquet(path: io.PathLike) -> Any:
    import pyarrow.parquet  # 0.2 s, and most tables are text

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as Parquet: {error}") from error


def _records(path: io.PathLike) -> Iterator[list[str]]:
    """Yield the rows of a text table; bytes that are not UTF-8 are left to the job that reads them all."""
    opened = gzip.open if str(path).endswith(".gz") else open
    tab = str(path).removesuffix(".gz").endswith(".tsv")
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as lines:
            yield from csv.reader(lines, delimiter="\t" if tab else ",")
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise ConfigurationError(f"{path} cannot be read as a table: {error}") from error
