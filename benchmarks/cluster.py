"""What a cluster costs: all studies of config.yaml through SLURM, against a workstation's run on the same machine.

    tests/slurm/cluster.sh up          a SLURM on this machine, as root on Debian
    .venv/bin/python benchmarks/cluster.py --rounds 2

Both start in an empty folder, with the profiles as they are. Figures go to benchmarks/cluster.json.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORES = 2
HOW = {
    "workstation": ["--cores", str(CORES)],
    "SLURM": ["--workflow-profile", str(ROOT / "profiles/slurm")],
}


def run(how: list[str], folder: Path) -> None:
    """Run the studies as their user does."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--quiet", *how]
    # the plugin, where it lies apart from the environment
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".venv/plugin")}
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    if said.returncode:
        sys.exit(said.stderr[-3000:])


def accounted(folder: Path) -> Counter[str]:
    """Return how many of a folder's jobs accounting knows, by partition and state."""
    shown = subprocess.run(
        ["sacct", "-X", "-n", "-P", "-S", "now-2hours", "-o", "Partition,State,WorkDir"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("|") for line in shown.stdout.splitlines()]
    return Counter(f"{partition} {state}" for partition, state, place in rows if Path(place) == folder)


def main() -> None:
    """Alternate the two, and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in HOW}
    jobs: Counter[str] = Counter()
    for _ in range(rounds):
        for name, how in HOW.items():
            with tempfile.TemporaryDirectory() as empty:
                folder = Path(empty).resolve()
                for needed in ("config.yaml", "resources"):
                    (folder / needed).symlink_to(ROOT / needed)
                start = time.perf_counter()
                run(how, folder)
                seconds[name].append(round(time.perf_counter() - start, 1))
                print(f"{name:<12} {seconds[name][-1]:6.1f} s", flush=True)
                jobs = accounted(folder) or jobs
    ratio = statistics.median(a / b for a, b in zip(seconds["SLURM"], seconds["workstation"], strict=True))
    print(f"SLURM takes {ratio:.2f} times as long; its jobs of the last round: {dict(jobs)}")
    result = {
        "machine": f"{platform.system()} {platform.machine()}, {CORES} cores",
        "seconds": seconds,
        "ratio": round(ratio, 3),
        "jobs": dict(jobs),
    }
    (ROOT / "benchmarks/cluster.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
