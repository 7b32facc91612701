"""Clean a study's table and account for every row and column."""

from typing import TYPE_CHECKING

from serpens import io, stages
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    folder = run.hold(io.workspace(snakemake.output.table))
    cleaned = stages.clean(run.settings, io.read_stream(snakemake.input.raw), folder=folder, threads=snakemake.threads)
    io.write_stream(snakemake.output.table, cleaned.rows)
    cleaned.account.write(snakemake.output.cleaning)
    cleaned.digest.write(snakemake.output.digest)
