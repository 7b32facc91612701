"""The JSON files that tell of the data: their origin, what rows and columns are, what changed since last time."""

from typing import Any, Literal

from pydantic import Field

from serpens.artefacttypes import Artefact, Entry
from serpens.columnconfig import Decision
from serpens.config import ColumnType


class SourcePart(Entry):
    """One of several files of a table."""

    origin: str
    bytes: int
    sha256: str
    rows: int


class JoinAccount(Entry):
    """How another table was joined to the main one."""

    origin: str
    bytes: int
    sha256: str
    on: dict[str, str]
    """Columns of the main table, each with the one of the other table that equals it."""
    unmatched: Literal["refuse", "drop", "keep"]
    """What became of rows of the main table without one in the other."""
    rows_matched: int
    rows_unmatched: int
    """Rows of the main table."""
    other_matched: int
    other_unmatched: int
    """Rows of the other table; those that nothing matched are in no result."""


class Source(Artefact):
    """`source.json`: where the data come from."""

    kind: Literal["file", "url", "storage", "openml", "huggingface", "simulator"]
    origin: str
    """Path or address of the file, without secrets, or the simulator with its arguments; the first, of several."""
    bytes: int
    sha256: str
    """Of the file's bytes, or of the simulated values; of the digests of several files, in their order."""
    time: str
    """When the data were collected; ISO 8601, UTC."""
    rows: int
    columns: int
    parts: tuple[SourcePart, ...] = ()
    """The files, where there are several."""
    transposed: str | None = None
    """What the column is called that held the header before rows and columns changed places."""
    joined: tuple[JoinAccount, ...] = ()
    license: str | None = None
    citation: str | None = None
    cohort: "Source | None" = None
    """The outside cohort that a model is tested on."""


class RowAccount(Entry):
    """Where every row went: ``read + inserted = kept + dropped``."""

    read: int
    kept: int
    inserted: int
    """Rows without values, where a series had a gap."""
    dropped: dict[str, int]
    """Rows by the reason why they were dropped, in the order in which the reasons were looked at."""
    duplicates: int
    """Kept rows that repeat another one exactly; they are on its side of every split."""


class Histogram(Entry):
    """How numbers are distributed."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class ColumnReading(Entry):
    """How the values of a column are read; those of rows that come later too."""

    type: Literal["number", "category", "time", "text"]
    collected: Literal["text", "levels", "boolean", "number", "time"]
    """What it held as it was collected; `levels` are words that the file itself declares to be those of a category."""
    format: str | None = None
    """How times are written."""
    said: dict[str, Any] = Field(default={})
    """What the study says of its values: ranges, units, spellings and so on."""


class ColumnAccount(Entry):
    """What a column is, and whether it was kept; what does not apply is null."""

    name: str
    role: Literal["target", "feature", "id", "group", "time", "weight", "split", "subgroup"]
    kept: bool
    reason: str | None
    """Why the column was not kept."""
    type: ColumnType | None = None
    how: Literal["inferred", "declared"] | None = None
    reading: ColumnReading | None = None
    """Null where the column is not read."""
    missing_words: dict[str, int] = Field(default={})
    """Words that were read as missing, and how often they stand there."""
    missing: int | None = None
    distinct: int | None = None
    distinct_exact: bool = True
    """Whether different values were counted; of many their number is estimated, to 1.6 % (standard error)."""
    min: float | str | None = None
    """Least number, or first time."""
    max: float | str | None = None
    mean: float | None = None
    sd: float | None = None
    histogram: Histogram | None = None
    levels: tuple[tuple[str, int], ...] | None = None
    """The most frequent levels of a category, and how often they occur."""
    spellings: tuple[tuple[str, ...], ...] = ()
    """Levels that differ in capitals, accents or spaces alone, and may be one; reported, not changed."""
    done: tuple[str, ...] = ()
    """What was done to its values, in words, such as `3 values clipped to 0 to 120`."""
    personal: Decision | None = None
    """What the study says of a column about people; of one that is kept no value is told."""


class PersonalFinding(Entry):
    """A column that looks personal; see :mod:`serpens.personal`."""

    column: str
    kind: str
    share: float
    """Of the distinct values that were looked at."""
    example: str
    """Masked."""
    how: Literal["values", "name and values"]
    decision: Decision


class Cleaning(Artefact):
    """`cleaning.json`: the account of every row and column."""

    rows: RowAccount
    columns: tuple[ColumnAccount, ...]
    personal: tuple[PersonalFinding, ...] = ()
    """Columns that look personal, and what the study decided."""
    key: str | None = None
    """Fingerprint of the key that columns were hashed with; null where none was."""


class CollectedColumn(Entry):
    """A column of a kept collection."""

    role: str
    type: ColumnType
    missing: int
    mean: float | None
    personal: bool
    """Whether none of its values is kept."""
    step: float = 0.0
    """By how much its distribution may be wrong, because it is kept at some points alone."""


class Collection(Artefact):
    """`collections/{entry}/collection.json`: a collection, as the next one is compared with it."""

    source: str
    """sha256 of what was collected."""
    time: str
    """When; ISO 8601, UTC."""
    bytes: int
    rows_read: int
    rows: int
    """Cleaned rows."""
    named_by: str
    """What a row is known by: `id`, `time` or `content`, and the columns that say it."""
    key: str | None
    """Fingerprint of the key that columns were hashed with."""
    digests: str
    """How rows were digested."""
    columns: dict[str, CollectedColumn]
    """The columns in use."""


class Collected(Entry):
    """A collection in the account of what changed."""

    time: str
    bytes: int
    rows_read: int
    rows: int


class ColumnDrift(Entry):
    """How far the values of a column moved; what cannot be told is null."""

    name: str
    role: str
    type: ColumnType
    missing_then: float
    """Share of the rows."""
    missing_now: float
    mean_then: float | None
    mean_now: float | None
    measure: Literal["Kolmogorov-Smirnov", "total variation"] | None
    """Of numbers and times, of categories; each is 0 for the same distribution and 1 for two that have nothing in
    common."""
    distance: float | None
    by_chance: float | None
    """What samples of one source exceed once in a hundred times, with as many rows in common as here."""
    new_levels: dict[str, int] = Field(default={})
    """Levels that were not there, the most frequent ones, and how often they are."""
    lost_levels: dict[str, int] = Field(default={})
    n_new: int = 0
    n_lost: int = 0

    @property
    def beyond_chance(self) -> bool:
        """Whether the values moved further than chance does."""
        return self.distance is not None and self.by_chance is not None and self.distance > self.by_chance


class DataChanges(Artefact):
    """`data/changes.json`: what changed since the data were last collected."""

    then: Collected | None
    """The collection before; null for the first one."""
    now: Collected
    added: int | None = None
    """Rows whose name is new; null where rows cannot be followed."""
    removed: int | None = None
    changed: int | None = None
    """Rows of the same name that hold something else in the columns in use."""
    untold: str | None = None
    """Why rows cannot be followed, or not be told to have changed."""
    columns_added: tuple[str, ...] = ()
    """Columns in use that were not."""
    columns_removed: tuple[str, ...] = ()
    columns_retyped: tuple[str, ...] = ()
    drift: tuple[ColumnDrift, ...] = ()
    """Of each column that was in use both times with the same type."""
