"""A split in memory, as the job makes it piece by piece."""

import pyarrow as pa

from serpens import pieces, stages, streams


def columns_of(table):
    return {name: table.column(name).to_numpy() for name in table.column_names}


def split(settings, number, columns, known, *, rows_a_piece=None):
    """Return the columns of each part, and the schema."""
    table = pa.table({name: pa.array(values, from_pandas=values.dtype == object) for name, values in columns.items()})
    stream = streams.Stream(table.schema, lambda: iter(table.to_batches(max_chunksize=rows_a_piece)))
    dealing = stages.Dealing(settings, number, stream, known)
    dealt = list(dealing)
    parts = {part: pa.Table.from_batches([each[part] for each in dealt]) for part in stages.splits.PARTS}
    schema = stages.learn(settings, known, pieces.held(columns_of(parts["train"])), dealing.parts())
    return {part: columns_of(table) for part, table in parts.items()}, schema
