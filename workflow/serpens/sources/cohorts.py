"""An outside cohort below the main table, its rows marked."""

from collections.abc import Iterator

import pyarrow as pa

from serpens.io import COHORT
from serpens.sources.files import below_each_other
from serpens.streams import Stream


def apply(main: Stream, origin: str, cohort: Stream, outside: str) -> Stream:
    """Return the rows of both.

    Raises
    ------
    DataError
        If the two do not have the same columns, of types that go together.
    """
    both = below_each_other([(origin, main, {}), (outside, cohort, {})])
    schema = both.stream.schema.append(pa.field(COHORT, pa.bool_()))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in both.stream.batches():
            # rows are counted before they are handed on: those of the cohort come last
            mark = pa.array([both.rows[1] > 0] * batch.num_rows, pa.bool_())
            yield pa.record_batch([*batch.columns, mark], schema=schema)

    return Stream(schema, batches)
