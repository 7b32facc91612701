"""Shards: parts of a raw table that are washed by jobs of their own, and what these hand on.

The rows of a shard are dealt to the same ranges as those of every other, so that each range is put together from all.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa
from pydantic import TypeAdapter

from serpens import io
from serpens.ordering import Parts, in_order
from serpens.streams import ahead
from serpens.washing import Faults, Tally
from serpens.words import Examples, Survey


@dataclass
class Found:
    """What was found in a shard.

    Attributes
    ----------
    ranges
        The range that each batch of rows belongs to.
    n_ranges
        How many there are.
    keys
        Columns that they are ranges of.
    """

    tally: Tally
    surveys: dict[str, Survey]
    faults: Faults
    ranges: list[int]
    n_ranges: int
    keys: list[str]


_FOUND = TypeAdapter(Found)


def write(rows: io.PathLike, about: io.PathLike, schema: pa.Schema, pieces: Iterator[Parts], found: Found) -> None:
    """Write a shard piece by piece; what was found is complete when all have come."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        io.replacing(rows) as path,
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, schema, options=options) as writer,
    ):
        for parts in pieces:
            for place, part in enumerate(parts):
                for batch in part.combine_chunks().to_batches():
                    writer.write_batch(batch)
                    found.ranges.append(place)
    io.write_json(about, _FOUND.dump_python(found, mode="json"))


class Shards:
    """All shards of a table.

    Parameters
    ----------
    rows, about
        Paths of the rows of each shard, and of what was found in each, in the order of the shards.
    """

    def __init__(self, rows: Sequence[io.PathLike], about: Sequence[io.PathLike]) -> None:
        self.paths = list(rows)
        self.found = [_FOUND.validate_python(io.read_json(path)) for path in about]
        with pa.ipc.open_file(pa.memory_map(str(self.paths[0]))) as reader:
            self.schema = reader.schema

    def merged(self) -> tuple[Tally, dict[str, Survey], Faults]:
        """Return what was found in all of them."""
        tally, surveys, faults = Tally(), dict[str, Survey](), Faults()
        for found in self.found:
            tally.merge(found.tally)
            for name, survey in found.surveys.items():
                if name in surveys:
                    surveys[name].merge(survey)
                else:
                    surveys[name] = survey
            for name, rows_by_fault in found.faults.items():
                for fault, rows in rows_by_fault.items():
                    faults.setdefault(name, {}).setdefault(fault, Examples()).merge(rows)
        return tally, surveys, faults

    @property
    def n_ranges(self) -> int:
        """How many ranges there are."""
        return self.found[0].n_ranges

    def __enter__(self) -> "Shards":
        return self

    def __exit__(self, *_: object) -> None:
        """Keep the files: they are outputs of jobs."""

    def ordered(self, threads: int = 1) -> Iterator[pa.Table]:
        """Yield the rows of each range in order."""
        yield from ahead(self._load, range(self.n_ranges), threads)

    def _load(self, place: int) -> pa.Table:
        batches: list[pa.RecordBatch] = []
        with ExitStack() as opened:
            for path, found in zip(self.paths, self.found, strict=True):
                reader = opened.enter_context(pa.ipc.open_file(opened.enter_context(pa.memory_map(str(path)))))
                batches += [reader.get_batch(at) for at, own in enumerate(found.ranges) if own == place]
            return in_order(pa.Table.from_batches(batches, self.schema), self.found[0].keys)


def read(rows: Sequence[io.PathLike], about: Sequence[io.PathLike]) -> Shards | None:
    """Return the shards of a table; None where there are none."""
    return Shards(rows, about) if rows else None
