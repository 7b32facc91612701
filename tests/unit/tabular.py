"""Tables of a test as the stages take them, and what they become as data frames."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa

from serpens import cleaning, stages
from serpens.artefacts import Digest
from serpens.dataartefacts import Cleaning
from serpens.streams import Stream, whole


@dataclass(frozen=True)
class Result:
    """A cleaned table, and its account."""

    frame: pd.DataFrame
    task: str
    classes: tuple[str, ...]
    account: Cleaning
    digest: Digest

    @property
    def columns(self):
        """The rows as the split job reads them."""
        return {
            name: values.astype(object).where(values.notna(), None).to_numpy()
            if values.dtype == "str"
            else values.to_numpy()
            for name, values in self.frame.items()
        }


def stream(frame, pieces=1):
    """Return a data frame as a stream of so many pieces."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    size = max(1, -(-len(table) // pieces))
    taken = whole(table)
    return Stream(
        table.schema, lambda: iter(table.combine_chunks().to_batches(max_chunksize=size)), len(table), taken.pick
    )


def clean(frame, *, pieces=1, threads=1, **settings):
    """Clean a data frame whole."""
    with TemporaryDirectory() as folder:
        own = {key: settings.pop(key) for key in stages.OF_CLEANING if key in settings}
        table = cleaning.raw_table(stream(frame, pieces), **settings)
        cleaned = cleaning.clean(table, folder=Path(folder, "work"), threads=threads, **own)
        rows = pa.Table.from_batches(cleaned.rows.batches(), cleaned.rows.schema)
    frame = rows.to_pandas()
    for name in frame.columns[[kind.kind == "O" for kind in frame.dtypes]]:
        frame[name] = frame[name].astype("str")
    return Result(frame, cleaned.task, cleaned.classes, cleaned.account, cleaned.digest)
