"""All reading and writing of Serpens' own files. Every write is atomic, every byte a function of the content.

A file appears under its name only when it is complete: it is written beside its place and renamed.
Parquet, safetensors and JSON carry no time, host or random part, so the same content gives the same bytes.
"""

import csv
import glob
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from serpens.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from serpens.pieces import Pieces
    from serpens.streams import Stream

# Values in a row group of Parquet: what is read and written at once.
GROUP_CELLS = 4_000_000
# And the fewest rows in one: each takes time and space of its own for every column.
GROUP_ROWS = 1000
# So many rows tell how columns are stored.
LOOKED_AT = 10_000
# Columns of what a row is called, and of what exact duplicates share.
ROW, CONTENT = NAMES = ("row", "content")
# A further one, true in the rows of an outside cohort, on which a model is tested.
COHORT = "__cohort__"
# What safetensors calls the types of the arrays that are written piece by piece.
SAFETENSORS = {"<f4": "F32", "<i8": "I64"}
# Ends the name of a file that is not whole yet.
PART = ".part"

PathLike = str | os.PathLike[str]


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it into place when the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(path: PathLike) -> None:
    """Remove what writers of a file left beside it that were killed before it was whole."""
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{PART}"):
        left.unlink(missing_ok=True)


@contextmanager
def workspace(path: PathLike) -> Iterator[Path]:
    """Yield the path of a folder beside ``path`` for what does not outlive the block, nor a block that was killed."""
    folder = Path(path).with_name(f".{Path(path).name}.work")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sha256(path: PathLike) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: PathLike, text: str) -> None:
    """Write text as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: PathLike, content: object) -> None:
    """Write indented JSON; NaN is refused, because JSON has none."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: PathLike) -> Any:
    """Read JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as err:
        msg = f"{path}: not valid JSON ({err}); delete the file and run again to make it anew"
        raise DataError(msg) from err


def read_cache(path: PathLike) -> dict[str, Any]:
    """Read what :func:`write_cache` kept; one that is lost or damaged is an empty one."""
    try:
        found = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_cache(path: PathLike, content: Mapping[str, Any]) -> None:
    """Keep what can be found out again."""
    write_text(path, json.dumps(content, separators=(",", ":")))


def write_arrow(path: PathLike, table: "pa.Table") -> None:
    """Write an Arrow table as Parquet."""
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


class TableWriter:
    """Writes a table as Parquet, piece by piece; used as a context, at whose end the file is whole.

    A row group holds so many rows as make ``GROUP_CELLS`` values, but ``GROUP_ROWS`` at least, whatever the pieces in
    which they come: the bytes of the file depend on the rows alone, and the memory that it takes on neither. While one
    is written, in a thread of its own, the next one is made.

    Attributes
    ----------
    rows
        Written so far, or waiting to be.
    """

    def __init__(self, path: PathLike, schema: "pa.Schema") -> None:
        self.path, self.schema = path, schema
        self.rows = 0
        self._at_once = group_rows(len(schema))
        self._waiting: list[pa.RecordBatch] = []
        self._writing: Future[None] | None = None
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        """Take a place for the file beside its own."""
        with ExitStack() as stack:
            self._temporary = stack.enter_context(replacing(self.path))
            # opened once the first rows are there, and closed when no thread writes any more
            self._file = stack.enter_context(ExitStack())
            self._pool = stack.enter_context(ThreadPoolExecutor(1))
            self._open = stack.pop_all()
        return self

    def write(self, batch: "pa.RecordBatch") -> None:
        """Add rows."""
        import pyarrow as pa

        self._waiting.append(batch)
        self.rows += len(batch)
        while sum(map(len, self._waiting)) >= self._at_once:
            table = pa.Table.from_batches(self._waiting)
            self._group(table.slice(0, self._at_once))
            self._waiting = table.slice(self._at_once).to_batches()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        """Write what waits, and move the file to its place if all went well."""
        import pyarrow as pa

        with self._open:
            if error is not None:
                raise error
            if self._waiting or self._writer is None:
                self._group(pa.Table.from_batches(self._waiting, self.schema))
            self._written()

    def _group(self, table: "pa.Table") -> None:
        import pyarrow.parquet as pq

        self._written()
        if self._writer is None:
            settings = _stored(table.slice(0, LOOKED_AT))
            self._writer = self._file.enter_context(pq.ParquetWriter(self._temporary, self.schema, **settings))
        self._writing = self._pool.submit(self._writer.write_table, table, row_group_size=self._at_once)

    def _written(self) -> None:
        """Wait for the row group that is being written; what went wrong is raised here."""
        if self._writing is not None:
            self._writing.result()


def _stored(first: "pa.Table") -> dict[str, Any]:
    """Return how columns are stored, by the first rows of a table.

    Numbers are packed fast, since they hardly shrink, and the rest well. Words that come again stand in a dictionary;
    where most differ, as written numbers do, to build one and give it up takes longer than all the rest.
    """
    import pyarrow as pa

    compression, words, encoding = {}, [], {}
    for field, column in zip(first.schema, first.columns, strict=True):
        compression[field.name] = "zstd"
        if pa.types.is_floating(field.type):
            compression[field.name], encoding[field.name] = "lz4", "BYTE_STREAM_SPLIT"
        elif pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            if 2 * len(column.unique()) <= len(column):
                words.append(field.name)
            else:
                encoding[field.name] = "DELTA_LENGTH_BYTE_ARRAY"
    return {
        "compression": compression,
        "use_dictionary": words or False,
        "column_encoding": encoding or None,
        "write_statistics": False,
    }


def write_stream(path: PathLike, stream: "Stream") -> int:
    """Write a stream as Parquet and return its number of rows."""
    with TableWriter(path, stream.schema) as writer:
        for batch in stream.batches():
            writer.write(batch)
    return writer.rows


def write_streams(
    paths: Mapping[str, PathLike], schema: "pa.Schema", batches: "Iterable[Mapping[str, pa.RecordBatch]]"
) -> dict[str, int]:
    """Write several tables with the same columns in one go, from the next rows of each, and return their rows."""
    with ExitStack() as stack:
        writers = {name: stack.enter_context(TableWriter(path, schema)) for name, path in paths.items()}
        for pieces in batches:
            for name, batch in pieces.items():
                writers[name].write(batch)
    return {name: writer.rows for name, writer in writers.items()}


def group_rows(n_columns: int) -> int:
    """Return how many rows of so many columns are read and written at once."""
    return max(GROUP_ROWS, GROUP_CELLS // max(1, n_columns))


def read_stream(path: PathLike, columns: Sequence[str] | None = None, groups: range | None = None) -> "Stream":
    """Return a Parquet file, or some of its row groups, as a stream, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from serpens.streams import Stream

    def batches() -> "Iterator[pa.RecordBatch]":
        # a file of its own for each reading, without which two of them would share a place in it
        with pq.ParquetFile(path) as file:
            for group in chosen:
                yield from file.read_row_group(group, columns=columns).combine_chunks().to_batches()

    def start(n: int) -> "pa.RecordBatch | None":
        with pq.ParquetFile(path) as file:
            return next(file.iter_batches(n, chosen, columns), None)

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        chosen = range(file.num_row_groups) if groups is None else groups
        rows = sum(file.metadata.row_group(group).num_rows for group in chosen)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    return Stream(schema, batches, rows, lambda names: read_stream(path, names, groups), start)


