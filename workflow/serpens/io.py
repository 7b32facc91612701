"""All reading and writing of Serpens' own files. Every write is atomic, every byte a function of the content.

A file appears under its name only when it is complete: it is written beside its place and renamed.
Parquet, safetensors and JSON carry no time, host or random part, so the same content gives the same bytes.
"""

import csv
import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serpens.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from serpens.streams import Stream

# Values in a row group of Parquet: what is read and written at once.
GROUP_CELLS = 4_000_000
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


def write_stream(path: PathLike, stream: "Stream") -> int:
    """Write a stream as Parquet and return its number of rows.

    A row group holds so many rows as make ``GROUP_CELLS`` values, whatever the pieces in which they come: the bytes of
    the file depend on the rows alone, and the memory that it takes on neither.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    at_once = max(1, GROUP_CELLS // max(1, len(stream.schema)))
    rows = 0
    waiting: list[pa.RecordBatch] = []
    with replacing(path) as temporary, pq.ParquetWriter(temporary, stream.schema, compression="zstd") as writer:
        for batch in stream.batches():
            waiting.append(batch)
            while sum(map(len, waiting)) >= at_once:
                table = pa.Table.from_batches(waiting)
                writer.write_table(table.slice(0, at_once), row_group_size=at_once)
                rows += at_once
                waiting = table.slice(at_once).to_batches()
        if held := sum(map(len, waiting)):
            writer.write_table(pa.Table.from_batches(waiting), row_group_size=at_once)
            rows += held
    return rows


def read_stream(path: PathLike, columns: Sequence[str] | None = None) -> "Stream":
    """Return a Parquet file as a stream, a row group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from serpens.streams import Stream

    def batches() -> "Iterator[pa.RecordBatch]":
        # a file of its own for each reading, without which two of them would share a place in it
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=columns).combine_chunks().to_batches()

    schema = pq.read_schema(path)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    return Stream(schema, batches)


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


def _contiguous(array: "NDArray[Any]") -> "NDArray[np.generic]":
    # safetensors writes the memory as it lies: a transposed view would come back scrambled
    import numpy as np

    # ascontiguousarray alone would turn a scalar array into a vector
    return np.ascontiguousarray(array).reshape(array.shape)
