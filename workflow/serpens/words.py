"""What the words of a text column say of its type: a survey that is made piece by piece, and what is inferred from it.

Surveys of pieces add up exactly, in any order and however the rows were cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serpens.distinct import Distinct
from serpens.errors import DataError, listed
from serpens.numberwords import NUMBER, plain
from serpens.personal import masked

if TYPE_CHECKING:
    import pandas as pd

# Words that mean a missing value anywhere; pandas' own list, and a question mark.
MISSING = frozenset({"", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "?"}) | {
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "1.#IND",
    "1.#QNAN",
}
# Words that mean it where every other value is a number or a time; in a category they may be a level.
MISSING_AMONG_VALUES = frozenset(
    ["-", "--", ".", "na", "none", "nil", "unknown", "missing", "n.a.", "n.d.", "nd", "not available"]
)
# A comma before the decimals, or between thousands: which of them, only the user knows.
COMMA = r"^[+-]?\d+(,\d+)+(\.\d+)?$"
ISO_TIME = r"^\d{4}-\d{2}(-\d{2}([ T]\d{2}:\d{2}.*)?)?$"
# What a person takes for a date, in whatever order its parts stand.
DATED = r"^(\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{4}[./-]\d{1,2}[./-]\d{1,2})([ T]\d{1,2}:\d{2}.*)?$"
ISO = "ISO8601"
TIME_FORMATS = (
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
)
# Share of numbers, or of dates, from which the rest looks like a mistake, not like a category.
MOSTLY = 0.9
TEXT_LENGTH = 40
# So few rows are distinct anyway.
FEW_ROWS = 12
SHOWN = 5

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Words:
    """A piece of a text column by its distinct words.

    Attributes
    ----------
    words
        Distinct words without blanks around them; what is null is the empty word.
    place
        ``(n,)``: row i holds ``words[place[i]]``.
    raw
        ``(n,)``: the rows as they were read.
    first
        Number of the first row; the first of a table is row 1.
    """

    words: pa.Array
    place: NDArray[np.int64]
    raw: pa.Array
    first: int

    @classmethod
    def of(cls, raw: pa.Array, first: int = 1) -> "Words":
        """Take a piece of a column apart."""
        encoded = pc.utf8_trim_whitespace(pc.fill_null(raw, "")).dictionary_encode()
        return cls(encoded.dictionary, encoded.indices.to_numpy().astype(np.int64), raw, first)

    def __len__(self) -> int:
        return len(self.place)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each word occurs."""
        return np.bincount(self.place, minlength=len(self.words)).astype(np.int64)

    def fit(self, pattern: str) -> Mask:
        """Return which words a regular expression fits."""
        return mask(pc.match_substring_regex(self.words, pattern))

    def among(self, words: frozenset[str], *, lower: bool = False) -> Mask:
        """Return which words are in a set."""
        own = pc.utf8_lower(self.words) if lower else self.words
        return mask(pc.is_in(own, value_set=pa.array(sorted(words), pa.string())))

    def counted(self, chosen: Mask) -> dict[str, int]:
        """Return how often each of the chosen words occurs."""
        return dict(zip(self.words.filter(pa.array(chosen)).to_pylist(), self.counts[chosen].tolist(), strict=True))


def mask(chosen: pa.Array) -> Mask:
    """Return an Arrow mask as an array."""
    found: Mask = chosen.to_numpy(zero_copy_only=False)
    return found


def _told(value: Any, *, private: bool) -> Any:
    return masked(str(value)) if private else value


