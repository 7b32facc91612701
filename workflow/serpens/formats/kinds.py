"""Columns of values that each have a type of their own, as JSON and Excel have them: which type holds all of them.

A first reading notes what kinds of values a column has; a second one makes columns of the type that follows.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import pyarrow as pa

EXACT = 2**53
"""Up to here float64 holds every whole number."""
LARGEST = 2**63
FORMS = 1000
"""Forms of rows that are kept, whatever the number of rows."""


class Written(str):
    """A number with a point or an exponent, as it is written."""

    __slots__ = ()


class Large:
    """Stands among kinds for a whole number that float64 may not hold."""


class Huge:
    """Stands among kinds for a whole number that no type of Arrow holds."""


class Kinds:
    """The kinds of values of each column, in the order in which columns appear."""

    def __init__(self) -> None:
        self.of: dict[str, set[type]] = {}
        # forms of rows that were noted: names and types, with the names of the whole numbers among them
        self._forms: dict[tuple[object, ...], list[str]] = {}

    def note_row(self, row: Mapping[str, Any]) -> bool:
        """Note the values of a row; return whether a row of the same names and types was noted before."""
        form = (tuple(row), tuple(map(type, row.values())))
        whole = self._forms.get(form)
        if whole is not None and all(-EXACT <= row[name] <= EXACT for name in whole):
            return True
        for name, value in row.items():
            self.note(name, value)
        if len(self._forms) < FORMS:
            self._forms[form] = [name for name, value in row.items() if value.__class__ is int]
        return False

    def note(self, name: str, value: Any) -> None:
        """Note one value of a column; None is a missing one."""
        kinds = self.of.get(name)
        if kinds is None:
            kinds = self.of[name] = set()
        if value is not None:
            kinds.add(value.__class__)
            if value.__class__ is int and not -EXACT <= value <= EXACT:
                kinds.add(Large if -LARGEST <= value < LARGEST else Huge)

    def schema(self) -> pa.Schema:
        """Return the type of each column: text where its values have no other in common."""
        return pa.schema([(name, _type(kinds)) for name, kinds in self.of.items()])


def _type(kinds: set[type]) -> pa.DataType:
    if kinds == {bool}:
        return pa.bool_()
    if kinds and kinds <= {int, Large}:
        return pa.int64()
    if kinds and kinds <= {int, float, Written}:
        return pa.float64()
    if kinds and kinds <= {datetime, date}:
        return pa.timestamp("us")
    return pa.string()


def column(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    """Return values as a column of the type that was found for it."""
    if pa.types.is_string(type_):
        return pa.array([None if value is None else _text(value) for value in values], type_)
    if pa.types.is_float64(type_):
        return pa.array([None if value is None else float(value) for value in values], type_)
    return pa.array(values, type_)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime | date | time):
        return value.isoformat().removesuffix("T00:00:00")
    return str(value)
