"""Another table beside the main one, row by row, by keys. The other is held in memory; the main one is not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from serpens.errors import DataError, listed
from serpens.streams import Stream

SHOWN = 5
# Between the parts of a key of several columns.
SEPARATOR = "\x1f"


@dataclass
class Matches:
    """How two tables met; known when the stream has been read to its end.

    Attributes
    ----------
    matched, unmatched
        Rows of the main table.
    other_matched, other_unmatched
        Rows of the other one.
    """

    matched: int = 0
    unmatched: int = 0
    other_matched: int = 0
    other_unmatched: int = 0
    examples: list[str] = field(default_factory=list)

    def reset(self) -> None:
        """Begin to count anew."""
        self.matched = self.unmatched = self.other_matched = self.other_unmatched = 0
        self.examples.clear()


def apply(main: Stream, other: Stream, *, on: Mapping[str, str], unmatched: str, origin: str) -> tuple[Stream, Matches]:
    """Return the main table with the columns of the other one.

    Parameters
    ----------
    on
        Columns of the main table, and the columns of the other one that must equal them.
    unmatched
        What becomes of a row of the main table without one in the other: ``refuse``, ``drop`` or ``keep``, with
        nothing in the new columns.
    origin
        What people call the other table.

    Raises
    ------
    DataError
        If a key is no column, has another type, or occurs twice in the other table; if both have a column besides the
        keys; from the pieces, if rows do not match and that is refused.
    """
    _check(main.schema, other.schema, on, origin)
    table = pa.Table.from_batches(other.batches(), other.schema)
    keys = _keys([table.column(name).combine_chunks() for name in on.values()])
    _unique(keys, list(on.values()), origin)
    added = [name for name in table.column_names if name not in on.values()]
    beside = table.select(added).combine_chunks()
    schema = pa.schema([*main.schema, *(beside.schema.field(name) for name in added)])
    found = Matches()

    def batches() -> Iterator[pa.RecordBatch]:
        found.reset()
        used = [False] * table.num_rows
        for batch in main.batches():
            wanted = _keys([batch.column(name) for name in on])
            # a key that is missing is nobody's
            places = pc.if_else(pc.is_valid(wanted), pc.index_in(wanted, value_set=keys.drop_null()), None)
            places = rows_of.take(places)
            known = pc.is_valid(places)
            lone = batch.num_rows - pc.sum(pc.cast(known, pa.int64())).as_py() if batch.num_rows else 0
            found.matched += batch.num_rows - lone
            found.unmatched += lone
            if lone and len(found.examples) < SHOWN:
                found.examples += _shown(wanted.filter(pc.invert(known)), SHOWN - len(found.examples))
            for place in pc.unique(places.drop_null()).to_pylist():
                used[place] = True
            if lone and unmatched == "refuse":
                continue  # read on, to count them all
            if unmatched == "drop":
                batch, places = batch.filter(known), places.filter(known)
            yield pa.record_batch(
                [*batch.columns, *(beside.column(n).combine_chunks().take(places) for n in added)], schema=schema
            )
        found.other_matched = sum(used)
        found.other_unmatched = len(used) - found.other_matched
        if found.unmatched and unmatched == "refuse":
            raise DataError(_refusal(found, on, origin))

    rows_of = pa.array([row for row, valid in enumerate(keys.is_valid().to_pylist()) if valid], pa.int64())
    return Stream(schema, batches), found


def _check(ours: pa.Schema, theirs: pa.Schema, on: Mapping[str, str], origin: str) -> None:
    for left, right in on.items():
        for name, schema, where in ((left, ours, "the main table"), (right, theirs, origin)):
            if name not in schema.names:
                msg = f"{origin}: the key {name!r} must be a column of {where}; its columns: {listed(schema.names)}"
                raise DataError(msg)
        here, there = ours.field(left).type, theirs.field(right).type
        if _plain(here) != _plain(there):
            msg = (
                f"{origin}: keys must be of one type; {left!r} of the main table is {here}, and {right!r} is {there}: "
                "give both tables as text, or both as Parquet of the same types"
            )
            raise DataError(msg)
    if both := [name for name in theirs.names if name in ours.names and name not in on.values()]:
        msg = (
            f"{origin}: a column must be in one of the tables, or be a key; in both: {listed(both)}: "
            "rename one, or join on it too"
        )
        raise DataError(msg)
    if hidden := [right for left, right in on.items() if right != left and right in ours.names]:
        msg = f"{origin}: {listed(hidden)} is a key there, and another column of the main table: rename one"
        raise DataError(msg)


def _plain(kind: pa.DataType) -> str:
    """Return what a type can hold, whatever its width."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    return "whole numbers" if pa.types.is_integer(kind) else str(kind)


def _keys(columns: list[pa.Array]) -> pa.Array:
    """Return one text for each row; none where a part of the key is missing."""
    texts = [pa.array(column).cast(pa.string()) for column in columns]
    texts = [pc.if_else(pc.equal(text, ""), None, text) for text in texts]
    return pc.binary_join_element_wise(*texts, SEPARATOR) if len(texts) > 1 else texts[0]


def _unique(keys: pa.Array, names: list[str], origin: str) -> None:
    seen: dict[str, int] = {}
    for row, key in enumerate(keys.to_pylist(), start=1):
        if key is None:
            continue
        if key in seen:
            msg = (
                f"{origin}: each key must occur once, so that a row of the main table finds one row; rows {seen[key]} "
                f"and {row} both have {_words(key)} in {listed(names)}"
            )
            raise DataError(msg)
        seen[key] = row


def _shown(keys: pa.Array, at_most: int) -> list[str]:
    return ["nothing" if key is None else _words(key) for key in keys.slice(0, at_most).to_pylist()]


def _words(key: str) -> str:
    return " and ".join(repr(part) for part in key.split(SEPARATOR))


def _refusal(found: Matches, on: Mapping[str, str], origin: str) -> str:
    total = found.matched + found.unmatched
    more = ", ..." if found.unmatched > len(found.examples) else ""
    return (
        f"{origin}: every row of the main table must have its key ({listed(on)}) there; {found.unmatched} of {total} "
        f"rows have not: {listed(found.examples)}{more}. Mend the keys, or say unmatched: drop or unmatched: keep"
    )
