"""Serpens: what its rules collect, clean and split do, in one process with two threads."""

import sys
from pathlib import Path

import pyarrow as pa
from benchmarks.cleaning import task

from serpens import io, settings, splits, stages
from serpens.config import Study

THREADS = 2


def main(csv: Path, folder: Path) -> None:
    """Clean a table into a folder."""
    pa.set_cpu_count(THREADS)
    study = Study.model_validate(
        {
            "question": "Is it the same?",
            "data": str(csv),
            "target": "outcome",
            "id": "id",
            "split": {"validation": 0.15, "calibration": 0.1, "test": 0.2},
            "columns": {name: {"missing": [task.SENTINEL]} for name in task.NUMBERS},
            "clean": {"outliers": "clip", "indicator": False},
        }
    )
    raw, table = folder / "raw.parquet", folder / "clean.parquet"
    with stages.collect(settings.collect(study)) as collected:
        io.write_stream(raw, collected.stream)
        collected.source().write(folder / "source.json")
    with io.workspace(table) as work:
        cleaned = stages.clean(settings.clean(study), io.read_stream(raw), folder=work, threads=THREADS)
        io.write_stream(table, cleaned.rows)
    cleaned.account.write(folder / "cleaning.json")
    chosen = settings.split(study, n_splits=1)
    dealing = stages.Dealing(chosen, 0, io.read_stream(table), cleaned.digest, threads=THREADS)
    io.write_streams({part: folder / f"{part}.parquet" for part in splits.PARTS}, dealing.schema, dealing)
    parts = {part: io.read_pieces(folder / f"{part}.parquet") for part in splits.PARTS}
    schema = stages.learn(chosen, cleaned.digest, parts["train"], dealing.parts(), threads=THREADS)

    def write(part: str, n_rows: int, pieces: stages.ExamplePieces) -> None:
        """Write the examples of a part."""
        io.write_pieces(folder / f"{part}.safetensors", n_rows, (examples.arrays() for examples in pieces))

    stages.encode(schema, parts, write, threads=THREADS).write(folder / "schema.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
