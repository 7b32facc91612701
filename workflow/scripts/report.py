"""Turn what a study made into figures, tables and one page."""

from pathlib import Path
from typing import TYPE_CHECKING

from serpens import history, io, records, report
from serpens.layout import Run, StudyFolder
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    folder = StudyFolder(Path(snakemake.output.html).parent)
    runs = [Run(*each) for each in run.settings["runs"]]
    history.archive(folder, report.resolved(run.settings, folder), records.of_study(folder, runs), runs)
    made = report.make(run.settings, folder)
    for stem, svg in made.figures.items():
        io.write_text(folder.root / f"figures/{stem}.svg", svg)
        io.write_rows(folder.root / f"tables/{stem}.csv", made.tables[stem].to_dict("records"))
    made.study.write(snakemake.output.study)
    io.write_text(snakemake.output.html, made.html)
