"""Score every model of a study once on its test rows, and compare them."""

from pathlib import Path
from typing import TYPE_CHECKING

from serpens import evaluation, io, judgement, ledger
from serpens.layout import StudyFolder
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    folder = StudyFolder(Path(snakemake.output.evaluation).parent)
    ledger.sign(folder, run.settings, run.inputs, run.key)
    judged = judgement.evaluate(run.settings, folder)
    for each, columns in judged.predictions.items():
        io.write_columns(folder.predictions(each), columns)
    judged.evaluation.write(snakemake.output.evaluation)
    io.write_rows(snakemake.output.scores, evaluation.score_rows(judged.evaluation))
