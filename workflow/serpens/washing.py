"""Washing: a piece of a raw table becomes typed rows, with a tally of what was found in it.

Pieces are washed by themselves, in any order and place; their tallies add up to that of the whole table.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serpens.columns import Read, Reading, examples, read
from serpens.distinct import Distinct
from serpens.identity import row_digests
from serpens.io import COHORT, CONTENT
from serpens.ordering import Cuts, Parts
from serpens.words import Examples, Mask, Words

# A column that washing adds: the number of a row in the raw table.
PLACE = "__place__"
# Rows that are wrong, by column and by what must hold.
Faults = dict[str, dict[str, Examples]]
# More different values than this are not kept.
MANY = 1000


@dataclass(frozen=True)
class Roles:
    """Columns that the study gives a role."""

    target: str
    id: str | None = None
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    split: str | None = None
    subgroups: tuple[str, ...] = ()

    def by_column(self) -> dict[str, str]:
        """Return the role of each column that has one; of several the later, and of subgroups any other."""
        given = {"target": self.target, "id": self.id, "group": self.group, "time": self.time}
        given |= {"weight": self.weight, "split": self.split}
        return dict.fromkeys(self.subgroups, "subgroup") | {
            name: role for role, name in given.items() if name is not None
        }


@dataclass
class ColumnTally:
    """What was found in a column.

    Attributes
    ----------
    known
        Rows with a value, among those that have a target.
    low, high
        Least and greatest number or time (in microseconds since 1970).
    values
        The different values of the target; None once they are many.
    """

    missing_words: Counter[str] = field(default_factory=Counter)
    known: int = 0
    low: float | int | None = None
    high: float | int | None = None
    distinct: Distinct = field(default_factory=Distinct)
    values: frozenset[Any] | None = frozenset()

    def merge(self, other: "ColumnTally") -> None:
        """Add what was found in another piece."""
        self.missing_words += other.missing_words
        self.known += other.known
        self.low = min((each.low for each in (self, other) if each.low is not None), default=None)
        self.high = max((each.high for each in (self, other) if each.high is not None), default=None)
        self.distinct.merge(other.distinct)
        if self.values is not None:
            self.values = None if other.values is None else _few(self.values | other.values)


@dataclass
class Tally:
    """What was found in a table.

    Attributes
    ----------
    read
        Rows.
    no_target
        Rows that were left out because they have no target.
    gaps
        Rows that lack what the claim or the loss needs, by role.
    """

    read: int = 0
    no_target: int = 0
    columns: dict[str, ColumnTally] = field(default_factory=dict)
    gaps: dict[str, Examples] = field(default_factory=dict)
    weights: bool = True

    def merge(self, other: "Tally") -> None:
        """Add what was found in another piece."""
        self.read += other.read
        self.no_target += other.no_target
        self.weights &= other.weights
        for name, column in other.columns.items():
            self.columns.setdefault(name, ColumnTally()).merge(column)
        for role, rows in other.gaps.items():
            self.gaps.setdefault(role, Examples()).merge(rows)


@dataclass(frozen=True)
class Washed:
    """A piece of the table, washed.

    Attributes
    ----------
    parts
        ``__place__``, ``content`` and the columns in use, of the rows that stay, by ranges; none if there are faults.
    faults
        What must hold of a column, and where it does not.
    words
        Pieces of the columns whose type rests on all of their words.
    raw
        The piece as it was.
    """

    parts: Parts
    tally: Tally
    faults: Faults
    words: dict[str, Words]
    raw: pa.RecordBatch


@dataclass(frozen=True)
class Washer:
    """How pieces of a table are washed.

    Attributes
    ----------
    readings
        How each column in use is read.
    watched
        Columns whose type rests on all of their words.
    keep_all
        Whether rows without a target stay, as in a series.
    """

    readings: Mapping[str, Reading]
    roles: Roles
    watched: frozenset[str]
    keep_all: bool
    cohort: bool

    @property
    def schema(self) -> pa.Schema:
        """Columns and types of washed rows."""
        types = {"number": pa.float64(), "time": pa.timestamp("us")}
        fields = [(PLACE, pa.int64()), (CONTENT, pa.string())]
        fields += [(name, types.get(how.type, pa.string())) for name, how in self.readings.items()]
        return pa.schema(fields + ([(COHORT, pa.bool_())] if self.cohort else []))

    def wash(self, piece: tuple[int, pa.RecordBatch], cuts: Cuts) -> Washed:
        """Wash a piece that starts after so many rows, and deal its rows to ranges."""
        before, batch = piece
        first = before + 1
        reads = {name: read(how, batch.column(name), first) for name, how in self.readings.items()}
        faults: Faults = {
            name: {
                fault: examples(self.readings[name], fault, batch.column(name), found, rows, first)
                for fault, rows in found.faults.items()
            }
            for name, found in reads.items()
            if found.faults
        }
        words = {name: found.words for name, found in reads.items() if name in self.watched and found.words}
        tally = Tally(read=len(batch))
        for name, found in reads.items():
            tally.columns[name] = ColumnTally(Counter(found.missing_words))
        stays = np.ones(len(batch), dtype=bool)
        if not self.keep_all:
            stays = np.asarray(reads[self.roles.target].values.is_valid())
            tally.no_target = len(batch) - int(stays.sum())
        stays = self._without_gaps(reads, stays, tally, first)
        columns: dict[str, Any] = {PLACE: pa.array(np.arange(first, first + len(batch)))}
        columns |= {name: found.values for name, found in reads.items()}
        if self.cohort:
            columns[COHORT] = batch.column(COHORT).cast(pa.bool_())
        if faults:  # the caller stops, or reads anew
            return Washed([], tally, faults, words, batch)
        table = pa.table(columns)
        content = table.column(self.roles.id) if self.roles.id else row_digests(table.drop_columns(PLACE))
        parts = cuts.deal(table.add_column(1, CONTENT, content).cast(self.schema), stays)
        rows = pa.concat_tables(parts)
        for name in self.readings:
            if name != self.roles.id:
                _count(tally.columns[name], rows.column(name))
        target = pc.unique(rows.column(self.roles.target)).drop_null()
        tally.columns[self.roles.target].values = _few(frozenset(target[: MANY + 1].to_pylist()))
        return Washed(parts, tally, faults, words, batch)

    def _without_gaps(self, reads: Mapping[str, Read], stays: Mask, tally: Tally, first: int) -> Mask:
        """Count rows that lack what the claim or the loss needs, and leave them out: the table will be refused."""
        whole = stays.copy()
        for role in ("group", "time", "weight", "split", "id"):
            name = getattr(self.roles, role)
            if name is None:
                continue
            gone = stays & ~np.asarray(reads[name].values.is_valid())
            if gone.any():
                found = tally.gaps.setdefault(role, Examples())
                found.take(pa.nulls(len(gone)), gone, first)
                whole &= ~gone
        if (weight := self.roles.weight) is not None and self.readings[weight].type == "number":
            tally.weights = bool(pc.all(pc.greater(reads[weight].values.drop_null(), 0)).as_py() is not False)
        return whole


def _few(values: frozenset[Any]) -> frozenset[Any] | None:
    return values if len(values) <= MANY else None


def _count(tally: ColumnTally, column: pa.ChunkedArray) -> None:
    """Count values; of numbers and times their range is enough here."""
    tally.known = len(column) - column.null_count
    if not tally.known:
        return
    if pa.types.is_string(column.type):
        tally.distinct.add(column.combine_chunks())
    else:
        ends = pc.min_max(column)
        tally.low, tally.high = (_plain(ends[end]) for end in ("min", "max"))


def _plain(value: pa.Scalar) -> float | int:
    plain: float | int = value.value if pa.types.is_timestamp(value.type) else value.as_py()
    return plain