def read_part(path: PathLike, number: int, *, of: int) -> "tuple[int, Stream]":
    """Return one of so many parts of a Parquet file, in whole row groups, and how many rows come before it."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    first, last = len(sizes) * number // of, len(sizes) * (number + 1) // of
    return sum(sizes[:first]), read_stream(path, groups=range(first, last))


def read_pieces(path: PathLike) -> "Pieces":
    """Return a Parquet file as columns that can be read as often as needed, a row group at a time."""
    import pyarrow.parquet as pq

    from serpens.pieces import Pieces

    about = pq.read_metadata(path)

    def batches(names: Sequence[str] | None, every: int) -> "Iterator[pa.RecordBatch]":
        return read_stream(path, names, range(0, about.num_row_groups, every)).batches()

    return Pieces(about.num_rows, batches)


def write_table(path: PathLike, frame: "pd.DataFrame") -> None:
    """Write a data frame as Parquet, without its index and without metadata of pandas."""
    import pyarrow as pa

    write_arrow(path, pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None))


def read_table(path: PathLike, columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Read Parquet as a data frame."""
    import pandas as pd

    frame: pd.DataFrame = pd.read_parquet(path, columns=list(columns) if columns is not None else None)
    return frame


def count_rows(path: PathLike) -> int:
    """Return the number of rows of a Parquet file, without reading them."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def read_columns(path: PathLike) -> "dict[str, NDArray[Any]]":
    """Read Parquet as named arrays, without pandas.

    Numbers are float64 with NaN, times datetime64 with NaT, text is an object array with None for missing.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def write_columns(path: PathLike, columns: "Mapping[str, NDArray[Any]]") -> None:
    """Write named arrays of one length as Parquet."""
    import pyarrow as pa

    write_arrow(path, pa.table(dict(columns)))


