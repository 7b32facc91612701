"""Assign rows to the parts of one split and learn preprocessing on its training rows."""

from typing import TYPE_CHECKING

from serpens import io, stages
from serpens.artefacts import Digest
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    known = Digest.read(snakemake.input.digest)
    table = io.read_columns(snakemake.input.table)
    parts, schema = stages.split(run.settings, int(snakemake.wildcards.split), table, known)
    for name, columns in parts.items():
        io.write_columns(snakemake.output[name], columns)
    schema.write(snakemake.output.schema)
