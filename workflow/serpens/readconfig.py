"""What a study says of how its files are to be read, where the files do not say it: the section ``read``."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from serpens.configtypes import Contradiction, Count, Real, Section, Text, Truth, Whole
from serpens.errors import listed


def _mark(text: str) -> str:
    if len(text) != 1 or text in "\r\n\0":
        raise ValueError(f'must be one character, such as ";" or "\\t", found {text!r}')
    return text


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError as err:
        raise ValueError(f"must be an encoding, such as utf-8, latin-1, cp1252 or utf-16-le, found {name!r}") from err
    return name


def _own_names(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    trimmed = [name.strip() for name in names or ()]
    if "" in trimmed:
        raise ValueError(f"must not be blank, and name {trimmed.index('') + 1} of {len(trimmed)} is")
    if twice := sorted({name for name in trimmed if trimmed.count(name) > 1}):
        raise ValueError(f"must differ, found {listed(map(repr, twice))} more than once")
    return names


Mark = Annotated[str, AfterValidator(_mark)]


class Read(Section):
    """How the files of a study are to be read, where they do not say it. A key of another format is refused."""

    delimiter: Mark | None = None
    """Delimited text: what stands between two fields, such as `";"`; `" "` stands for runs of spaces."""
    decimal: Mark | None = None
    """Delimited text: what stands before the decimals, `.` or `","`."""
    thousands: Mark | None = None
    """Delimited text: what stands between thousands."""
    quote: Mark | Literal[False] | None = None
    """Delimited text: what a field with delimiters or line ends stands in, `"` by default; false for nothing."""
    escape: Mark | None = None
    """Delimited text: what makes the next character stand for itself."""
    encoding: Annotated[Text, AfterValidator(_encoding)] | None = None
    """Delimited text: how characters are written, such as `latin-1`; else UTF-8, or UTF-16 where the file shows it."""
    header: Truth | None = None
    """Delimited text: whether the first line names the columns; else it must, and not with numbers alone."""
    names: Annotated[tuple[Text, ...], Field(min_length=1), AfterValidator(_own_names)] | None = None
    """Delimited text: names of the columns, in their order, in place of the header's or where there is none."""
    comment: Text | None = None
    """Delimited text: what a line begins with that is no row, such as `"#"`."""
    skip_rows: Annotated[Whole, Field(ge=0)] | None = None
    """Delimited text, Excel: lines before the one that names the columns."""
    sheet: Count | Text | None = None
    """Excel: name or number, from 1, of the sheet; needed where there are several."""
    layer: Text | None = None
    """AnnData: the matrix whose columns are features: `raw`, `X`, or the name of a layer; else `raw` if it is there."""
    dataset: Text | None = None
    """HDF5: path in the file of a dataset, or of a group whose datasets are the columns."""
    variables: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """NetCDF: the variables that become columns, all on the same dimensions."""
    images: Text | None = None
    """Column that holds the paths of images, from the folder of the table; each pixel becomes a column."""
    size: Annotated[tuple[Count, ...], Field(min_length=2, max_length=2)] | None = None
    """Images: height and width, in pixels, to which each is resized; without it all must have the same."""
    channels: Literal[1, 3] | None = None
    """Images: 1 for grey, 3 for colours, to which each is converted; without it all must have the same."""
    member: Text | None = None
    """Archives (.zip, .tar): which table is meant; needed where there are several."""
    max_expanded_mb: Annotated[Real, Field(gt=0)] | None = None
    """Archives, .csv.gz: to how much a file may unpack at most, in megabytes (10^6 bytes); 100,000 if not given."""
    max_ratio: Annotated[Real, Field(gt=1)] | None = None
    """Archives, .csv.gz: to how many times its size a file may unpack at most, beyond its first 100 megabytes; 200 if
    not given."""

    def contradictions(self) -> Iterator[Contradiction]:  # noqa: D102
        if self.header is False and self.names is None:
            yield ("header", "names"), "is false, so names must name the columns"
        if self.names is not None and self.header is None:
            text = "needs header beside it: true if the first line names the columns too, false if it is data"
            yield ("names", "header"), text
        if self.thousands == (self.decimal or "."):
            yield ("thousands", "decimal"), f"must not be the decimal mark {self.thousands!r}"
        marks = [self.delimiter, self.quote or None, self.escape]
        for key, mark in (("quote", self.quote), ("escape", self.escape)):
            if mark and marks.count(mark) > 1:
                yield (key, "delimiter"), f"must differ from the other marks, and {mark!r} stands for two of them"

    def given(self) -> dict[str, Any]:
        """Return what is said, without what is left open."""
        return self.model_dump(exclude_none=True)