@dataclass
class Examples:
    """The first rows of which something is true, and how many there are; what a private column holds is masked."""

    private: bool = False
    rows: list[tuple[int, str]] = field(default_factory=list)
    n: int = 0

    def add(self, piece: Words, chosen: Mask) -> None:
        """Add the rows of the chosen words."""
        if chosen.any():
            self.take(piece.raw, chosen[piece.place], piece.first)

    def take(self, raw: pa.Array, chosen: Mask, first: int) -> None:
        """Add the chosen rows of a piece that starts at row ``first``."""
        found = np.flatnonzero(chosen)
        more = [(first + int(i), repr(_told(raw[int(i)].as_py(), private=self.private))) for i in found[:SHOWN]]
        self.rows = sorted(self.rows + more, key=lambda row: row[0])[:SHOWN]
        self.n += len(found)

    def merge(self, other: "Examples") -> None:
        """Add the rows of another piece."""
        self.rows = sorted(self.rows + other.rows, key=lambda row: row[0])[:SHOWN]
        self.n += other.n

    @property
    def numbers(self) -> str:
        """The rows by their numbers alone."""
        shown = ", ".join(str(row) for row, _ in self.rows)
        return shown if self.n <= SHOWN else f"{shown}, … ({self.n} in all)"

    def __str__(self) -> str:
        shown = ", ".join(f"row {row} is {value}" for row, value in self.rows)
        return shown if self.n <= SHOWN else f"{shown}, and {self.n - SHOWN} more"


@dataclass
class Survey:
    """What the words of a column are.

    Parameters
    ----------
    missing
        Words that mean a missing value in any type.
    private
        Whether no word may be told.
    decimal, thousands
        What stands before decimals and between thousands.

    Attributes
    ----------
    known
        Rows that hold more than a missing value, whatever the type.
    here
        The same, and rows with a word that would be a level in a category.
    numeric, commas, dated
        Rows with a number, with one that has commas, with what looks like a date; among ``known``.
    length, spaced
        Characters in all rows, and rows with a blank in their word; among ``here``.
    iso, formats
        Whether all known words are times in ISO 8601, and the other formats in which all of them can be read.
    """

    missing: frozenset[str]
    private: bool = False
    decimal: str = "."
    thousands: str | None = None
    known: int = 0
    here: int = 0
    numeric: int = 0
    commas: int = 0
    dated: int = 0
    length: int = 0
    spaced: int = 0
    iso: bool = True
    formats: frozenset[str] = frozenset(TIME_FORMATS)
    words: Distinct = field(default_factory=Distinct)
    no_numbers: Examples = field(default_factory=Examples)
    with_commas: Examples = field(default_factory=Examples)
    first_word: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        self.no_numbers.private = self.with_commas.private = self.private

    def add(self, piece: Words) -> None:
        """Add a piece of the column."""
        counts = piece.counts
        here = ~piece.among(self.missing)
        known = here & ~piece.among(MISSING_AMONG_VALUES, lower=True)
        written, _ = plain({"decimal": self.decimal, "thousands": self.thousands}, piece.words)
        numeric = mask(pc.match_substring_regex(written, NUMBER)) & known
        commas = piece.fit(COMMA) & known & ~numeric
        self.known += int(counts[known].sum())
        self.here += int(counts[here].sum())
        self.numeric += int(counts[numeric].sum())
        self.commas += int(counts[commas].sum())
        self.dated += int(counts[piece.fit(DATED) & known].sum())
        self.length += int((counts * pc.utf8_length(piece.words).to_numpy())[here].sum())
        self.spaced += int(counts[piece.fit(" ") & here].sum())
        self.words.add(piece.words.filter(pa.array(here)))
        self.no_numbers.add(piece, known & ~numeric)
        self.with_commas.add(piece, commas)
        self._add_times(piece, known, numeric)

    def merge(self, other: "Survey") -> None:
        """Add what another piece of the column holds."""
        for count in ("known", "here", "numeric", "commas", "dated", "length", "spaced"):
            setattr(self, count, getattr(self, count) + getattr(other, count))
        self.iso &= other.iso
        self.formats &= other.formats
        self.words.merge(other.words)
        self.no_numbers.merge(other.no_numbers)
        self.with_commas.merge(other.with_commas)
        firsts = [each.first_word for each in (self, other) if each.first_word is not None]
        self.first_word = min(firsts, default=None)

    def _add_times(self, piece: Words, known: Mask, numeric: Mask) -> None:
        words = piece.words.filter(pa.array(known))
        if not len(words):
            return
        at = int(np.flatnonzero(known[piece.place])[0])
        first = piece.first + at, _told(piece.words[int(piece.place[at])].as_py(), private=self.private)
        self.first_word = min(self.first_word or first, first)
        if numeric.any():  # no number is a time in one of the formats
            self.iso, self.formats = False, frozenset()
        if self.iso:
            self.iso = bool(pc.all(pc.match_substring_regex(words, ISO_TIME)).as_py()) and not times(words, ISO).hasnans
        # most columns hold no times, which the first words tell
        for size in (1, 50, len(words)):
            self.formats = frozenset(each for each in self.formats if not times(words[:size], each).hasnans)

    @property
    def readable(self) -> list[str]:
        """Formats in which all known words can be read as times."""
        if not self.known:
            return []
        return [ISO] if self.iso else [each for each in TIME_FORMATS if each in self.formats]


