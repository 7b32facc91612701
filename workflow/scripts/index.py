"""Write the page over all studies, and all their scores as one table."""

from typing import TYPE_CHECKING

from serpens import io, pages
from serpens.artefacts import Evaluation
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    evaluations = [Evaluation.read(path) for path in snakemake.input.evaluations]
    io.write_text(snakemake.output.html, pages.index(evaluations, run.settings))
    io.write_rows(snakemake.output.scores, [row for path in snakemake.input.scores for row in io.read_rows(path)])
