"""Assign rows to the parts of one split, learn preprocessing on its training rows, and apply it."""

from typing import TYPE_CHECKING

from serpens import io, splits, stages
from serpens.artefacts import Digest
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    known, table = Digest.read(snakemake.input.digest), io.read_stream(snakemake.input.table)
    dealing = stages.Dealing(run.settings, int(snakemake.wildcards.split), table, known, threads=snakemake.threads)
    io.write_streams({part: snakemake.output[part] for part in splits.PARTS}, dealing.schema, dealing)
    parts = {part: io.read_pieces(snakemake.output[part]) for part in splits.PARTS}
    schema = stages.learn(run.settings, known, parts["train"], dealing.parts(), threads=snakemake.threads)

    def write(part: str, n_rows: int, pieces: stages.ExamplePieces) -> None:
        """Write the examples of a part."""
        io.write_pieces(snakemake.output[f"{part}_arrays"], n_rows, (examples.arrays() for examples in pieces))

    stages.encode(schema, parts, write, threads=snakemake.threads).write(snakemake.output.schema)
