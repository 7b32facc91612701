"""Clean a study's table and account for every row and column."""

from typing import TYPE_CHECKING

from serpens import io, stages
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    cleaned = stages.clean(run.settings, io.read_table(snakemake.input.raw))
    io.write_table(snakemake.output.table, cleaned.frame)
    cleaned.account.write(snakemake.output.cleaning)
    stages.digest(cleaned).write(snakemake.output.digest)
