"""Time and memory of cleaning one messy table by Serpens, pandas, Polars and DuckDB, with the same result.

``make benchmark-cleaning ARGS="--millions 1 4 16 --rounds 3 3 1"``. Each contender is a process of its own, in turn;
what it leaves is read back and must be equal to what Serpens leaves. Prints medians and ratios, writes
``cleaning.json``.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from subprocess import Popen
from subprocess import run as run_process
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.cleaning import table

ROOT = Path(__file__).parents[2]
# Python keeps what it has compiled, as it does by default: the libraries of all contenders are kept so already
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT["PYTHONPATH"] = f"{ROOT}:{ROOT / 'workflow'}"
CONTENDERS = ("serpens", "polars", "duckdb", "pandas")


class Took(NamedTuple):
    """What a contender took: wall and processor time in seconds, largest memory in 10^6 bytes."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def run(contender: str, csv: Path, folder: Path) -> Took:
    """Let a contender clean a table."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    command = [sys.executable, "-m", f"benchmarks.cleaning.with_{contender}", str(csv), str(folder)]
    start = perf_counter()
    with Popen(command, cwd=ROOT, env=ENVIRONMENT) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{contender} failed with {process.returncode} on {csv.name}")
    return Took(perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)


def compare(ours: Path, theirs: Path) -> None:
    """Stop if a contender's result is not Serpens'.

    In a process of its own: what a process has held counts as held by those that it starts.
    """
    command = [sys.executable, "-m", "benchmarks.cleaning.compare", str(ours), str(theirs)]
    if run_process(command, cwd=ROOT, env=ENVIRONMENT).returncode:
        raise SystemExit(f"{theirs.name} left something else than Serpens did")


def main() -> None:
    """Run the contest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, nargs="+", default=[3, 3, 1], help="of each size")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    given = parser.parse_args()
    figures: dict[str, Any] = {"processor": platform.processor(), "cores": os.cpu_count(), "sizes": {}}
    with tempfile.TemporaryDirectory(prefix="cleaning-") as name:
        for millions, rounds in zip(given.millions, given.rounds, strict=True):
            csv = Path(name) / "table.csv"
            table.write(csv, round(millions * 1e6))
            took: dict[str, list[Took]] = {contender: [] for contender in given.contenders}
            for turn in range(rounds):
                for place in range(len(given.contenders)):
                    contender = given.contenders[(place + turn) % len(given.contenders)]
                    took[contender].append(run(contender, csv, Path(name) / contender))
                    print(f"{millions:g} million, round {turn + 1}: {contender} {took[contender][-1]}", flush=True)
                if not turn:
                    for other in given.contenders[1:]:
                        compare(Path(name) / "serpens", Path(name) / other)
            figures["sizes"][f"{millions:g}"] = _medians(took) | {
                "rounds": rounds,
                "gigabytes": round(csv.stat().st_size / 1e9, 2),
            }
    print(_table(figures))
    (ROOT / "benchmarks/cleaning.json").write_text(json.dumps(figures, indent=2) + "\n")


def _medians(took: dict[str, list[Took]]) -> dict[str, Any]:
    """Return each contender's medians, and that of Serpens' time over its own in the same round."""
    return {
        contender: {
            field: round(statistics.median(getattr(each, field) for each in every), 1) for field in Took._fields
        }
        | {
            "ratio": round(
                statistics.median(ours.seconds / own.seconds for ours, own in zip(took["serpens"], every, strict=True)),
                2,
            )
        }
        for contender, every in took.items()
    }


def _table(figures: dict[str, Any]) -> str:
    lines = ["| rows | contender | wall s | CPU s | peak MB | Serpens' time / its time |", "|---|---|---|---|---|---|"]
    for millions, of_size in figures["sizes"].items():
        for contender, own in of_size.items():
            if contender in CONTENDERS:
                figured = " | ".join(f"{own[field]:,}" for field in Took._fields)
                lines.append(f"| {millions} million | {contender} | {figured} | {own['ratio']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
