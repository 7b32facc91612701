"""What a glance at a table's file tells before any job: its columns, about how many rows it has, what the first hold.

Each is read once for every content of a file.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from serpens import io
from serpens.contents import remembered, stamp
from serpens.errors import ConfigurationError, DataError, nearest
from serpens.formats import dialect, encoding, registry
from serpens.formats.registry import Read

# Of a text so much is looked at, and more only where that is less than a few rows.
SAMPLE_BYTES, SAMPLE_ROWS, MOST_BYTES = 65_536, 20, 16_777_216
# Of a Parquet file so many values.
SAMPLE_VALUES = 20_000
AS_IT_IS: Read = {}
GAPS = frozenset({"", "na", "nan", "null", "none", "?"})


class Values(NamedTuple):
    """What the first rows hold in a column.

    Attributes
    ----------
    numbers
        Whether most are numbers.
    whole
        Whether there are some, and all of them are whole.
    distinct
        How many differ.
    gaps
        Whether any is missing, or no number among numbers.
    """

    numbers: bool
    whole: bool
    distinct: int
    gaps: bool


class Look(NamedTuple):
    """How big a table is.

    Attributes
    ----------
    rows
        Counted where it is cheap (Parquet, a text that is not longer than what is looked at), else by the length of the
        text and of its first rows.
    size
        Bytes of the text, or of the columns, when they are not compressed.
    values
        What each column holds, by name.
    """

    rows: int
    size: int
    values: dict[str, Values]


def header(path: io.PathLike, read: Read = AS_IT_IS) -> list[str]:
    """Return the column names of a table.

    Parameters
    ----------
    read
        What the study's section ``read`` says.

    Raises
    ------
    ConfigurationError
        The file is not there, is no table, is empty, is not in its encoding, its delimiter cannot be told, or a column
        has no name of its own; or what reads it is not installed.
    """
    require(path)
    with _before_any_job():
        return remembered().fact(path, _fact("header", path, read), lambda path: _header(path, read))


def _fact(name: str, path: io.PathLike, read: Read) -> str:
    """Return what a fact is remembered by, beside the file: how it is read, and the images that it names."""
    if registry.is_of_images(str(path), read):
        stamps = [stamp(file) for file in registry.files(str(path), read)]
        name += f" of {hashlib.sha256(json.dumps(stamps).encode()).hexdigest()}"
    return f"{name} {json.dumps(read, sort_keys=True)}" if read else name


@contextmanager
def _before_any_job() -> Iterator[None]:
    """Report what a reader of a format finds as what stops before any job."""
    try:
        yield
    except DataError as error:
        raise ConfigurationError(str(error)) from error


def _header(path: io.PathLike, read: Read) -> list[str]:
    if registry.is_delimited(str(path), read):
        return list(_dialect(path, read).names)
    return registry.header(str(path), read)


def _dialect(path: io.PathLike, read: Read) -> dialect.Dialect:
    return dialect.find(str(path), read)


def count_rows(path: str | Path, at_most: int, read: Read = AS_IT_IS) -> int:
    """Count the data rows of a table, and stop at ``at_most``."""
    if _is_other(path, read):
        return min(_rows(path, read), at_most)

    def counted(path: io.PathLike) -> int:
        if _is_parquet(path):
            return min(int(_parquet(path).metadata.num_rows), at_most)
        return sum(1 for _ in islice(dialect.rows(str(path), _dialect(path, read)), at_most))

    with _before_any_job():
        return remembered().fact(path, _fact(f"at most {at_most} rows", path, read), counted)


def _rows(path: io.PathLike, read: Read) -> int:
    """Count the rows of a table that is neither text nor Parquet, as cheaply as its format allows."""
    with _before_any_job():
        return remembered().fact(path, _fact("rows", path, read), lambda path: registry.count(str(path), read))


def look(path: str | Path, read: Read = AS_IT_IS) -> Look:
    """Return how big a table is, without reading all of it.

    Raises
    ------
    ConfigurationError
        As :func:`header`.
    """
    names = header(path, read)
    with _before_any_job():
        rows, size, values = remembered().fact(path, _fact("look", path, read), lambda path: _look(path, read))
    return Look(rows, size, {name: Values(*each) for name, each in zip(names, values, strict=True)})


def _look(path: io.PathLike, read: Read) -> list[Any]:
    if _is_other(path, read):
        n_rows, size, first = _other_sample(path, read)
    elif _is_parquet(path):
        n_rows, size, first = _parquet_sample(path)
    else:
        n_rows, size, first = _text_sample(str(path), read)
    width = len(header(path, read))
    return [n_rows, size, [_values([row[place] for row in first if len(row) > place]) for place in range(width)]]


def _text_sample(path: str, read: Read) -> tuple[int, int, list[list[str]]]:
    """Return rows, bytes and the first rows of a text."""
    n_bytes = Path(path).stat().st_size
    found = _dialect(path, read)
    wanted = SAMPLE_BYTES
    while True:
        head = encoding.read_head(path, wanted)
        text = encoding.decode(path, head.data, found.encoding, final=head.whole)
        lines = dialect.lines_of(text, whole=head.whole)
        first = [row.fields for row in dialect.first_records(lines[found.lines :], found, path) if row]
        if head.whole:
            return len(first), len(head.data), first
        size = round(n_bytes * len(head.data) / max(1, head.packed_bytes))
        if len(first) >= SAMPLE_ROWS or wanted >= MOST_BYTES:
            named, n_seen = (sum(map(len, part)) for part in (lines[: found.lines], lines))
            n_characters = size * len(text) / max(1, len(head.data))
            return round(len(first) * (n_characters - named) / max(1, n_seen - named)), size, first
        wanted *= 4


def _parquet_sample(path: io.PathLike) -> tuple[int, int, list[list[str]]]:
    """Return rows, bytes and the first rows of a Parquet file, its values as text."""
    file = _parquet(path)
    about = file.metadata
    size = sum(about.row_group(place).total_byte_size for place in range(about.num_row_groups))
    at_once = max(SAMPLE_ROWS, SAMPLE_VALUES // about.num_columns)
    batch = next(file.iter_batches(batch_size=at_once, use_threads=False), None)
    return about.num_rows, size, _as_text(batch)


def _other_sample(path: io.PathLike, read: Read) -> tuple[int, int, list[list[str]]]:
    """Return rows, bytes and the first rows of a table of another format; bytes by what its first piece takes."""
    rows, stream = _rows(path, read), registry.open_table(str(path), read)
    batch = next(stream.batches(), None)
    if not batch:
        return rows, 0, []
    at_most = max(SAMPLE_ROWS, SAMPLE_VALUES // max(1, batch.num_columns))
    return rows, round(rows * batch.nbytes / len(batch)), _as_text(batch.slice(0, at_most))


def _as_text(batch: Any) -> list[list[str]]:
    """Return the rows of a piece of a table, if there is one, as text."""
    columns = [] if batch is None else [column.to_pylist() for column in batch.columns]
    return [["" if value is None else str(value) for value in row] for row in zip(*columns, strict=True)]


def _values(cells: Sequence[str]) -> Values:
    filled = [cell for cell in cells if cell.strip().lower() not in GAPS]
    numbers = [number for cell in filled if (number := _number(cell)) is not None]
    mostly = len(numbers) > len(filled) / 2
    whole = bool(numbers) and all(number.is_integer() for number in numbers)
    gaps = len(numbers if mostly else filled) < len(cells)
    return Values(mostly, whole, len(set(filled)), gaps)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def require(path: io.PathLike) -> None:
    """Refuse a path where no file is, and name the one that may be meant.

    Raises
    ------
    ConfigurationError
        There is no file.
    """
    if str(path).endswith("/") and Path(path).is_dir():
        return
    file, folder = Path(path), Path(path).absolute().parent
    if not folder.is_dir():
        raise ConfigurationError(f"there is no file {str(path)!r}: there is no folder {folder}")
    if not file.is_file():
        near = nearest(file.name, sorted(entry.name for entry in folder.iterdir()))
        raise ConfigurationError(f"there is no file {file.name!r} in {folder}{near}")


def _is_other(path: io.PathLike, read: Read) -> bool:
    """Return whether a table is neither plain text nor Parquet, which are looked at without reading more of them."""
    return registry.of(str(path)) not in (registry.DELIMITED, registry.PARQUET) or "images" in read


def _is_parquet(path: io.PathLike) -> bool:
    return str(path).endswith(".parquet")


def _parquet(path: io.PathLike) -> Any:
    import pyarrow.parquet  # 0.2 s, and most tables are text

    try:
        # buffered, or the first rows would take whole columns into memory
        return pyarrow.parquet.ParquetFile(path, buffer_size=SAMPLE_BYTES, pre_buffer=False)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as Parquet: {error}") from error
