"""Data that lie in files here, and reading several files as one table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from serpens import io
from serpens.errors import ConfigurationError, DataError, listed
from serpens.formats import registry
from serpens.sources.parts import Brought, File, Given
from serpens.sources.paths import keys, written_out
from serpens.sources.registry import ARCHIVES, ending
from serpens.streams import Stream


def bring(data: Mapping[str, Any], given: Given) -> Brought:
    """Return the files that a study names, in their order.

    Raises
    ------
    DataError
        If one is missing, or differs from its sha256.
    """
    try:
        paths = written_out(data["file"])
    except ConfigurationError as err:  # planning saw the files, and they went away since
        raise DataError(str(err)) from err
    files = [local(path, given, keys=keys(path, data["file"])) for path in paths]
    check(files, data["sha256"])
    return Brought(tuple(files))


def local(path: str, given: Given, *, keys: Mapping[str, str | None] | None = None) -> File:
    """Return a file that lies here, with what it holds; a folder of images counts as one.

    Raises
    ------
    DataError
        If it is missing or may not be read.
    """
    file = Path(path)
    if not (path.endswith("/") or file.is_file()):
        msg = f"{path}: the file must exist; it does not"
        raise DataError(msg)
    try:
        parts = [path] if ending(path, ARCHIVES) else registry.files(path, given.read)
        digests = [given.digests.get(part) or io.sha256(part) for part in parts]
        n_bytes = sum(Path(part).stat().st_size for part in parts)
    except OSError as err:
        msg = f"{err.filename or path}: cannot be read; {err.strerror}"
        raise DataError(msg) from err
    if len(parts) > 1:
        told = "".join(f"{digest}  {part}\n" for digest, part in zip(digests, parts, strict=True))
        digests = [sha256(told.encode()).hexdigest()]
    return File(file, path, path if path.endswith("/") else file.name, n_bytes, digests[0], keys or {})


def check(files: Sequence[File], wanted: Sequence[str] | None) -> None:
    """Compare files with what a study says of their bytes.

    Raises
    ------
    DataError
        Naming the first that differs.
    """
    if wanted is None:
        return
    if len(wanted) != len(files):
        msg = f"data.sha256 must be one for each file, in their order; there are {len(wanted)} for {len(files)} files"
        raise DataError(msg)
    for file, digest in zip(files, wanted, strict=True):
        if file.sha256 != digest:
            msg = (
                f"{file.origin}: sha256 must be {digest}; it is {file.sha256}: the file is not the one that the study "
                "names, so get that one, or correct data.sha256"
            )
            raise DataError(msg)


@dataclass(frozen=True)
class Joined:
    """Several tables, one below the other.

    Attributes
    ----------
    stream
        All rows.
    rows
        Of each table, in their order; known when the stream has been read to its end.
    """

    stream: Stream
    rows: list[int]


def below_each_other(tables: Sequence[tuple[str, Stream, Mapping[str, str | None]]]) -> Joined:
    """Return tables, each with what people call it and the keys of its folder, as one.

    Raises
    ------
    DataError
        If one lacks a column of another, or has it as another type; from the pieces, if there is no row at all.
    """
    first, schema, n = tables[0][0], _with_keys(*tables[0]), len(tables)
    schemas = [schema]
    for origin, stream, own in tables[1:]:
        other = _with_keys(origin, stream, own)
        _same_columns(schema, other, first, origin)
        schemas.append(pa.schema([other.field(name) for name in schema.names]))
    schema = one_type(schemas, [origin for origin, _, _ in tables])
    rows = [0] * n

    def batches() -> Iterator[pa.RecordBatch]:
        rows[:] = [0] * n
        for place, (origin, stream, own) in enumerate(tables):
            for batch in stream.batches():
                rows[place] += batch.num_rows
                yield as_schema(batch, schema, own, origin)
        if not sum(rows):
            what = first if n == 1 else f"{first} and {n - 1} more"
            raise DataError(f"{what}: there must be at least one row of data; there is none")

    return Joined(Stream(schema, batches), rows)


def one_type(schemas: Sequence[pa.Schema], origins: Sequence[str]) -> pa.Schema:
    """Return the schema that takes the values of all, which have the same columns in the same order.

    Raises
    ------
    DataError
        If a column has types that no type takes.
    """
    schema = schemas[0]
    for other, origin in zip(schemas[1:], origins[1:], strict=True):
        try:
            schema = pa.unify_schemas([schema, other], promote_options="permissive")
        except pa.ArrowException as err:
            column = next(name for name in schema.names if not _go_together(schema.field(name), other.field(name)))
            msg = (
                f"{origin} must have columns of the types of {origins[0]}; column {column!r} "
                f"is {other.field(column).type} there, and {schema.field(column).type} in {origins[0]}: "
                "give both as text, or both as Parquet of the same types"
            )
            raise DataError(msg) from err
    return schema


def _go_together(one: pa.Field, other: pa.Field) -> bool:
    try:
        pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive")
    except pa.ArrowException:
        return False
    return True


def as_schema(batch: pa.RecordBatch, schema: pa.Schema, own: Mapping[str, str | None], origin: str) -> pa.RecordBatch:
    """Return a piece with the columns of a schema, in its order; what stands in no file comes from ``own``."""
    columns = []
    for field in schema:
        if field.name in own:
            columns.append(pa.array([own[field.name]] * batch.num_rows, field.type))
            continue
        try:
            columns.append(batch.column(field.name).cast(field.type))
        except pa.ArrowException as err:
            raise DataError(f"{origin}: column {field.name!r} must be {field.type}, as in other files; {err}") from err
    return pa.record_batch(columns, schema=schema)


def _with_keys(origin: str, stream: Stream, own: Mapping[str, str | None]) -> pa.Schema:
    if both := [name for name in own if name in stream.schema.names]:
        msg = f"{origin}: {listed(map(repr, both))} must stand in the name of a folder or in the file; it is in both"
        raise DataError(msg)
    return pa.schema([*stream.schema, *(pa.field(name, pa.string()) for name in own)])


def _same_columns(ours: pa.Schema, theirs: pa.Schema, first: str, origin: str) -> None:
    if set(ours.names) != set(theirs.names):
        lacking = listed([name for name in ours.names if name not in theirs.names]) or "none"
        besides = listed([name for name in theirs.names if name not in ours.names]) or "none"
        msg = f"{origin} must have the columns of {first}; it lacks {lacking}, and has besides {besides}"
        raise DataError(msg)
