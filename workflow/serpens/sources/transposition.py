"""A table whose rows are features and whose columns are samples, turned round. It is held in memory."""

import pyarrow as pa

from serpens.errors import DataError
from serpens.sources.files import one_type
from serpens.streams import Stream, whole


def apply(stream: Stream, name: str, origin: str) -> Stream:
    """Return the table with its columns as rows: the first column names the features, the header the samples.

    Parameters
    ----------
    name
        Of the new first column, which holds what the header held.

    Raises
    ------
    DataError
        If a feature has no name or that of another, or the columns hold values of different types.
    """
    table = pa.Table.from_batches(stream.batches(), stream.schema)
    first, *samples = table.column_names
    names = [None if value is None else str(value) for value in table.column(first).to_pylist()]
    if not samples:
        raise DataError(
            f"{origin}: a table that is transposed must have a column for each sample; it has {first!r} alone"
        )
    if (row := next((row for row, value in enumerate(names, 1) if not value), None)) is not None:
        raise DataError(f"{origin}: the first column must name every feature; row {row} of {first!r} is empty")
    seen: dict[str | None, int] = {}
    for row, value in enumerate([name, *names]):
        if value in seen:
            other = f"row {seen[value]}" if seen[value] else "the new column of data.transpose"
            msg = f"{origin}: every feature must have a name of its own; row {row} and {other} are both {value!r}"
            raise DataError(msg)
        seen[value] = row
    kinds = [pa.schema([pa.field("value", table.schema.field(each).type)]) for each in samples]
    wanted = one_type(kinds, [f"{origin}, column {each!r}," for each in samples]).field("value").type
    # sample after sample: the value of feature g of sample s stands at s * n + g
    n = table.num_rows
    flat = pa.concat_arrays([pa.array(table.column(each).cast(wanted).combine_chunks()) for each in samples])
    columns = [flat.take(pa.array(range(place, n * len(samples), n))) for place in range(n)]
    return whole(pa.table([pa.array(samples, pa.string()), *columns], names=[name, *map(str, names)]))
