"""What a column is: its type, inferred or declared, and its values read as that type."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serpens.errors import DataError, listed
from serpens.personal import masked, pseudonyms

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
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# A comma before the decimals, or between thousands: which of them, only the user knows.
COMMA = re.compile(r"[+-]?\d+(,\d+)+(\.\d+)?")
ISO_TIME = re.compile(r"\d{4}-\d{2}(-\d{2}([ T]\d{2}:\d{2}.*)?)?")
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
# Share of numbers from which the rest looks like a mistake, not like a category.
MOSTLY = 0.9
TEXT_LENGTH = 40
# So few rows are distinct anyway.
FEW_ROWS = 12
SHOWN = 5


@dataclass(frozen=True)
class Parsed:
    """A column as read.

    Attributes
    ----------
    values
        float64 with NaN, datetime64 with NaT, or objects: text with None.
    type
        number, category, time or text.
    how
        declared or inferred.
    missing_words
        How often each word stood for a missing value; an empty field is the empty word.
    """

    values: "pd.Series[Any]"
    type: str
    how: str
    missing_words: dict[str, int]


def parse(name: str, raw: "pd.Series[Any]", spec: Mapping[str, Any], *, private: bool = False) -> Parsed:
    """Read a column as the type it is declared to be, or that its values have.

    Parameters
    ----------
    raw
        Values as collected: text, or typed as Parquet and simulators have them; indexed by data row from 1.
    spec
        ``type``, ``min``, ``max``, ``format``, ``missing``, each possibly absent or None.
    private
        Whether the values may stand in no message.

    Raises
    ------
    DataError
        If a value is not of the type, lies outside the range, or the type cannot be decided.
    """
    declared = spec.get("type")
    if declared == "image" or (declared is None and (spec.get("min") is not None or spec.get("max") is not None)):
        declared = "number"
    if declared is None and spec.get("format"):
        declared = "time"
    kind = _kind(name, raw)
    shown = raw.map(lambda value: masked(str(value))) if private else raw
    if kind == "text" or spec.get("missing") or declared not in (None, kind):
        words = raw if kind == "text" else _as_words(raw)
        parsed = _parse_text(name, words, shown if private else words, declared, spec)
    else:
        parsed = _parse_typed(raw, kind, "declared" if declared else "inferred")
    if parsed.type == "number":
        if (infinite := np.isinf(parsed.values)).any():
            found = _rows(shown, infinite)
            msg = f"column {name!r} must be finite; {found}: repair these rows, or declare them missing"
            raise DataError(msg)
        _check_range(name, parsed.values, shown if private else parsed.values, spec)
    return parsed


def _kind(name: str, raw: "pd.Series[Any]") -> str:
    """Return what a column of Parquet or a simulator holds; text has yet to be read."""
    types = pd.api.types
    if types.is_string_dtype(raw.dtype) or raw.dtype == object:
        return "text"
    if types.is_bool_dtype(raw.dtype) or isinstance(raw.dtype, pd.CategoricalDtype):
        return "category"
    if types.is_datetime64_any_dtype(raw.dtype):
        return "time"
    if types.is_numeric_dtype(raw.dtype):
        return "number"
    raise _not_single(name, str(raw.dtype))


def _not_single(name: str, found: str) -> DataError:
    return DataError(f"column {name!r} must hold numbers, times or words; it holds {found}: convert it, or drop it")


def _parse_typed(raw: "pd.Series[Any]", kind: str, how: str) -> Parsed:
    missing = {"": int(raw.isna().sum())} if raw.isna().any() else {}
    if kind == "category":
        return Parsed(_as_words(raw), kind, how, missing)
    return Parsed(_naive(raw) if kind == "time" else raw.astype(np.float64), kind, how, missing)


def _as_words(raw: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        raw = _naive(raw)
    words = [None if gone else _word(value) for value, gone in zip(raw.astype(object), raw.isna(), strict=True)]
    return pd.Series(words, index=raw.index, name=raw.name, dtype=object)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, pd.Timestamp):
        return time_as_text(value)
    return number_as_text(value) if isinstance(value, int | float) else str(value).strip()


def _parse_text(
    name: str, raw: "pd.Series[Any]", shown: "pd.Series[Any]", declared: str | None, spec: Mapping[str, Any]
) -> Parsed:
    # values repeat: each distinct word is looked at once
    try:
        place, found = pd.factorize(raw, use_na_sentinel=False)
    except TypeError as err:
        raise _not_single(name, type(raw.dropna().iloc[0]).__name__) from err
    words = ["" if word is None or word is pd.NA or word != word else _word(word) for word in found]
    counts = np.bincount(place, minlength=len(words))
    sentinels = set(spec.get("missing") or ())
    missing = np.array([word in MISSING or word in sentinels for word in words], dtype=bool)
    soft = np.array([word.lower() in MISSING_AMONG_VALUES for word in words], dtype=bool) & ~missing
    reader = _Reader(name, shown, place, words, counts, missing, soft)
    if declared in ("category", "text"):
        values, kind = reader.text(), declared
    elif declared == "number":
        values, kind = reader.numbers(required=True), "number"
    elif declared == "time":
        values, kind = reader.times(spec.get("format"), required=True), "time"
    else:
        values, kind = reader.inferred()
    absent = missing | (soft if kind in ("number", "time") else False)
    missing_words: dict[str, int] = {}
    for word, count in zip(np.array(words, dtype=object)[absent], counts[absent], strict=True):
        missing_words[word] = missing_words.get(word, 0) + int(count)
    how = "declared" if declared else "inferred"
    return Parsed(pd.Series(values, index=raw.index, name=name), kind, how, missing_words)


@dataclass(frozen=True)
class _Reader:
    """A column of text as distinct words; row i holds ``words[place[i]]`` and is told as ``shown[i]``."""

    name: str
    shown: "pd.Series[Any]"
    place: NDArray[np.intp]
    words: Sequence[str]
    counts: NDArray[np.int64]
    missing: NDArray[np.bool_]
    soft: NDArray[np.bool_]

    def inferred(self) -> tuple[NDArray[Any], str]:
        """Return values and type: number if all are numbers, else time if all are times, else category or text."""
        known = ~self.missing & ~self.soft
        if not known.any():
            # nothing but missing values, or words that could be levels
            return self.text(), "category"
        numeric = np.array([NUMBER.fullmatch(word) is not None for word in self.words], dtype=bool) & known
        share = self.counts[numeric].sum() / self.counts[known].sum()
        commas = np.array([COMMA.fullmatch(word) is not None for word in self.words], dtype=bool) & known
        if commas.any() and self.counts[numeric | commas].sum() >= MOSTLY * self.counts[known].sum():
            msg = (
                f"column {self.name!r} holds numbers with commas; {self._examples(commas)}: write a point before "
                "decimals and nothing between thousands, or set its type to category"
            )
            raise DataError(msg)
        if share == 1:
            return self.numbers(required=True), "number"
        if share >= MOSTLY:
            found = self._examples(known & ~numeric)
            msg = (
                f"column {self.name!r} holds numbers in {share:.0%} of its rows, and {found}: "
                f"if these mean a missing value, set columns: {{{self.name}: {{missing: [...]}}}}; if the column is "
                "no number, set its type to category"
            )
            raise DataError(msg)
        times = self.times(None, required=False)
        if times is not None:
            return times, "time"
        lengths = np.array([len(word) for word in self.words])
        spaced = np.array([" " in word for word in self.words])
        here = self.counts * ~self.missing
        mean_length = (here * lengths).sum() / here.sum()
        distinct = (here > 0).sum() / here.sum()
        is_text = mean_length > TEXT_LENGTH or (distinct > 0.5 and (here * spaced).sum() > 0.5 * here.sum())
        return self.text(), "text" if is_text and here.sum() > FEW_ROWS else "category"

    def text(self) -> NDArray[Any]:
        """Return the words; None for a missing one."""
        words = np.array(self.words, dtype=object)
        words[self.missing] = None
        return words[self.place]

    def numbers(self, *, required: bool) -> NDArray[np.float64]:
        """Return numbers; NaN for a missing one."""
        absent = self.missing | self.soft
        wrong = np.array([not a and NUMBER.fullmatch(w) is None for w, a in zip(self.words, absent, strict=True)])
        if required and wrong.any():
            msg = (
                f"column {self.name!r} must hold numbers; {self._examples(wrong)}: repair these rows, name the words "
                f"that mean a missing value (columns: {{{self.name}: {{missing: [...]}}}}), or declare another type"
            )
            raise DataError(msg)
        values = np.array([np.nan if a else float(w) for w, a in zip(self.words, absent, strict=True)])
        return values[self.place]

    def times(self, given: str | None, *, required: bool) -> Any:
        """Return times, NaT for a missing one; None if the words are no times and need not be."""
        absent = self.missing | self.soft
        known = pd.Series([word for word, gone in zip(self.words, absent, strict=True) if not gone], dtype=object)
        formats = [given] if given else self._fitting(known)
        if len(formats) > 1:
            first = self.shown[~absent[self.place]].iloc[0]
            msg = (
                f"column {self.name!r} holds times that can be read as {listed(map(repr, formats))}, for instance "
                f'{first!r}: say which, columns: {{{self.name}: {{type: time, format: "{formats[0]}"}}}}'
            )
            raise DataError(msg)
        read = pd.to_datetime(known, format=formats[0], errors="coerce", utc=True) if formats else None
        if read is None or read.isna().any():
            if not required:
                return None
            bad = np.zeros(len(self.words), dtype=bool)
            bad[np.flatnonzero(~absent)[read.isna().to_numpy() if read is not None else slice(None)]] = True
            wanted = f"as {given!r}" if given else "such as 2024-01-31, or a declared format"
            msg = f"column {self.name!r} must hold times {wanted}; {self._examples(bad)}: repair these rows"
            raise DataError(msg)
        values = np.full(len(self.words), np.datetime64("NaT", "us"), dtype="datetime64[us]")
        values[~absent] = _naive(read).to_numpy()
        return values[self.place]

    def _fitting(self, known: "pd.Series[Any]") -> list[str]:
        if all(ISO_TIME.fullmatch(word) for word in known):
            return ["ISO8601"]
        sample = known.head(50)
        likely = [f for f in TIME_FORMATS if pd.to_datetime(sample, format=f, errors="coerce").notna().all()]
        return [f for f in likely if pd.to_datetime(known, format=f, errors="coerce").notna().all()]

    def _examples(self, bad: NDArray[np.bool_]) -> str:
        return _rows(self.shown, bad[self.place])


def distinct_words(raw: "pd.Series[Any]") -> Iterator[str]:
    """Yield what stands in a column, each word once, for as long as somebody asks."""
    seen: set[str] = set()
    for value in raw.dropna():
        word = _word(value) if value not in (np.inf, -np.inf) else ""
        if word not in seen:
            seen.add(word)
            yield word


def hashed(raw: "pd.Series[Any]", spec: Mapping[str, Any], key: bytes) -> "pd.Series[Any]":
    """Return a column with a pseudonym in the place of each value; what means missing stays."""
    words = _as_words(raw)
    missing = MISSING | set(spec.get("missing") or ())
    known = pseudonyms({word for word in words if word is not None and word not in missing}, key)
    return words.map(lambda word: known.get(word, word)).astype(object)


def number_as_text(value: float) -> str:
    """Return a number as a person writes it: 1, not 1.0."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def time_as_text(value: pd.Timestamp) -> str:
    """Return a time in ISO 8601; a date alone at midnight."""
    return value.isoformat().removesuffix("T00:00:00")


def _naive(times: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return times in UTC without a zone, to the microsecond."""
    if getattr(times.dt, "tz", None) is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return times.astype("datetime64[us]")


def _rows(raw: "pd.Series[Any]", bad: Any) -> str:
    chosen = raw[np.asarray(bad)]
    shown = ", ".join(f"row {row} is {value!r}" for row, value in chosen.head(SHOWN).items())
    return shown if len(chosen) <= SHOWN else f"{shown}, and {len(chosen) - SHOWN} more"


def _check_range(name: str, values: "pd.Series[Any]", shown: "pd.Series[Any]", spec: Mapping[str, Any]) -> None:
    for key, outside in _ranges(values, spec):
        if outside.any():
            bound = "at least" if key == "min" else "at most"
            msg = (
                f"column {name!r} must be {bound} {spec[key]:g}; {_rows(shown, outside)}: repair these rows, or "
                f"correct columns.{name}.{key}"
            )
            raise DataError(msg)


def _ranges(values: "pd.Series[Any]", spec: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = []
    if spec.get("min") is not None:
        found.append(("min", values < spec["min"]))
    if spec.get("max") is not None:
        found.append(("max", values > spec["max"]))
    return found
