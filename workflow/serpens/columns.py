"""Reading a column: its values as the type that it is declared to be, or that its words have.

A column is read piece by piece. What is wrong with a piece is returned beside its values, so that the caller can look
through the whole column before it says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serpens.errors import DataError
from serpens.numberwords import NUMBER, marks, plain
from serpens.personal import pseudonyms
from serpens.words import (
    ISO,
    MISSING_AMONG_VALUES,
    Examples,
    Mask,
    Survey,
    Words,
    infer,
    mask,
    sentinels,
    time_format,
    times,
)

TIME = pa.timestamp("us")
# The whole numbers up to here are float64's own; above, some are rounded.
EXACT = 2.0**53
OFFSET = r"\d[ T]?\d{2}:\d{2}.*([+-]\d{2}:?\d{2}|Z)$"
# What a study may say of a column that bears on how its values are read, beside its type.
SAID = ("missing", "unit", "units", "spelling", "min", "max", "format", "zone")

Kind = Literal["text", "number", "category", "time"]
Collected = Literal["text", "levels", "boolean", "number", "time"]


@dataclass(frozen=True)
class Reading:
    """How a column is read.

    Attributes
    ----------
    type
        number, category, time or text.
    how
        declared or inferred.
    kind
        What it holds as it was collected: text, number, category or time.
    spec
        What the study says of the column.
    form
        Format of the times.
    personal, key
        What the study says of a column about people (hash, keep), and the key that it is hashed with.
    """

    name: str
    type: str
    how: str
    kind: str = "text"
    spec: Mapping[str, Any] = field(default_factory=dict)
    form: str | None = None
    personal: str | None = None
    key: bytes = b""

    def said(self) -> dict[str, Any]:
        """Return what the study says of the values; what it leaves open is not there."""
        given = {key: self.spec.get(key) for key in SAID}
        if self.type == "number":
            decimal, thousands = marks(self.spec)
            given |= {"decimal": decimal if decimal != "." else None, "thousands": thousands}
        return {key: value for key, value in given.items() if value not in (None, (), [], {})}


@dataclass(frozen=True)
class Read:
    """A piece of a column as read.

    Attributes
    ----------
    values
        float64, timestamp in microseconds (UTC), or string; null where there is none.
    missing_words
        How often each word stood for a missing value; an empty field is the empty word.
    faults
        Rows that are wrong, by what must hold.
    words
        A text's distinct words.
    """

    values: pa.Array
    missing_words: dict[str, int]
    faults: dict[str, Mask] = field(default_factory=dict)
    words: Words | None = None


def kind_of(name: str, type_: pa.DataType) -> Kind:
    """Return what a column holds as it was collected.

    Raises
    ------
    DataError
        If it holds no single values.
    """
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_null(type_):
        return "text"
    if pa.types.is_boolean(type_) or pa.types.is_dictionary(type_):
        return "category"
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return "time"
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    msg = f"column {name!r} must hold numbers, times or words; it holds {type_}: convert it, or drop it"
    raise DataError(msg)


def collected_as(name: str, type_: pa.DataType) -> Collected:
    """Return what a column holds as it was collected; of a category, whether it has words or is true and false."""
    kind = kind_of(name, type_)
    if kind == "category":
        return "boolean" if pa.types.is_boolean(type_) else "levels"
    return kind


def declared(spec: Mapping[str, Any]) -> str | None:
    """Return the type that is declared of a column, also by what is only said of one type."""
    given: str | None = spec.get("type")
    numeric = any(spec.get(key) is not None for key in ("min", "max", "unit", "decimal", "thousands"))
    if given == "image" or (given is None and numeric):
        return "number"
    if given is None and spec.get("spelling"):
        return "category"
    if given is None and (spec.get("format") or spec.get("zone")):
        return "time"
    return given


def reads_words(name: str, type_: pa.DataType, spec: Mapping[str, Any]) -> bool:
    """Return whether a column is read by its words, so that a survey may have to say how."""
    kind = kind_of(name, type_)
    return kind == "text" or declared(spec) not in (None, kind)


def reading(name: str, type_: pa.DataType, spec: Mapping[str, Any], survey: Survey | None) -> Reading:
    """Return how a column is to be read.

    Parameters
    ----------
    survey
        What its words are, where :func:`reads_words`; of a part of the column it gives a guess.

    Raises
    ------
    DataError
        If the type cannot be decided.
    """
    kind, said = kind_of(name, type_), declared(spec)
    if not reads_words(name, type_, spec):
        return Reading(name, kind, "declared" if said else "inferred", kind, spec)
    assert survey is not None, name
    chosen = said or infer(name, survey)
    form = (spec.get("format") or time_format(name, survey)) if chosen == "time" else None
    return Reading(name, chosen, "declared" if said else "inferred", kind, spec, form)


def survey_of(spec: Mapping[str, Any], *, private: bool = False) -> Survey:
    """Return an empty survey of a column; what a private one holds stands in no message."""
    return Survey(sentinels(spec), private, *marks(spec))


def hashed(raw: pa.Array, spec: Mapping[str, Any], key: bytes) -> pa.Array:
    """Return a column with a pseudonym in the place of each value; what means missing stays."""
    piece = Words.of(as_words(raw))
    words, missing = piece.words.to_pylist(), piece.among(sentinels(spec))
    known = pseudonyms((word for word, gone in zip(words, missing, strict=True) if not gone), key)
    return pa.array([known.get(word, word) for word in words], pa.string()).take(pa.array(piece.place))


def as_words(raw: pa.Array) -> pa.Array:
    """Return values as a person writes them; a missing one is null."""
    if pa.types.is_string(raw.type):
        return raw
    if pa.types.is_large_string(raw.type) or pa.types.is_dictionary(raw.type) or pa.types.is_null(raw.type):
        return raw.cast(pa.string())
    if pa.types.is_boolean(raw.type):
        return pc.if_else(raw, "true", "false")
    once = raw.dictionary_encode()
    if kind_of("", raw.type) == "time":
        texts = [time_as_text(pd.Timestamp(value)) for value in _moments(once.dictionary).to_numpy()]
    else:
        texts = [number_as_text(value) for value in once.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(once.indices)


def read(how: Reading, raw: pa.Array, first: int = 1) -> Read:
    """Read a piece of a column.

    Parameters
    ----------
    raw
        Values as collected.
    first
        Number of the piece's first row.
    """
    if how.personal == "hash":
        raw = hashed(raw, how.spec, how.key)
    if how.kind == "text" or how.kind != how.type or how.personal == "hash":
        return _READERS[how.type](how, as_words(raw), first)
    if how.kind == "category":
        return _levels(how, raw)
    if how.kind == "time":
        values = _moments(raw)
        return Read(values, _gaps(values))
    return _typed_numbers(how, raw)


def examples(how: Reading, fault: str, raw: pa.Array, found: Read, rows: Mask, first: int = 1) -> Examples:
    """Return rows that are wrong as the user wrote them; those out of range, as they were understood."""
    shown = found.values if fault in ("min", "max") else raw if how.kind == how.type else as_words(raw)
    named = Examples(private=how.personal is not None)
    named.take(shown, rows, first)
    return named


def explain(how: Reading, fault: str, examples: Examples) -> DataError:
    """Return the error that says what must hold of a column, and which rows do not."""
    name, spec = how.name, how.spec
    repair = "repair these rows"
    if fault == "number":
        must = "hold numbers" + (f" in {spec['unit']}" if spec.get("unit") else "")
        repair += (
            f", name the words that mean a missing value (columns: {{{name}: {{missing: [...]}}}}), "
            "or declare another type"
        )
    elif fault == "finite":
        must, repair = "be finite", f"{repair}, or declare them missing"
    elif fault == "exact":
        must = "hold numbers that a float of 64 bits holds exactly"
        repair = "if they are names, set its type to category; if they are quantities, round them"
    elif fault == "time":
        must = "hold times " + (
            f"as {how.form!r}" if spec.get("format") else "such as 2024-01-31, or a declared format"
        )
    elif fault == "clock":
        must = f"hold times that clocks in {spec['zone']} showed once"
        repair = "write these with their offset, such as 2024-10-27T02:30+02:00"
    else:
        bound = "at least" if fault == "min" else "at most"
        must, repair = f"be {bound} {spec[fault]:g}", f"{repair}, or correct columns.{name}.{fault}"
    return DataError(f"column {name!r} must {must}; {examples}: {repair}")


def number_as_text(value: float) -> str:
    """Return a number as a person writes it: 1, not 1.0."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def time_as_text(value: pd.Timestamp) -> str:
    """Return a time in ISO 8601; a date alone at midnight."""
    return value.isoformat().removesuffix("T00:00:00")


