"""What a study says of its columns: their types and ranges, and which of them make an image."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from serpens.configtypes import Contradiction, Count, Level, Real, Section, Text, or_text

ColumnType = Literal["number", "category", "time", "text", "image"]
# What becomes of a column that is about people: left out, replaced by keyed digests, or declared and used as it is.
Decision = Literal["drop", "hash", "keep"]


class Column(Section):
    """What is known of a column. A bare word means `type`. What is not said is inferred from the data."""

    model_config = or_text("type of the column")

    type: ColumnType | None = None
    """What the values are; a value that is not of this type is an error."""
    min: Real | None = None
    """Smallest value that can be right, in the column's unit; a smaller one is an error."""
    max: Real | None = None
    """Largest value that can be right, in the column's unit; a larger one is an error."""
    format: Text | None = None
    """How times are written, such as `%d/%m/%Y` (the codes of Python's strptime)."""
    missing: tuple[Level, ...] = ()
    """Values that mean missing, such as `[-999, unknown]`, beside the usual words."""

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, given: Any) -> Any:
        return {"type": given} if isinstance(given, str) else given

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        for key in ("min", "max"):
            if getattr(self, key) is not None and self.type not in (None, "number"):
                yield (key, "type"), f"is for numbers, and the column's type is {self.type}"
        if self.min is not None and self.max is not None and self.min > self.max:
            yield ("max", "min"), f"must not be below min, found {self.max:g} < {self.min:g}"
        if self.format is not None and self.type not in (None, "time"):
            yield ("format", "type"), f"is for times, and the column's type is {self.type}"


class Image(Section):
    """How columns make an image."""

    columns: Text
    """Glob pattern of the columns that hold the pixels, in the order of the table, row by row."""
    shape: Annotated[tuple[Count, ...], Field(min_length=3, max_length=3)]
    """Channels, height and width, in pixels: `[1, 8, 8]`."""
