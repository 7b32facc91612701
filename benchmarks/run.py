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

import alone  # noqa: E402 - the package lies beside this folder

from serpens import configfile  # noqa: E402


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


def everything() -> None:
    """Do in this process, in the working directory, what the workflow does."""
    project = configfile.load([], {})
    for name in project.studies:
        study = alone.Alone(project, name)
        study.collect()
        study.clean()
        for number in range(study.n_splits):
            study.split(number)
        for run in study.runs:
            study.train(run, threads=CORES)
        study.evaluate()
        study.report()
    alone.index(Path(project.results), {name: study.question for name, study in project.studies.items()})


def main() -> None:
    """Alternate the two, and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        everything()
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
