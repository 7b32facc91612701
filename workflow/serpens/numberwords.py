"""How numbers are written: with which marks, and with which units."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# RE2's \\d is an ASCII digit.
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
# What becomes of a word that is not written as it was declared.
NO_NUMBER = "no number"


def marks(spec: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return what stands before decimals and between thousands: as is said of the column, or else of the file."""
    of_file = spec.get("numbers") or {}
    decimal: str = spec.get("decimal") or of_file.get("decimal") or "."
    return decimal, spec.get("thousands") or of_file.get("thousands")


def plain(spec: Mapping[str, Any], words: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """Return numbers as a program writes them, and the factor of each word's unit where a unit is declared."""
    factor = None
    decimal, thousands = marks(spec)
    if unit := spec.get("unit"):
        factors = {unit: 1.0} | dict(spec.get("units") or {})
        names = "|".join(_quoted(name) for name in sorted(factors, key=len, reverse=True))
        parts = pc.extract_regex(words, rf"^(?P<number>.*[0-9.,])\s*(?P<unit>{names})$")
        bare = pc.is_null(parts)
        found = pc.index_in(pc.struct_field(parts, "unit"), value_set=pa.array(list(factors)))
        factor = pc.if_else(bare, 1.0, pa.array(list(factors.values())).take(found))
        words = pc.if_else(bare, words, pc.struct_field(parts, "number"))
    if thousands:
        mark = _quoted(thousands)
        grouped = rf"^[+-]?\d{{1,3}}({mark}\d{{3}})+({_quoted(decimal)}\d*)?$"
        joined = pc.replace_substring(words, thousands, "")
        words = pc.if_else(pc.match_substring_regex(words, grouped), joined, words)
    if decimal != ".":
        mark = _quoted(decimal)
        fits = pc.match_substring_regex(words, rf"^[+-]?(\d+{mark}?\d*|{mark}\d+)([eE][+-]?\d+)?$")
        words = pc.if_else(fits, pc.replace_substring(words, decimal, "."), NO_NUMBER)
    return words, factor


def _quoted(text: str) -> str:
    """Return a pattern of RE2 that fits a text alone."""
    return rf"\Q{text}\E"