def _gaps(values: pa.Array) -> dict[str, int]:
    return {"": values.null_count} if values.null_count else {}


def _moments(raw: pa.Array) -> pa.Array:
    """Return times in UTC without a zone, to the microsecond."""
    if pa.types.is_date(raw.type):
        return raw.cast(TIME)
    zoned = pa.timestamp("us", tz=raw.type.tz)
    return raw.cast(zoned, safe=False).cast(TIME) if raw.type.tz else raw.cast(TIME, safe=False)


def _levels(how: Reading, raw: pa.Array) -> Read:
    """Read a category that its file declares: no word means missing in it but those that the study names."""
    words = pc.utf8_trim_whitespace(as_words(raw)).dictionary_encode()
    counts = _gaps(raw)
    levels, named = words.dictionary.to_pylist(), set(how.spec.get("missing") or ())
    found = np.bincount(words.indices.drop_null().to_numpy(), minlength=len(levels)).tolist()
    counts |= {level: n for level, n in zip(levels, found, strict=True) if level in named}
    right = _spellings(how)
    read = [None if level in named else right.get(level, level) for level in levels]
    return Read(pa.array(read, pa.string()).take(words.indices), counts)


def _spellings(how: Reading) -> dict[str, str]:
    """Return the level that each other spelling means."""
    spelling: Mapping[str, Any] = how.spec.get("spelling") or {}
    return {variant: level for level, variants in spelling.items() for variant in variants}


