"""Turn what a study made into figures, tables and one page."""

from pathlib import Path
from typing import TYPE_CHECKING

from serpens import io, report
from serpens.layout import StudyFolder
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    folder = StudyFolder(Path(snakemake.output.html).parent)
    made = report.make(run.settings, folder)
    for stem, svg in made.figures.items():
        io.write_text(folder.root / f"figures/{stem}.svg", svg)
        table = made.tables[stem]
        io.write_rows(folder.root / f"tables/{stem}.csv", table.to_dict("records"), columns=list(table))
    made.study.write(snakemake.output.study)
    io.write_text(snakemake.output.html, made.html)
