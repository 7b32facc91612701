"""What it costs to find that nothing is to be done: a thousand jobs, all up to date, against plain Snakemake.

    make benchmark-planning    or  .venv/bin/python benchmarks/planning.py --rounds 5

The thousand jobs are run first (some minutes). Plain Snakemake plans the same jobs from the same rules without our
digests (reruns/Snakefile), once as it is and once with the configuration read and checked as Serpens does. They take
turns; what counts is the CPU time of `snakemake -n`, and which files it opens (needs strace).
Figures go to benchmarks/planning.json.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.workflow.workspace import Workspace  # noqa: E402 - the tests lie beside this folder

PLAIN = ROOT / "benchmarks/reruns/Snakefile"
MODELS, FOLDS = 6, 5
# collect, clean, evaluate, report; a split and the trainings of each fold
JOBS_OF_STUDY = 4 + FOLDS * (1 + MODELS)
CHECKED = """import sys
sys.path.insert(0, "workflow")
from serpens import configfile, environment
environment.check()
CHECKED = configfile.load(workflow.overwrite_configfiles, {})
"""
# Snakemake with scripts that are forked from a process that has imported their libraries already: ten times as fast.
FORKING = """import multiprocessing, runpy, subprocess, threading, time
from snakemake import cli, script
forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["numpy", "pandas", "pyarrow.parquet", "pydantic", "jinja2", "matplotlib.pyplot"])
alone = threading.Lock()  # a start looks after all children, and Snakemake starts jobs from several threads
def execute_script(self, fname, edit=False):
    job = forks.Process(target=runpy.run_path, args=(fname,), kwargs={"run_name": "__main__"})
    with alone:
        job.start()
    code = None
    while code is None:
        time.sleep(0.01)
        with alone:
            code = job.exitcode
    if code:
        raise subprocess.CalledProcessError(code, fname)
script.PythonScript.execute_script = execute_script
cli.main()
"""
# The plan is measured, not the work: plain Snakemake's jobs take their outputs from ours.
BORROWED = """import shutil
from pathlib import Path
for path in map(Path, snakemake.output):
    copy = shutil.copytree if (Path("../serpens") / path).is_dir() else shutil.copyfile
    copy(Path("../serpens") / path, path)
"""
# What holds data, not an account of them.
DATA = (".csv", ".parquet", ".safetensors")


def many(space: Workspace, n_studies: int) -> None:
    """Give a workspace many studies of trivial models, each with a table of its own."""
    text = (space.folder / "cancer.csv").read_text()
    space.studies = {}
    for number in range(n_studies):
        name = f"study{number:03d}"
        space.write(f"{name}.csv", text)
        models = [{"name": f"constant{place}", "family": "trivial"} for place in range(MODELS)]
        space.studies[name] = {
            "question": "How far does a constant come?",
            "data": {"file": f"{name}.csv"},
            "target": "diagnosis",
            "drop": ["note"],
            "split": {"folds": FOLDS},
            "models": models[1:],
            "baselines": models[:1],
            "repeats": 1,
        }
    space.configure()


def made(folder: Path, n_studies: int) -> dict[str, Workspace]:
    """Return the project of each contender, up to date."""
    ours = Workspace.create(folder / "serpens")
    many(ours, n_studies)
    fast_run(ours)
    plain, checked = Workspace.create(folder / "plain"), Workspace(folder / "checked")
    many(plain, n_studies)
    shutil.copy(PLAIN, plain.folder / "Snakefile")
    for script in (plain.folder / "workflow/scripts").iterdir():
        script.write_text(BORROWED)
    fast_run(plain)
    shutil.copytree(plain.folder, checked.folder)
    checked.write("Snakefile", f"{CHECKED}\n{PLAIN.read_text()}")
    return {"Serpens": ours, "Snakemake": plain, "Snakemake, configuration checked": checked}


def fast_run(space: Workspace) -> None:
    """Bring a project up to date."""
    command = [sys.executable, "-c", FORKING, "-s", "Snakefile", "--quiet", "--configfile", "mine.yaml"]
    command += ["--cores", str(os.cpu_count() or 1)]
    subprocess.run(command, cwd=space.folder, check=True, env=space.environment(), stderr=subprocess.DEVNULL)


def cpu_seconds(space: Workspace) -> float:
    """Return the CPU seconds of a dry run that finds nothing to do."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = space.run("-n")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "Nothing to be done" in done.stdout + done.stderr, done.stdout[-2000:]
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)


def opened(space: Workspace) -> Counter[str]:
    """Return how many files below the project a dry run opens, by kind; data files by name."""
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as log:
        command = ["strace", "-f", "-qq", "-e", "trace=open,openat", "-o", log.name, sys.executable, "-m", "snakemake"]
        command += ["-s", "Snakefile", "-n", "--configfile", "mine.yaml"]
        subprocess.run(command, cwd=space.folder, check=True, capture_output=True, env=space.environment())
        lines = log.read().splitlines()
    found: set[Path] = set()
    for line in lines:
        match = re.search(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)".*\) = [0-9]', line)
        path = space.folder / match[1] if match else None
        if path is not None and path.is_file() and path.is_relative_to(space.folder):
            found.add(path.relative_to(space.folder))
    return Counter(str(path) if path.suffix in DATA else _kind(path) for path in found)


def _kind(path: Path) -> str:
    top = path.parts[0]
    if top == "results":
        return "records" if "records" in path.parts else f"results, {path.suffix}"
    return top if top in (".snakemake", ".serpens", "workflow") else "other"


def main() -> None:
    """Alternate the contenders, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1000, help="about how many jobs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(made(Path(folder).resolve(), round(arguments.jobs / JOBS_OF_STUDY)), arguments.rounds)


def measure(spaces: dict[str, Workspace], rounds: int) -> None:
    """Measure, print and keep the figures."""
    jobs = len(spaces["Serpens"].records())
    seconds: dict[str, list[float]] = {name: [] for name in spaces}
    for _ in range(rounds):
        for name, space in spaces.items():
            seconds[name].append(cpu_seconds(space))
    ratios = {
        name: statistics.median(a / b for a, b in zip(seconds["Serpens"], taken, strict=True))
        for name, taken in seconds.items()
    }
    print(f"{jobs} jobs, nothing to be done; CPU seconds of a dry run")
    for name, taken in seconds.items():
        print(f"{name:<34} {statistics.median(taken):6.2f} of {taken}; Serpens takes {ratios[name]:.2f} times as long")
    files = opened(spaces["Serpens"]) if shutil.which("strace") else None
    if files is None:
        print("which files are opened was not measured: install strace")
    else:
        data = sorted(name for name in files if Path(name).suffix in DATA)
        print(f"data files opened: {len(data)} {data[:5]}")
        print("others:", dict(sorted((name, n) for name, n in files.items() if name not in data)))
    result = {
        "machine": f"{platform.system()} {platform.machine()}",
        "jobs": jobs,
        "cpu_seconds": seconds,
        "ratio": {name: round(ratio, 3) for name, ratio in ratios.items() if name != "Serpens"},
        "data_files_opened": None if files is None else sum(Path(name).suffix in DATA for name in files),
    }
    (ROOT / "benchmarks/planning.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