def _text(how: Reading, raw: pa.Array, first: int) -> Read:
    piece = Words.of(raw, first)
    missing = piece.among(sentinels(how.spec))
    words = pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), piece.words)
    if right := _spellings(how):
        words = pa.array([right.get(word, word) for word in words.to_pylist()], pa.string())
    return Read(words.take(pa.array(piece.place)), piece.counted(missing), words=piece)


def _times(how: Reading, raw: pa.Array, first: int) -> Read:
    piece = Words.of(raw, first)
    missing = piece.among(sentinels(how.spec)) | piece.among(MISSING_AMONG_VALUES, lower=True)
    known = np.flatnonzero(~missing)
    words = piece.words.take(pa.array(known))
    found = times(words, how.form or ISO)
    wrong = {"time": np.asarray(found.isna())}
    if zone := how.spec.get("zone"):
        naive = ~mask(pc.match_substring_regex(words, OFFSET))
        local = found.tz_localize(None).tz_localize(zone, ambiguous="NaT", nonexistent="NaT").tz_convert("UTC")
        wrong["clock"] = np.asarray(local.isna()) & naive & ~wrong["time"]
        found = found.where(~naive, local)
    values = np.full(len(piece.words), np.datetime64("NaT", "us"), dtype="datetime64[us]")
    values[known] = found.tz_localize(None).to_numpy().astype("datetime64[us]")
    faults = {}
    for fault, rows in wrong.items():
        if rows.any():
            word_is_wrong = np.zeros(len(piece.words), dtype=bool)
            word_is_wrong[known[rows]] = True
            faults[fault] = word_is_wrong[piece.place]
    return Read(pa.array(values[piece.place], TIME, from_pandas=True), piece.counted(missing), faults)


