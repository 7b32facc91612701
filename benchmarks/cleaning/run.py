"""Time and memory of cleaning one messy table by Serpens, pandas, Polars and DuckDB, with the same result.

``make benchmark-cleaning ARGS="--millions 1 4 16 --rounds 3"``. Each contender is a process of its own, in turn; what
it leaves is read back and must be equal to what Serpens leaves. Prints medians and ratios, writes ``cleaning.json``.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from benchmarks.cleaning import table, task
from safetensors import safe_open

ROOT = Path(__file__).parents[2]
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
    places = {"PYTHONPATH": f"{ROOT}:{ROOT / 'workflow'}"}
    start = perf_counter()
    with Popen(command, cwd=ROOT, env=os.environ | places) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{contender} failed with {process.returncode} on {csv.name}")
    return Took(perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)


def differences(ours: Path, theirs: Path) -> Iterator[str]:
    """Yield what differs between what Serpens left and what another contender left."""
    for name in ("raw", "clean", *task.PARTS):
        left, right = (pq.ParquetFile(folder / f"{name}.parquet") for folder in (ours, theirs))
        if left.metadata.num_rows != right.metadata.num_rows:
            yield f"{name}: {left.metadata.num_rows} and {right.metadata.num_rows} rows"
            continue
        for column in task.COLUMNS:
            # Serpens calls a row by its id
            own = "row" if column == "id" and name != "raw" else column
            a, b = (file.read([each]).column(each) for file, each in ((left, own), (right, column)))
            if not a.cast(b.type).equals(b):
                yield f"{name}: column {column}"
    account, learned = _account_of_serpens(ours)
    told = json.loads((theirs / "account.json").read_text())
    for which, own in (("columns", account), ("learned", learned)):
        for column, entry in own.items():
            for key, value in entry.items():
                if not _equal(value, told[which][column][key]):
                    yield f"{which}: {column}.{key} is {value} and {told[which][column][key]}"
    for part in ("train", "validation"):
        X = np.load(theirs / f"{part}.npy", mmap_mode="r")
        with safe_open(ours / f"{part}.safetensors", "numpy") as file:
            rows = file.get_slice("X")
            for start in range(0, len(X), 500_000):
                end = min(start + 500_000, len(X))
                if not np.allclose(rows[start:end], X[start:end], rtol=1e-5, atol=1e-5):
                    yield f"{part}: inputs of rows from {start}"


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float):
        return bool(np.isclose(ours, theirs, rtol=1e-9, atol=0))
    return bool(ours == theirs)


def _account_of_serpens(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return Serpens' account of columns and what it learned, in the contenders' words."""
    account: dict[str, Any] = {}
    for entry in json.loads((folder / "cleaning.json").read_text())["columns"]:
        if entry["name"] == "id":
            continue
        kept = {key: entry[key] for key in ("missing_words", "missing", "min", "max", "mean", "sd")}
        if entry["distinct_exact"]:  # above some thousands Serpens estimates
            kept["distinct"] = entry["distinct"]
        if entry["histogram"]:
            kept["histogram"] = entry["histogram"]["counts"]
        if entry["levels"]:
            kept["levels"] = dict(entry["levels"])
        account[entry["name"]] = {key: value for key, value in kept.items() if value is not None}
    learned = {}
    for feature in json.loads((folder / "schema.json").read_text())["features"]:
        if feature["type"] == "category":
            learned[feature["name"]] = {"levels": feature["levels"]}
            continue
        learned[feature["name"]] = {key: feature[key] for key in ("center", "scale")}
        if feature["type"] == "number":
            learned[feature["name"]] |= {key: feature[key] for key in ("fill", "low", "high")}
    return account, learned


def main() -> None:
    """Run the contest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    given = parser.parse_args()
    figures: dict[str, Any] = {"processor": platform.processor(), "cores": os.cpu_count(), "sizes": {}}
    with tempfile.TemporaryDirectory(prefix="cleaning-") as name:
        for millions in given.millions:
            csv = Path(name) / "table.csv"
            table.write(csv, round(millions * 1e6))
            took: dict[str, list[Took]] = {contender: [] for contender in given.contenders}
            for turn in range(given.rounds):
                for place in range(len(given.contenders)):
                    contender = given.contenders[(place + turn) % len(given.contenders)]
                    took[contender].append(run(contender, csv, Path(name) / contender))
                    print(f"{millions:g} million, round {turn + 1}: {contender} {took[contender][-1]}", flush=True)
                if not turn:
                    for other in given.contenders[1:]:
                        if found := list(differences(Path(name) / "serpens", Path(name) / other)):
                            raise SystemExit(f"{other} differs:\n" + "\n".join(found[:20]))
            figures["sizes"][f"{millions:g}"] = _medians(took) | {"gigabytes": round(csv.stat().st_size / 1e9, 2)}
    print(_table(figures))
    (ROOT / "benchmarks/cleaning.json").write_text(json.dumps(figures, indent=2) + "\n")


def _medians(took: dict[str, list[Took]]) -> dict[str, Any]:
    return {
        contender: {
            field: round(statistics.median(getattr(each, field) for each in every), 1) for field in Took._fields
        }
        for contender, every in took.items()
    }


def _table(figures: dict[str, Any]) -> str:
    lines = ["| rows | contender | wall s | CPU s | peak MB | Serpens' time / its time |", "|---|---|---|---|---|---|"]
    for millions, of_size in figures["sizes"].items():
        ours = of_size["serpens"]["seconds"]
        for contender, own in of_size.items():
            if contender != "gigabytes":
                figured = " | ".join(f"{own[field]:,}" for field in Took._fields)
                lines.append(f"| {millions} million | {contender} | {figured} | {ours / own['seconds']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
