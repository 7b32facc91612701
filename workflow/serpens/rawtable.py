"""A raw table: which of its columns are used, how they are read, and its rows once they are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from serpens import ordering
from serpens.columns import Reading, as_words, explain, read, reading, reads_words, survey_of
from serpens.configtypes import choice
from serpens.dataartefacts import PersonalFinding
from serpens.errors import DataError
from serpens.io import COHORT, CONTENT, NAMES
from serpens.ordering import Dealt, Parts
from serpens.personal import Guard, require_decisions
from serpens.shards import Found, Shards
from serpens.streams import Stream, ahead
from serpens.washing import Faults, Roles, Tally, Washer
from serpens.words import Examples, Survey, Words, infer

PERSONAL = "personal: the study drops it"
# Rows whose keys say where the ranges of the canonical order begin.
SAMPLED = 10_000
# Rows by which columns are read at first.
GUESSED = 10_000


class RawTable:
    """A raw table, and how its columns are read.

    Parameters
    ----------
    stream
        The table as collected.
    columns
        What is declared of columns.
    numbers
        How numbers are written where nothing is declared: ``decimal`` and ``thousands``.
    features, drop, image_columns
        Patterns of the columns that may be used, or not, or are pixels.
    personal, key
        What becomes of each column that is about people (drop, hash, keep), and the key that they are hashed with.
    subgroups
        Columns that are kept whether or not they are features.
    horizon
        Given for a forecast, in which rows without a target stay, and other columns are used only when they are named.

    Attributes
    ----------
    names
        Its columns, but for the mark of an outside cohort.
    reasons
        Why columns are not used; all others are.
    readings
        How each column in use is read, as far as is known by now.
    findings
        The columns that look personal, once the table was read.

    Raises
    ------
    DataError
        If a column that the study names is not there, or has a name that Serpens needs.
    """

    def __init__(
        self,
        stream: Stream,
        roles: Roles,
        *,
        columns: Mapping[str, Mapping[str, Any]] | None = None,
        numbers: Mapping[str, str | None] | None = None,
        features: Sequence[str] | None = None,
        drop: Sequence[str] = (),
        image_columns: Sequence[str] | None = None,
        personal: Mapping[str, str] | None = None,
        key: bytes = b"",
        horizon: int | None = None,
        subgroups: Sequence[str] = (),
    ) -> None:
        self.stream, self.horizon = stream, horizon
        self.of_pixels, self.subgroups = image_columns is not None, frozenset(subgroups)
        declared, self.personal, self.key = columns or {}, personal or {}, key
        self.findings: tuple[PersonalFinding, ...] = ()
        allowed = features if features is not None else ([] if horizon else image_columns)
        self.names = [name for name in stream.schema.names if name != COHORT]
        self.cohort = COHORT in stream.schema.names
        # a column of a subgroup that may not be a feature is kept all the same
        aside = tuple(name for name in subgroups if name not in self.names or _unused(name, allowed, drop) is not None)
        self.roles = roles = replace(roles, subgroups=aside)
        by_column = roles.by_column()
        for name, role in by_column.items():
            if name not in self.names:
                msg = (
                    f"the {role} column {name!r} must be among the columns; it is not"
                    f"{choice(name, self.names, 'there are')}"
                )
                raise DataError(msg)
        self.reasons = {
            name: reason
            for name in self.names
            if name not in by_column and (reason := _unused(name, allowed, drop)) is not None
        }
        # what is dropped for its sake is still looked at, so that the account tells why
        self.looked_at = [name for name in self.names if name not in self.reasons]
        self.reasons |= {name: PERSONAL for name in self.looked_at if self.personal.get(name) == "drop"}
        self.used = [name for name in self.names if name not in self.reasons]
        if taken := [name for name in NAMES if name in self.used]:
            msg = f"a column in use may not be called {taken[0]!r}, which Serpens adds: rename it, or name it in drop"
            raise DataError(msg)
        # what says which rows belong together is a name, whatever it looks like; so is a pseudonym
        hashed = [name for name, said in self.personal.items() if said == "hash"]
        named = {
            name: {"type": "category"} for name in (roles.id, roles.group, roles.split, *hashed) if name is not None
        }
        self.specs = {name: {"numbers": numbers, **declared.get(name, {}), **named.get(name, {})} for name in self.used}
        self.readings: dict[str, Reading] = {}

    def washed(self, folder: Path, threads: int, shards: Shards | None = None) -> tuple[Tally, Dealt]:
        """Return what was found in the table, and its rows dealt to ranges.

        The first rows tell how columns are read. When later ones say otherwise, the columns in question are surveyed
        whole, and the table is read once more.

        Parameters
        ----------
        shards
            The parts of the table, where they were washed already.
        """
        try:
            return self._washed(folder, threads, shards)
        except DataError:
            # of a column that nobody has decided on no value may stand in a message
            self._guard(self._seen())
            raise

    def _washed(self, folder: Path, threads: int, shards: Shards | None) -> tuple[Tally, Dealt]:
        self._guess()
        if shards is not None:
            tally, surveys, faults = shards.merged()
            if not (wrong := self._misread(faults, surveys)):
                self._guard(self._seen())
                return tally, shards
            self._decide(wrong, None)
        while True:
            washing = _Washing(self, threads)
            with ExitStack() as removed_if_not_used:
                schema = washing.washer.schema
                ranges = removed_if_not_used.enter_context(ordering.Ranges(schema, washing.cuts, folder))
                for parts in washing.pieces(_placed(self.stream)):
                    ranges.add(parts)
                if not (wrong := self._misread(washing.faults, washing.surveys)):
                    self._guard(washing.guard)
                    removed_if_not_used.pop_all()
                    return washing.tally, ranges
            self._decide(wrong, None)

    def _seen(self) -> Guard:
        """Return a guard that has seen the whole table."""
        guard = Guard()
        for batch in self.stream.select(self.looked_at).batches():
            self.show(guard, batch)
        return guard

    def show(self, guard: Guard, batch: pa.RecordBatch) -> None:
        """Let a guard look at a piece."""
        for name in self.looked_at:
            guard.look(name, batch.column(name))

    def _guard(self, guard: Guard) -> None:
        """Refuse columns that look personal and that nobody has decided on."""
        found = guard.findings()
        require_decisions(found, self.personal, (self.roles.id, self.roles.group))
        self.findings = tuple(PersonalFinding(**vars(each), decision=self.personal[each.column]) for each in found)

    def shard(self, part: Stream, before: int, threads: int) -> tuple[pa.Schema, Iterator[Parts], Found]:
        """Return a part of the table that comes after so many rows, washed by itself.

        Returns
        -------
        schema
            Of its rows.
        parts
            The rows by ranges, piece by piece.
        found
            What was found, once all pieces have passed.
        """
        try:
            self._guess()
        except DataError:
            self._guard(self._seen())
            raise
        washing = _Washing(self, threads)
        cuts = washing.cuts
        found = Found(washing.tally, washing.surveys, washing.faults, [], cuts.n_ranges, cuts.keys)
        return washing.washer.schema, washing.pieces(_placed(part, before)), found

    def _guess(self) -> None:
        self._decide(self.used, self.stream.head(GUESSED))

    def _misread(self, faults: Faults, surveys: Mapping[str, Survey]) -> list[str]:
        """Return the columns that all of their words say to be read otherwise.

        Raises
        ------
        DataError
            If a value is not what it must be.
        """
        guessed = [name for name in faults if faults[name].keys() & {"number", "time"} and self._is_guess(name)]
        if not guessed:
            for name, rows_by_fault in faults.items():
                for fault, rows in rows_by_fault.items():
                    raise explain(self.readings[name], fault, rows)
        return guessed + [name for name, survey in surveys.items() if infer(name, survey) != self.readings[name].type]

    def _is_guess(self, name: str) -> bool:
        """Return whether a column is read as a part of its words says."""
        how = self.readings[name]
        return how.kind == "text" and (how.how == "inferred" or how.form != self.specs[name].get("format"))

    def watched(self) -> frozenset[str]:
        """Return the columns whose type rests on all of their words."""
        return frozenset(
            name
            for name, how in self.readings.items()
            if how.kind == "text" and how.how == "inferred" and how.type in ("category", "text")
        )

    def _decide(self, names: Sequence[str], piece: pa.RecordBatch | None) -> None:
        """Find out how columns are read, by a piece of the table or by all of it."""
        schema = self.stream.schema
        asked = [name for name in names if reads_words(name, schema.field(name).type, self.specs[name])]
        surveys = self._survey(asked, piece)
        unclear = []
        for name in names:
            try:
                self._set(name, surveys.get(name))
            except DataError:
                if piece is None or self.stream.rows == len(piece):
                    raise
                unclear.append(name)
        if unclear:
            self._decide(unclear, None)

    def _set(self, name: str, survey: Survey | None) -> None:
        how = reading(name, self.stream.schema.field(name).type, self.specs[name], survey)
        how = replace(how, personal=self.personal.get(name), key=self.key)
        if name == self.roles.time and how.type not in ("time", "number"):
            msg = f"the time column {name!r} must hold times or numbers; it is of type {how.type}: declare its format"
            raise DataError(msg)
        if name == self.roles.weight and how.type != "number":
            raise bad_weight(name)
        self.readings[name] = how

    def _survey(self, names: Sequence[str], piece: pa.RecordBatch | None) -> dict[str, Survey]:
        surveys = self.surveys(names)
        if not names:
            return surveys
        pieces = [(0, piece)] if piece is not None else _placed(self.stream.select(names))
        for before, batch in pieces:
            for name, survey in surveys.items():
                survey.add(Words.of(as_words(batch.column(name)), before + 1))
        return surveys

    def surveys(self, names: Iterable[str]) -> dict[str, Survey]:
        """Return empty surveys of columns."""
        return {name: survey_of(self.specs[name], private=name in self.personal) for name in names}

    def washer(self) -> Washer:
        """Return what washes pieces, as the columns are read now."""
        ordered = {name: self.readings[name] for name in self.used}
        return Washer(ordered, self.roles, self.watched(), self.horizon is not None, self.cohort)

    def order(self, washer: Washer) -> ordering.Cuts:
        """Return where ranges begin of the order by id, or by time and content."""
        keys = [CONTENT] if self.roles.id or not self.roles.time else [self.roles.time, CONTENT]
        return self.cuts(keys, ordering.n_ranges(self.stream.rows or 0, len(washer.schema)), washer.schema)

    def cuts(self, keys: Sequence[str], n: int, schema: pa.Schema) -> ordering.Cuts:
        """Return where ranges begin: by the keys of evenly chosen rows."""
        id_, time = self.roles.id, self.roles.time if self.roles.time in keys else None
        none = pa.schema([schema.field(key) for key in keys]).empty_table()
        if n == 1:
            return ordering.Cuts(none)
        # digests are spread evenly, whatever they are of
        spread = pa.array([f"{i * (1 << 64) // SAMPLED:016x}" for i in range(SAMPLED)])
        if id_ is None and time is None:
            return ordering.Cuts.of(pa.table({CONTENT: spread}), n)
        named = {CONTENT: id_} if time is None else {time: time, CONTENT: id_}
        step = max(1, (self.stream.rows or 0) // SAMPLED)
        found = [none]
        for before, batch in _placed(self.stream.select([name for name in named.values() if name])):
            chosen = batch.take(pa.array(np.arange(-before % step, len(batch), step)))
            columns = {
                key: read(self.readings[name], chosen.column(name)).values for key, name in named.items() if name
            }
            if id_ is None:
                columns[CONTENT] = spread.take(pa.array(np.arange(before, before + len(chosen)) * 7919 % SAMPLED))
            found.append(pa.table(columns, schema=none.schema))
        return ordering.Cuts.of(pa.concat_tables(found).drop_null(), n)


class _Washing:
    """One reading of a table: what was found so far, and where its rows go."""

    def __init__(self, table: RawTable, threads: int) -> None:
        self.washer = table.washer()
        self.cuts = table.order(self.washer)
        self.threads = threads
        self.tally = Tally()
        self.surveys = table.surveys(self.washer.watched)
        self.faults: Faults = {}
        self.table, self.guard = table, Guard()

    def pieces(self, placed: Iterator[tuple[int, pa.RecordBatch]]) -> Iterator[Parts]:
        """Yield the rows of each piece by ranges; none any more once something is wrong."""
        for washed in ahead(lambda piece: self.washer.wash(piece, self.cuts), placed, self.threads):
            self.table.show(self.guard, washed.raw)
            self.tally.merge(washed.tally)
            for name, words in washed.words.items():
                self.surveys[name].add(words)
            for name, rows_by_fault in washed.faults.items():
                for fault, rows in rows_by_fault.items():
                    self.faults.setdefault(name, {}).setdefault(fault, Examples()).merge(rows)
            if not self.faults:
                yield washed.parts


def _placed(stream: Stream, before: int = 0) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the pieces of a table, each with the number of rows before it."""
    for batch in stream.batches():
        yield before, batch
        before += len(batch)


def _unused(name: str, allowed: Sequence[str] | None, drop: Sequence[str]) -> str | None:
    if any(fnmatchcase(name, pattern) for pattern in drop):
        return "named in drop"
    if allowed is not None and not any(fnmatchcase(name, pattern) for pattern in allowed):
        return "not named in features"
    return None


def bad_weight(name: str) -> DataError:
    """Return the error of a weight that is none."""
    return DataError(f"the weight column {name!r} must hold numbers above 0; it does not: repair it")