def _numbers(how: Reading, raw: pa.Array, first: int) -> Read:
    """Read numbers: all at once where every word is a number or a usual missing word, else word by word."""
    words = pc.utf8_trim_whitespace(pc.fill_null(raw, ""))
    usual = pc.is_in(words, value_set=_usual(how.spec))
    known = pc.if_else(usual, pa.scalar(None, pa.string()), words)
    try:
        values = _scaled(how.spec, *plain(how.spec, known))
    except pa.ArrowInvalid:
        return _rare_numbers(how, raw, first)
    numbers = values.fill_null(0.0).to_numpy()
    # a sum of finite numbers that is not finite is rare enough to look at them one by one
    if not np.isfinite(numbers.sum()) or max(numbers.max(initial=0), -numbers.min(initial=0)) >= EXACT:
        return _rare_numbers(how, raw, first)
    counted: dict[str, int] = {}
    if pc.any(usual).as_py():
        found = words.filter(usual).value_counts()
        counted = dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True))
    return Read(values, counted, _outside(how, values))


def _rare_numbers(how: Reading, raw: pa.Array, first: int) -> Read:
    """Read numbers by their distinct words, and say which are none."""
    piece = Words.of(raw, first)
    missing = piece.among(sentinels(how.spec)) | piece.among(MISSING_AMONG_VALUES, lower=True)
    known = pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), piece.words)
    written, factor = plain(how.spec, known)
    wrong = ~missing & ~mask(pc.fill_null(pc.match_substring_regex(written, NUMBER), False))
    texts = [None if bad else word for word, bad in zip(written.to_pylist(), wrong, strict=True)]
    # Python reads a plus before a number, and what is too large as infinite, which Arrow refuses
    parsed = pa.array([None if text is None else float(text) for text in texts], pa.float64())
    numbers = parsed.to_numpy(zero_copy_only=False)
    rounded = np.array([text is not None and _is_rounded(text, x) for text, x in zip(texts, numbers, strict=True)])
    values = _scaled(how.spec, parsed, factor).take(pa.array(piece.place))
    faults = {
        fault: words[piece.place]
        for fault, words in (("number", wrong), ("finite", np.isinf(numbers)), ("exact", rounded.astype(bool)))
        if words.any()
    }
    return Read(values, piece.counted(missing), faults or _outside(how, values))


def _typed_numbers(how: Reading, raw: pa.Array) -> Read:
    faults: dict[str, Mask] = {}
    try:
        values = raw.cast(pa.float64())
    except pa.ArrowInvalid:
        values = raw.cast(pa.float64(), safe=False)
        faults["exact"] = np.array([v is not None and int(v) != float(v) for v in raw.to_pylist()])
    numbers = values.to_numpy(zero_copy_only=False)
    if np.isinf(numbers).any():
        faults["finite"] = np.isinf(numbers)
    gone = np.isnan(numbers)
    counted = {"": int(gone.sum())} if gone.any() else {}
    for word in how.spec.get("missing") or ():
        try:
            sentinel = numbers == float(word)
        except ValueError:
            continue  # a word for a column of text
        if sentinel.any():
            counted[word] = int(sentinel.sum())
            gone |= sentinel
    values = pa.array(numbers, mask=gone)
    return Read(values, counted, faults or _outside(how, values))


def _usual(spec: Mapping[str, Any]) -> pa.Array:
    """Return the words that stand for a missing number, as they are usually written."""
    soft = {case for word in MISSING_AMONG_VALUES for case in (word, word.upper(), word.capitalize())}
    return pa.array(sorted(sentinels(spec) | soft), pa.string())


def _scaled(spec: Mapping[str, Any], numbers: pa.Array, factor: pa.Array | None) -> pa.Array:
    values = numbers.cast(pa.float64())
    return values if factor is None else pc.multiply(values, factor)


def _is_rounded(text: str, value: float) -> bool:
    """Return whether a whole number is not the float that it became."""
    return (
        abs(value) >= EXACT
        and value not in (np.inf, -np.inf)
        and text.lstrip("+-").isdigit()
        and int(text) != int(value)
    )


def _outside(how: Reading, values: pa.Array) -> dict[str, Mask]:
    """Return the rows outside of the declared range."""
    found = {}
    for bound, compare in (("min", pc.less), ("max", pc.greater)):
        if (limit := how.spec.get(bound)) is not None:
            rows: NDArray[np.bool_] = mask(pc.fill_null(compare(values, limit), False))
            if rows.any():
                found[bound] = rows
    return found


_READERS = {"number": _numbers, "time": _times, "category": _text, "text": _text}
