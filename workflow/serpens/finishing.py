"""Finishing: washed rows are ordered, told apart, named, described and digested as they pass for the last time."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serpens import io, ordering
from serpens.artefacts import Digest
from serpens.calendar import regular
from serpens.columns import collected_as
from serpens.config import Task
from serpens.configtypes import choice
from serpens.dataartefacts import Cleaning, ColumnAccount, ColumnReading, RowAccount
from serpens.describing import Description, digest_of
from serpens.errors import DataError, listed
from serpens.identity import as_text
from serpens.io import COHORT, CONTENT, ROW
from serpens.ordering import Dealt
from serpens.personal import fingerprint, masked
from serpens.rawtable import RawTable
from serpens.streams import Stream, ahead, regrouped
from serpens.washing import PLACE, Tally

FEATURE = "feature"


@dataclass
class Cleaned:
    """A cleaned table: its rows pass once, and are accounted for when all have.

    Attributes
    ----------
    rows
        ``row`` (what the row is called), ``content`` (equal for exact duplicates), and the columns in use: numbers
        float64, times datetime64, categories text with null.
    task, classes
        What is predicted; with two classes the positive one is last. No classes for numbers.
    account
        Every row and column: read = kept + dropped.
    digest
        What later jobs depend on.
    """

    rows: Stream
    task: Task
    classes: tuple[str, ...] = ()
    account: Cleaning = field(init=False)
    digest: Digest = field(init=False)


@dataclass
class Finish:
    """What happens to washed rows: they are ordered, told apart, named, described and digested."""

    table: RawTable
    tally: Tally
    dealt: Dealt
    task: Task
    reasons: Mapping[str, str]
    positive_class: str | None
    duplicates_are: str
    threads: int
    folder: Path

    def __post_init__(self) -> None:
        self.roles = self.table.roles
        self.dropped = {"no target": self.tally.no_target}
        self.inserted = self.duplicates = self.kept = 0

    def cleaned(self) -> Cleaned:
        """Return the rows, and what is known of them once they have passed."""
        schema = self.table.washer().schema
        types = {name: schema.field(name).type for name in schema.names if name not in (PLACE, CONTENT)}
        if self.task == "classification":
            types[self.roles.target] = pa.string()
        out = {name for name in types if name not in self.reasons}
        if self.roles.by_column().get(self.roles.id or "") == "id":
            out.discard(str(self.roles.id))
        final = pa.schema([(ROW, pa.string()), (CONTENT, pa.string()), *((name, types[name]) for name in sorted(out))])

        columns = self.tally.columns
        told = {
            name: Description(each, (columns[name].low or 0.0, columns[name].high or 0.0))
            for name, each in types.items()
            if name not in (COHORT, self.roles.id)
        }

        def described(group: pa.Table) -> tuple[pa.Table, dict[str, Description], bytes]:
            table = group.combine_chunks()
            rows = table.select(final.names)
            pieces = {name: whole.of(table.column(name).combine_chunks()) for name, whole in told.items()}
            return rows, pieces, digest_of(rows)

        def batches() -> Iterator[pa.RecordBatch]:
            digest = hashlib.sha256()
            with self.dealt:
                groups = regrouped(self._named(), io.group_rows(len(final)))
                for rows, pieces, content in ahead(described, groups, self.threads):
                    for name, piece in pieces.items():
                        told[name].merge(piece)
                    digest.update(content)
                    self.kept += len(rows)
                    yield from rows.to_batches()
            self._account(result, told, digest)

        result = Cleaned(Stream(final, batches), self.task)
        return result

    def _account(self, result: Cleaned, told: Mapping[str, Description], digest: "hashlib._Hash") -> None:
        if self.task == "classification":
            levels = told[self.roles.target].levels
            if levels is None:
                msg = (
                    f"the target {self.roles.target!r} must have classes; it has more than a thousand: is it a number?"
                )
                raise DataError(msg)
            result.classes = _classes(levels, self.roles.target, self.positive_class)
        by_column = self.roles.by_column()
        entries = [self._entry(name, by_column.get(name, FEATURE), told.get(name)) for name in self.table.names]
        if not any(entry.role == FEATURE and entry.kept for entry in entries) and not self.table.horizon:
            why = listed(f"{name} ({reason})" for name, reason in self.reasons.items())
            msg = f"at least one column must be left to predict from; there is none. Left out: {why or 'none'}"
            raise DataError(msg)
        dropped = {reason: n for reason, n in self.dropped.items() if n}
        assert self.tally.read + self.inserted == self.kept + sum(dropped.values())
        rows = RowAccount(
            read=self.tally.read,
            kept=self.kept,
            inserted=self.inserted,
            dropped=dropped,
            duplicates=self.duplicates,
        )
        hashed = "hash" in self.table.personal.values()
        result.account = Cleaning(
            rows=rows,
            columns=tuple(entries),
            personal=self.table.findings,
            key=fingerprint(self.table.key) if hashed else None,
        )
        columns = {entry.name: {"role": entry.role, "type": str(entry.type)} for entry in entries if entry.kept}
        known = {"task": self.task, "classes": list(result.classes), "columns": columns}
        digest.update(json.dumps(known, sort_keys=True).encode())
        result.digest = Digest(sha256=digest.hexdigest(), rows=self.kept, **known)

    def _entry(self, name: str, role: Any, description: Description | None) -> ColumnAccount:
        reason = self.reasons.get(name)
        decision = self.table.personal.get(name)
        entry: dict[str, Any] = {"name": name, "role": role, "kept": reason is None, "reason": reason}
        entry["personal"] = decision
        if name not in self.table.readings:
            return ColumnAccount(**entry)
        how = self.table.readings[name]
        entry |= {"type": how.type, "how": how.how, "missing_words": dict(self.tally.columns[name].missing_words)}
        entry["reading"] = ColumnReading(
            type=how.type,
            collected=collected_as(name, self.table.stream.schema.field(name).type),
            format=how.form,
            said=how.said(),
        )
        if role == "target" and self.task == "classification":
            entry["type"] = "category"
        if description is None:  # an id: every row has one of its own
            return ColumnAccount(**entry, missing=0, distinct=self.kept)
        told = description.entry()
        if decision is not None:  # no value of it is told
            told = {key: told[key] for key in ("missing", "distinct", "distinct_exact")}
        return ColumnAccount(**entry, **told)

    def _named(self) -> Iterator[pa.Table]:
        """Yield the rows in canonical order, each with its name."""
        for ordered in self._series() if self.table.horizon else self._ordered():
            repeat = _repeats(ordered.column(CONTENT))
            table = self._unrepeated(ordered, repeat) if self.duplicates_are != "keep" else ordered
            named = table
            if self.task == "classification":
                place = table.schema.get_field_index(self.roles.target)
                text = as_text(table.column(place).combine_chunks())
                named = table.set_column(place, self.roles.target, text)
            repeat = repeat if table is ordered else np.zeros(len(table), dtype=np.int64)
            self.duplicates += int((repeat > 0).sum())
            content = table.column(CONTENT).combine_chunks()
            again = pc.binary_join_element_wise(content, pa.array(repeat + 1).cast(pa.string()), "-")
            yield named.append_column(ROW, pc.if_else(pa.array(repeat > 0), again, content))

    def _unrepeated(self, table: pa.Table, repeat: Any) -> pa.Table:
        """Leave out rows that repeat the one before them, or refuse them."""
        if not (again := repeat > 0).any():
            return table
        if self.duplicates_are == "refuse":
            at = int(again.argmax())
            rows = sorted(table.column(PLACE)[place].as_py() for place in (at - 1, at))
            msg = (
                f"no row may repeat another one exactly (clean: {{duplicates: refuse}}); rows {listed(map(str, rows))} "
                f"are the same, and {int(again.sum()) - 1} more repeat others: remove them, name an id, or say "
                "duplicates: drop"
            )
            raise DataError(msg)
        self.dropped["exact duplicate"] = self.dropped.get("exact duplicate", 0) + int(again.sum())
        return table.filter(pa.array(~again))

    def _ordered(self) -> Iterator[pa.Table]:
        """Yield the rows in their order; where there is an id, one row for each."""
        id_, time = self.roles.id, self.roles.time
        tables = self.dealt.ordered(self.threads)
        if id_ is None:
            yield from tables
            return
        once = (self._once(table, id_, "same id, same content", "rows of one id must agree") for table in tables)
        if time is None:
            yield from once
            return
        # by time, now that rows of one id are known to agree
        keys = [time, CONTENT]
        schema = self.dealt.schema
        cuts = self.table.cuts(keys, self.dealt.n_ranges, schema)
        with ordering.Ranges(schema, cuts, self.folder / "by-time") as again:
            for table in once:
                again.add(cuts.deal(table))
            yield from again.ordered(self.threads)

    def _once(self, table: pa.Table, key: str, reason: str, must: str) -> pa.Table:
        """Keep one of the rows with the same key and content, which lie together; refuse those that differ."""
        same = _same_as_before(table.column(key))
        if not same.any():
            return table
        differs = np.zeros(len(table), dtype=bool)
        for name in table.column_names:
            if name not in (PLACE, key):
                differs |= same & ~_same_as_before(table.column(name))
        if differs.any():
            raise _disagreement(table, key, int(differs.argmax()), must, private=key in self.table.personal)
        self.dropped[reason] = self.dropped.get(reason, 0) + int(same.sum())
        return table.filter(pa.array(~same))

    def _series(self) -> Iterator[pa.Table]:
        """Yield a regular series as one table: one row a time, and rows without values where there was a gap."""
        import pandas as pd

        time = self.roles.time
        assert time is not None
        table = pa.concat_tables(self._ordered()).combine_chunks()
        table = self._once(table, time, "same time, same content", "rows of one time must agree")
        moments = table.column(time).to_numpy()
        grid = regular(pd.Series(moments))
        self.inserted = len(grid) - len(table)
        at = np.searchsorted(grid, moments)
        taken = np.full(len(grid), -1)
        taken[at] = np.arange(len(moments))
        whole = table.take(pa.array(taken, mask=taken < 0))
        filled = pa.array(grid, table.schema.field(time).type)
        whole = whole.set_column(whole.schema.get_field_index(time), time, filled)
        yield whole.set_column(whole.schema.get_field_index(CONTENT), CONTENT, as_text(filled))


def _classes(counts: Counter[str], target: str, positive: str | None) -> tuple[str, ...]:
    """Return the classes in order; with two, the positive one last: the one named, or the rarer one."""
    names = sorted(counts, key=lambda name: (_number(name), name))
    if len(names) < 2:
        msg = f"the target {target!r} must have at least two classes; every row is {names[0]!r}"
        raise DataError(msg)
    if positive is not None and positive not in names:
        msg = (
            f"positive_class {positive!r} must occur in column {target!r}; it does not"
            f"{choice(positive, names, 'there are')}"
        )
        raise DataError(msg)
    if positive is not None and len(names) > 2:
        msg = (
            f"positive_class needs two classes; column {target!r} has {len(names)}: {listed(names)}. "
            "Drop positive_class, or make two classes of them"
        )
        raise DataError(msg)
    if len(names) > 2:
        return tuple(names)
    last = positive or min(reversed(names), key=lambda name: counts[name])
    return tuple(sorted(names, key=lambda name: name == last))


def _number(name: str) -> float:
    """Return the number that a class name is, so that 2 comes before 10; infinity for a word."""
    try:
        return float(name)
    except ValueError:
        return float("inf")


def _same_as_before(column: pa.ChunkedArray) -> Any:
    """Return whether each value is that of the row before; missing values are the same."""
    values = column.combine_chunks()
    same = np.zeros(len(values), dtype=bool)
    if len(values) > 1:
        here, before = values.slice(1), values.slice(0, len(values) - 1)
        equal = pc.fill_null(pc.equal(here, before), False)
        same[1:] = np.asarray(pc.or_(equal, pc.and_(pc.is_null(here), pc.is_null(before))))
    return same


def _repeats(content: pa.ChunkedArray) -> Any:
    """Return how many rows of the same content come before each row; these lie together."""
    same = _same_as_before(content)
    place = np.arange(len(same))
    return place - np.maximum.accumulate(np.where(same, 0, place))


def _disagreement(table: pa.Table, key: str, at: int, must: str, *, private: bool) -> DataError:
    """Return the error that names the rows of one key that differ, and in what."""
    value = table.column(key)[at]
    own = table.filter(pc.equal(table.column(key), value)).sort_by(PLACE).to_pandas()
    held = [name for name in own if name not in (PLACE, CONTENT)]
    once = own[~own.duplicated(subset=held)]
    differing = [
        "the file they are from" if name == COHORT else str(name)
        for name in held
        if len(once[name].drop_duplicates()) > 1
    ]
    rows = listed(map(str, once[PLACE]), 5)
    told = own[key].iloc[0]
    told = masked(str(told)) if private else repr(told)
    return DataError(
        f"{must}; column {key!r} is {told} in rows {rows}, which differ in {listed(differing)}: correct "
        "them, or name another column"
    )
