"""Type the rows of one part of a study's table, for cleaning to put together."""

from typing import TYPE_CHECKING

from serpens import io, shards, stages
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    raw = snakemake.input.raw
    before, part = io.read_part(raw, run.settings["shard"], of=run.settings["shards"])
    washed = stages.wash(run.settings, io.read_stream(raw), part, before, threads=snakemake.threads)
    shards.write(snakemake.output.rows, snakemake.output.found, *washed)