def write_rows(path: PathLike, rows: Sequence[Mapping[str, object]], columns: Sequence[str] = ()) -> None:
    """Write rows with the same keys as CSV, for R and spreadsheets; None becomes an empty field.

    Parameters
    ----------
    columns
        The keys, where there may be no row to tell them.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns or list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: PathLike) -> list[dict[str, str]]:
    """Read the rows of a CSV, every value as text."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_arrays(path: PathLike, arrays: "Mapping[str, NDArray[Any]]") -> None:
    """Write named arrays as safetensors."""
    from safetensors.numpy import save

    with replacing(path) as temporary:
        temporary.write_bytes(save({name: _contiguous(array) for name, array in arrays.items()}))


def read_arrays(path: PathLike) -> "dict[str, NDArray[Any]]":
    """Read named arrays from safetensors."""
    from safetensors.numpy import load_file

    arrays: dict[str, NDArray[Any]] = load_file(path)
    return arrays


def write_pieces(path: PathLike, n_rows: int, pieces: "Iterable[Mapping[str, NDArray[Any]]]") -> None:
    """Write arrays of one length as safetensors, from the next rows of each; at least one piece."""
    pieces = iter(pieces)
    first = next(pieces)
    header: dict[str, dict[str, Any]] = {}
    end = 0
    for name, like in first.items():
        size = n_rows * math.prod(like.shape[1:]) * like.dtype.itemsize
        kind = SAFETENSORS[like.dtype.str]
        header[name] = {"dtype": kind, "shape": [n_rows, *like.shape[1:]], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    # numbers begin at a multiple of 64 bytes, which every processor likes
    text += b" " * (-(8 + len(text)) % 64)
    places = {name: 8 + len(text) + entry["data_offsets"][0] for name, entry in header.items()}
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for arrays in chain([first], pieces):
            for name, array in arrays.items():
                file.seek(places[name])
                file.write(_contiguous(array).data)
                places[name] += array.nbytes
        ends = {name: 8 + len(text) + entry["data_offsets"][1] for name, entry in header.items()}
        assert places == ends, "as many rows as were announced"


def map_arrays(path: PathLike) -> "dict[str, NDArray[Any]]":
    """Return the arrays of a safetensors file as they lie on the disk, read when they are looked at.

    What is written into them changes no file. Where they exceed memory the kernel drops what it can read again.
    """
    import numpy as np

    with Path(path).open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    mapped = np.memmap(path, dtype=np.uint8, mode="c")
    arrays = {}
    for name, entry in header.items():
        first, last = (start + offset for offset in entry["data_offsets"])
        kind = next(kind for kind, word in SAFETENSORS.items() if word == entry["dtype"])
        arrays[name] = np.asarray(mapped[first:last]).view(kind).reshape(entry["shape"])
    return arrays


def _contiguous(array: "NDArray[Any]") -> "NDArray[np.generic]":
    # safetensors writes the memory as it lies: a transposed view would come back scrambled
    import numpy as np

    # ascontiguousarray alone would turn a scalar array into a vector
    return np.ascontiguousarray(array).reshape(array.shape)
