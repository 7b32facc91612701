"""What the workflow costs: all studies of config.yaml as a DAG, against one process that does the same work.

    make benchmark          or  .venv/bin/python benchmarks/run.py --rounds 3

Both start in an empty folder and write the same files; the one process imports everything once, and runs job after
job with as many threads as the workflow has cores. Figures go to benchmarks/run.json.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORES = 2
sys.path.insert(0, str(ROOT / "workflow"))

from serpens import configfile, evaluation, io, pages, planning, provenance, report, settings, stages  # noqa: E402 - beside this folder
from serpens.artefacts import Digest, Schema  # noqa: E402
from serpens.config import Study  # noqa: E402
from serpens.layout import Run, StudyFolder  # noqa: E402


def workflow(folder: Path) -> None:
    """Run the studies as their user does."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", str(CORES), "--quiet"]
    subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL)


def planning_seconds(folder: Path) -> float:
    """Return the CPU seconds of a dry run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "-n", "--quiet"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def one_process(folder: Path) -> None:
    """Run the studies in a process of their own, which calls the package job by job."""
    subprocess.run([sys.executable, __file__, "--alone"], cwd=folder, check=True)


def alone() -> None:
    """Do in this process, in the working directory, what the workflow does."""
    project = configfile.load([], {})
    evaluations, scores = [], []
    for name, study in project.studies.items():
        folder = StudyFolder(Path(project.results) / name)
        n_splits = planning.n_splits(study)
        runs = planning.runs(study, n_splits)
        clean(study, folder)
        for number in range(n_splits):
            split(study, folder, number, n_splits)
        for run in runs:
            train(study, folder, run)
        judged = stages.evaluate(json.loads(settings.as_json(settings.evaluate(study, name, runs))), folder)
        for run, columns in judged.predictions.items():
            io.write_columns(folder.predictions(run), columns)
        judged.evaluation.write(folder.root / "evaluation.json")
        scores += evaluation.score_rows(judged.evaluation)
        io.write_rows(folder.root / "scores.csv", evaluation.score_rows(judged.evaluation))
        made = report.make(json.loads(settings.as_json(settings.report(study, name, runs))), folder)
        for stem, svg in made.figures.items():
            io.write_text(folder.root / f"figures/{stem}.svg", svg)
            io.write_rows(folder.root / f"tables/{stem}.csv", made.tables[stem].to_dict("records"))
        made.study.write(folder.root / "study.json")
        io.write_text(folder.root / "report.html", made.html)
        evaluations.append(judged.evaluation)
    questions = {name: study.question for name, study in project.studies.items()}
    io.write_text(Path(project.results) / "index.html", pages.index(evaluations, questions))
    io.write_rows(Path(project.results) / "scores.csv", scores)


def clean(study: Study, folder: StudyFolder) -> None:
    """Collect and clean a study's table."""
    collected = stages.collect(settings.collect(study))
    io.write_arrow(folder.root / "data/raw.parquet", collected.table)
    collected.source.write(folder.root / "data/source.json")
    cleaned = stages.clean(settings.clean(study), io.read_table(folder.root / "data/raw.parquet"))
    io.write_table(folder.root / "data/clean.parquet", cleaned.frame)
    cleaned.account.write(folder.root / "data/cleaning.json")
    stages.digest(cleaned).write(folder.root / "data/digest.json")


def split(study: Study, folder: StudyFolder, number: int, n_splits: int) -> None:
    """Part the rows of one split."""
    known = Digest.read(folder.root / "data/digest.json")
    table = io.read_columns(folder.root / "data/clean.parquet")
    parts, schema = stages.split(settings.split(study, n_splits), number, table, known)
    for part, columns in parts.items():
        io.write_columns(folder.part(number, part), columns)
    schema.write(folder.schema(number))


def train(study: Study, folder: StudyFolder, run: Run) -> None:
    """Train one model on one split."""
    chosen, schema = settings.train(study, run), Schema.read(folder.schema(run.split))
    parts = (io.read_columns(folder.part(run.split, part)) for part in ("train", "validation"))
    start = time.perf_counter()
    fitted = stages.train(chosen, schema, *parts, gpus=0)
    io.write_arrays(folder.model(run, "weights.safetensors"), fitted.model.state())
    io.write_columns(folder.model(run, "history.parquet"), fitted.history)
    stages.describe(chosen, schema, fitted).write(folder.model(run, "model.json"))
    record = provenance.record(
        rule="train",
        wildcards={"study": folder.root.name, "model": run.model, "split": str(run.split), "repeat": str(run.repeat)},
        inputs=[str(folder.part(run.split, part)) for part in ("train", "validation")],
        settings=chosen,
        threads=CORES,
        start=provenance.now(),
        seconds=time.perf_counter() - start,
    )
    io.write_json(folder.record("train", run), record | {"device": fitted.device})


def main() -> None:
    """Alternate the two, and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        alone()
        return
    seconds: dict[str, list[float]] = {"workflow": [], "one process": []}
    planned: list[float] = []
    for _ in range(arguments.rounds):
        for name, run in (("workflow", workflow), ("one process", one_process)):
            with tempfile.TemporaryDirectory() as empty:
                folder = Path(empty)
                for needed in ("config.yaml", "resources"):
                    (folder / needed).symlink_to(ROOT / needed)
                planned.append(round(planning_seconds(folder), 2))
                start = time.perf_counter()
                run(folder)
                seconds[name].append(round(time.perf_counter() - start, 1))
    ratio = statistics.median(a / b for a, b in zip(seconds["workflow"], seconds["one process"], strict=True))
    for name, taken in seconds.items():
        print(f"{name:<12} {statistics.median(taken):6.1f} s  of {taken}")
    print(f"planning      {statistics.median(planned):6.2f} CPU s")
    print(f"the workflow takes {ratio:.2f} times as long")
    machine = f"{platform.system()} {platform.machine()}, {CORES} cores"
    result = {"machine": machine, "rounds": arguments.rounds, "seconds": seconds, "ratio": round(ratio, 3)}
    result["planning_cpu_seconds"] = planned
    (ROOT / "benchmarks/run.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
