"""Keep an evaluation, describe how it came about, and show it: figures, tables and one page."""

from pathlib import Path
from typing import TYPE_CHECKING

from serpens import crate, history, io, recollection, records, report
from serpens.layout import Run, StudyFolder
from serpens.run import script_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    folder, runs = StudyFolder(Path(snakemake.output.html).parent), [Run(*each) for each in run.settings["runs"]]
    study, jobs = report.resolved(run.settings, folder), records.of_study(folder, runs)
    study.write(snakemake.output.study)
    history.archive(folder, study, run.settings["study"], jobs, runs)
    recollection.keep(folder, recollection.named_by(run.settings["study"])).write(snakemake.output.changes)
    io.write_json(snakemake.output.crate, crate.build(folder, study, jobs))
    io.write_text(snakemake.output.workflow, crate.SNAKEFILE.read_text(encoding="utf-8"))
    made = report.make(run.settings, folder)
    for stem, svg in made.figures.items():
        io.write_text(folder.root / f"figures/{stem}.svg", svg)
    for stem, table in made.tables.items():
        io.write_rows(folder.root / f"tables/{stem}.csv", table.to_dict("records"), columns=list(table))
    io.write_text(snakemake.output.html, made.html)
