"""What a study says of its columns: their types and ranges, and which of them make an image."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from serpens.configtypes import Contradiction, Count, Level, Positive, Real, Section, Share, Text, or_text
from serpens.errors import nearest

Mark = Annotated[str, StringConstraints(min_length=1, max_length=1, pattern=r"^[^0-9A-Za-z+-]$")]


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(
            f"must be a time zone such as Europe/Berlin, found {name!r}{nearest(name, available_timezones())}"
        )
    return name


Zone = Annotated[Text, AfterValidator(_zone)]
ColumnType = Literal["number", "category", "time", "text", "image"]
Outliers = Literal["keep", "clip", "flag"]
Impute = Literal["median", "mean", "mode", "zero"]
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
    zone: Zone | None = None
    """Time zone of times that are written without an offset, such as `Europe/Berlin`; else they are UTC."""
    missing: tuple[Level, ...] = ()
    """Values that mean missing, such as `[-999, unknown]`, beside the usual words."""
    decimal: Mark | None = None
    """What stands before the decimals of a number; without it what `read` says, or a point."""
    thousands: Mark | None = None
    """What stands between the thousands of a number; without it what `read` says, or nothing."""
    unit: Text | None = None
    """Unit that is written after a number, as in `12 kg`, and that the values are in."""
    units: dict[Text, Positive] = Field(default_factory=dict)
    """Other units that may be written, and how much of `unit` one of them is: `{g: 0.001}`."""
    spelling: dict[Text, tuple[Level, ...]] = Field(default_factory=dict)
    """Levels of a category, and how else they are written: `{male: [M, m, Male]}`."""
    outliers: Outliers | None = None
    """What is done with its outliers, if not what `clean` says."""
    impute: Impute | None = None
    """What stands for its missing values, if not what `clean` says."""
    indicator: bool | None = None
    """Whether a further input says that its value was missing, if not what `clean` says."""

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
        for key in ("format", "zone"):
            if getattr(self, key) is not None and self.type not in (None, "time"):
                yield (key, "type"), f"is for times, and the column's type is {self.type}"
        for key in ("decimal", "thousands", "unit", "units"):
            if key in self.model_fields_set and self.type not in (None, "number"):
                yield (key, "type"), f"is for numbers, and the column's type is {self.type}"
        if self.thousands == (self.decimal or "."):
            yield ("thousands", "decimal"), f"must not be the decimal mark {self.thousands!r}"
        if self.units and self.unit is None:
            yield ("units", "unit"), "says how much of unit other units are: give unit"
        if self.spelling and self.type not in (None, "category"):
            yield ("spelling", "type"), f"is for categories, and the column's type is {self.type}"
        if self.outliers is not None and self.type not in (None, "number"):
            yield ("outliers", "type"), f"is for numbers, and the column's type is {self.type}"
        if self.impute is not None and self.impute not in allowed_impute(self.type):
            allowed = ", ".join(allowed_impute(self.type))
            yield ("impute", "type"), f"{self.impute} is not for a {self.type}; allowed: {allowed}"
        yield from self._spelling_faults()

    def _spelling_faults(self) -> Iterator[Contradiction]:
        seen: dict[str, str] = {}
        for level, variants in self.spelling.items():
            for variant in variants:
                if seen.setdefault(variant, level) != level:
                    yield ("spelling",), f"{variant!r} is a spelling of both {seen[variant]} and {level}"


def allowed_impute(kind: str | None) -> tuple[Impute, ...]:
    """Return what may stand for a missing value of a type of column; None is one that only the data tell."""
    allowed: dict[str | None, tuple[Impute, ...]] = {"category": ("mode",), "time": ("median", "mean", "mode")}
    return allowed.get(kind, get_args(Impute))


class Clean(Section):
    """How columns are cleaned, where `columns` does not say it of one. What it takes is learned on training rows."""

    duplicates: Literal["keep", "drop", "refuse"] = "keep"
    """Rows that repeat another one exactly: they are kept, on its side of every split; left out and counted (`drop`);
    or stop the job (`refuse`). Of rows with one `id` and the same content one is kept in any case."""
    outliers: Outliers = "keep"
    """Numbers more than 3 interquartile ranges below the first or above the third quartile: they are kept, become the
    nearest number that is none (`clip`), or are kept and marked by a further input (`flag`)."""
    impute: Impute = "median"
    """What stands for a missing number; for a missing time the median where this says `zero`. A missing category is a
    level of its own, with `mode` the most frequent one. A forecast always fills gaps with the last value before."""
    indicator: bool = True
    """Whether a further input says that a number or time was missing, where one was in the training rows."""


class Select(Section):
    """Which columns of numbers models see, of very many; learned on training rows. Exactly one of `keep` and `fdr`."""

    by: Literal["variance", "univariate"]
    """Those that vary most, as they are; or those that go most with the target: an F test between classes, or of the
    correlation with a number."""
    keep: Count | None = None
    """How many are kept."""
    fdr: Share | None = None
    """How many of those that are kept may be false ones, as a fraction (Benjamini and Hochberg); for `univariate`."""

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        if self.keep is None and self.fdr is None:
            yield ("keep", "fdr", "by"), "selection needs a limit: give keep or fdr"
        elif self.keep is not None and self.fdr is not None:
            yield ("fdr", "keep"), "selection has one limit: give keep or fdr, not both"
        elif self.fdr is not None and self.by == "variance":
            yield ("fdr", "by"), "a variance has no test and so no fdr: give keep, or by: univariate"


class Image(Section):
    """How columns make an image."""

    columns: Text
    """Glob pattern of the columns that hold the pixels, in the order of the table, row by row."""
    shape: Annotated[tuple[Count, ...], Field(min_length=3, max_length=3)]
    """Channels, height and width, in pixels: `[1, 8, 8]`."""
