"""From what a source brought to one table: unpacked, one below the other, turned round, joined, with its account."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from serpens import provenance
from serpens.dataartefacts import JoinAccount, Source, SourcePart
from serpens.errors import DataError
from serpens.formats import registry
from serpens.sources import files
from serpens.sources.parts import Brought, File, Given, Table
from serpens.sources.registry import SOURCES, STEPS, TABLES, ending, kind, must_unpack
from serpens.streams import Stream

if TYPE_CHECKING:
    import pyarrow as pa

    from serpens.sources.joins import Matches

Kind = Literal["file", "url", "storage", "openml", "huggingface", "simulator"]
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Collected:
    """A table on its way.

    Attributes
    ----------
    stream
        The table.
    source
        Says where it came from; numbers of rows are known when the stream has been read to its end.
    """

    stream: Stream
    source: Callable[[], Source]


def collect(settings: Settings, given: Given) -> Collected:
    """Bring a study's data here as one table.

    Raises
    ------
    DataError
        From here or from the stream, if they cannot be had, or are not what the study says.
    EnvironmentFaultError
        If the machine lacks network, room or a library.
    """
    data = settings["data"]
    name: Kind = kind(data)  # type: ignore[assignment]
    brought: Brought = import_module(SOURCES[name]).bring(data, given)
    origins: list[File | Table] = [*brought.files, *brought.tables]
    origin = origins[0].origin if len(origins) == 1 else f"{origins[0].origin} and {len(origins) - 1} more"
    unpacked = [(file.origin, _opened(file, given, settings["read"]), file.keys) for file in brought.files]
    main = files.below_each_other([*unpacked, *((table.origin, table.stream, {}) for table in brought.tables)])
    stream = main.stream
    if data["transpose"]:
        stream = import_module(STEPS["transpose"]).apply(stream, data["transpose"], origin)
    joined = []
    for join in data["join"]:
        file = files.local(join["file"], given)
        other = _opened(file, given, settings["read"])
        stream, matches = import_module(STEPS["join"]).apply(
            stream, other, on=join["on"], unmatched=join["unmatched"], origin=file.origin
        )
        joined.append((join, file, matches))
    outside = None
    if settings["cohort"]:
        file = files.local(settings["cohort"], given)
        other, n_rows = counted(_opened(file, given, settings["read"]))
        outside = (file, n_rows, len(other.schema))
        stream = import_module(STEPS["cohort"]).apply(stream, origin, other, file.origin)
    columns = len(stream.schema) - (outside is not None)
    stream, total = counted(stream)
    time = provenance.now()

    def source() -> Source:
        parts = tuple(
            SourcePart(origin=each.origin, bytes=each.bytes, sha256=each.sha256, rows=rows)
            for each, rows in zip(origins, main.rows, strict=True)
        )
        return Source(
            kind=name,
            origin=origin,
            bytes=sum(each.bytes for each in origins),
            sha256=parts[0].sha256 if len(parts) == 1 else _of_all(parts),
            time=time,
            rows=total[0],
            columns=columns,
            parts=parts if len(parts) > 1 else (),
            transposed=data["transpose"],
            joined=tuple(_account(*each) for each in joined),
            cohort=outside and _cohort(*outside, time=time),
            license=data["license"],
            citation=data["citation"],
        )

    return Collected(stream, source)


def counted(stream: Stream) -> tuple[Stream, list[int]]:
    """Return a stream that counts its rows, and their number, which is known when it has been read to its end."""
    rows = [0]

    def batches() -> "Iterator[pa.RecordBatch]":
        rows[0] = 0
        for batch in stream.batches():
            rows[0] += batch.num_rows
            yield batch

    return Stream(stream.schema, batches), rows


def _opened(file: File, given: Given, read: Mapping[str, Any]) -> Stream:
    """Return the table of a file; messages call it what people do, wherever it lies."""
    if must_unpack(file.name):
        file = import_module(STEPS["unpack"]).apply(file, given.scratch, read)
    path = str(file.path)
    if file.name.endswith("/"):
        path = file.name
    elif not path.endswith(kept := ending(file.name, TABLES) or ""):
        # a download is called by its digest; what reads it goes by its ending
        link = given.scratch / f"{len(list(given.scratch.iterdir()))}{kept}"
        link.symlink_to(file.path.absolute())
        path = str(link)

    def batches() -> "Iterator[pa.RecordBatch]":
        with _called(path, file.origin):
            yield from stream.batches()

    with _called(path, file.origin):
        stream = registry.open_table(path, read)
    return Stream(stream.schema, batches)


@contextmanager
def _called(path: str, origin: str) -> Iterator[None]:
    try:
        yield
    except DataError as err:
        raise DataError(str(err).replace(path, origin)) from err


def _of_all(parts: tuple[SourcePart, ...]) -> str:
    """Return a digest of all files in their order, whatever they are called."""
    return sha256("\n".join(part.sha256 for part in parts).encode()).hexdigest()


def _account(join: Mapping[str, Any], file: File, matches: "Matches") -> JoinAccount:
    return JoinAccount(
        origin=file.origin,
        bytes=file.bytes,
        sha256=file.sha256,
        on=join["on"],
        unmatched=join["unmatched"],
        rows_matched=matches.matched,
        rows_unmatched=matches.unmatched,
        other_matched=matches.other_matched,
        other_unmatched=matches.other_unmatched,
    )


def _cohort(file: File, rows: list[int], columns: int, *, time: str) -> Source:
    return Source(
        kind="file",
        origin=file.origin,
        bytes=file.bytes,
        sha256=file.sha256,
        time=time,
        rows=rows[0],
        columns=columns,
    )