def times(words: pa.Array, form: str) -> "pd.DatetimeIndex":
    """Return words as times in UTC, NaT where they are none."""
    import pandas as pd

    read = pd.to_datetime(np.asarray(words.to_pylist(), dtype=object), format=form, errors="coerce", utc=True)
    return pd.DatetimeIndex(read)


def infer(name: str, survey: Survey) -> str:
    """Return the type of a column: number if all words are numbers, else time if all are times, else category or text.

    Raises
    ------
    DataError
        If it looks like numbers or dates but for some words, or like times that can be read in two ways.
    """
    if not survey.known:
        # nothing but missing values, or words that could be levels
        return "category"
    if survey.commas and survey.numeric + survey.commas >= MOSTLY * survey.known:
        msg = (
            f"column {name!r} holds numbers with commas; {survey.with_commas}: say what they are, columns: "
            f'{{{name}: {{decimal: ","}}}} or {{thousands: ","}}, or set its type to category'
        )
        raise DataError(msg)
    if survey.numeric == survey.known:
        return "number"
    if (share := survey.numeric / survey.known) >= MOSTLY:
        msg = (
            f"column {name!r} holds numbers in {share:.0%} of its rows, and {survey.no_numbers}: "
            f"if these mean a missing value, set columns: {{{name}: {{missing: [...]}}}}; if the column is "
            "no number, set its type to category"
        )
        raise DataError(msg)
    if form := time_format(name, survey):
        return "time" if form else "category"
    mean_length = survey.length / survey.here
    distinct = survey.words.n / survey.here
    is_text = mean_length > TEXT_LENGTH or (distinct > 0.5 and survey.spaced > 0.5 * survey.here)
    return "text" if is_text and survey.here > FEW_ROWS else "category"


def time_format(name: str, survey: Survey) -> str | None:
    """Return the one format in which all words of a column can be read as times; None where there is none.

    Raises
    ------
    DataError
        If there are two, or all look like dates and no format reads them all.
    """
    formats = survey.readable
    if len(formats) > 1:
        assert survey.first_word is not None
        msg = (
            f"column {name!r} holds times that can be read as {listed(map(repr, formats))}, for instance "
            f'{survey.first_word[1]!r}: say which, columns: {{{name}: {{type: time, format: "{formats[0]}"}}}}'
        )
        raise DataError(msg)
    if not formats and survey.known and survey.dated >= MOSTLY * survey.known:
        assert survey.first_word is not None
        msg = (
            f"column {name!r} must hold times that are written in one way; {survey.dated / survey.known:.0%} of its "
            f"rows look like dates (row {survey.first_word[0]} is {survey.first_word[1]!r}), and no format reads them "
            "all: write them as 2024-01-31, or set its type to category"
        )
        raise DataError(msg)
    return formats[0] if formats else None


def sentinels(spec: Mapping[str, Any]) -> frozenset[str]:
    """Return the words that mean a missing value in a column, whatever its type."""
    return MISSING | set(spec.get("missing") or ())
