"""What a study says of how its files are to be read, where the files do not say it: the section ``read``."""

from typing import Annotated, Any, Literal

from pydantic import Field

from serpens.configtypes import Count, Section, Text, Truth, Whole

Mark = Annotated[str, Field(min_length=1, max_length=1)]


class Read(Section):
    """How the files of a study are to be read, where they do not say it. A key that fits no format is refused."""

    delimiter: Mark | None = None
    """Delimited text: what stands between two fields, such as `";"`."""
    decimal: Mark | None = None
    """Delimited text: what stands before the decimals, `.` or `","`."""
    thousands: Mark | None = None
    """Delimited text: what stands between thousands."""
    quote: Mark | None = None
    """Delimited text: what a field with delimiters or line ends stands in."""
    escape: Mark | None = None
    """Delimited text: what makes the next character stand for itself."""
    encoding: Text | None = None
    """Delimited text: how characters are written, such as `latin-1`."""
    header: Truth | None = None
    """Delimited text: whether the first line names the columns."""
    names: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """Delimited text: names of the columns, in their order."""
    comment: Text | None = None
    """Delimited text: what a line begins with that is no row."""
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
    """Archives: path in the archive of the file that holds the table."""

    def given(self) -> dict[str, Any]:
        """Return what is said, without what is left open."""
        return self.model_dump(exclude_none=True)
