"""Collect a study's data as they are, with an account of where they came from."""

from typing import TYPE_CHECKING

from serpens import io, stages
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    collected = run.hold(
        stages.collect(
            run.settings,
            digests=run.inputs,
            addresses=snakemake.params.addresses,
            retrieved=snakemake.input.get("retrieved", ()),
        )
    )
    io.write_stream(snakemake.output.raw, collected.stream)
    collected.source().write(snakemake.output.source)
