"""Clean a study's table and account for every row and column."""

from typing import TYPE_CHECKING

from serpens import io, shards, stages
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    folder = run.hold(io.workspace(snakemake.output.table))
    raw, washed = io.read_stream(snakemake.input.raw), shards.read(snakemake.input.rows, snakemake.input.found)
    cleaned = stages.clean(run.settings, raw, folder=folder, threads=snakemake.threads, shards=washed)
    io.write_stream(snakemake.output.table, cleaned.rows)
    cleaned.account.write(snakemake.output.cleaning)
    cleaned.digest.write(snakemake.output.digest)
