"""A table of 500,000 rows and 28 numbers becomes tensors: mapped, as trainings read it, against readers of Parquet.

Each contender runs in a process of its own, in alternation; what counts is processor time and memory from the moment
when the libraries are imported to that when every number was added up.

Run    .venv/bin/python -m benchmarks.loading
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROWS, COLUMNS, ROUNDS = 500_000, 28, 7
CONTENDERS = ("serpens", "pyarrow", "pandas", "polars")


def make(folder: Path) -> None:
    import numpy as np

    from serpens import io

    X = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64)
    io.write_pieces(folder / "train.safetensors", ROWS, [{"X": X, "y": y}])
    columns = {f"x{j}": X[:, j] for j in range(COLUMNS)} | {"y": y}
    io.write_columns(folder / "train.parquet", columns)


def load(contender: str, folder: Path) -> dict[str, float]:
    """Return what it takes to have the table as tensors, in this process."""
    import numpy as np
    import torch

    from serpens import io

    torch.set_num_threads(1)
    path = folder / "train.parquet"
    if contender in ("pandas", "polars"):
        __import__(contender)
    if contender != "serpens":
        import pyarrow.parquet as pq
    before, memory = cpu_seconds(), resident()
    if contender == "serpens":
        arrays = io.map_arrays(folder / "train.safetensors")
        X, y = torch.from_numpy(arrays["X"]), torch.from_numpy(arrays["y"])
    else:
        if contender == "pandas":
            import pandas as pd

            frame = pd.read_parquet(path)
            inputs, target = frame.drop(columns="y").to_numpy(), frame["y"].to_numpy()
        elif contender == "polars":
            import polars as pl

            table = pl.read_parquet(path)
            inputs, target = table.drop("y").to_numpy(), table["y"].to_numpy()
        else:
            columns = pq.read_table(path)
            inputs = np.stack([columns.column(f"x{j}").to_numpy() for j in range(COLUMNS)], axis=1)
            target = columns.column("y").to_numpy()
        X, y = torch.tensor(inputs), torch.tensor(target)
    total = float(X.sum()) + float(y.sum())  # reads what is mapped
    return {"cpu_seconds": cpu_seconds() - before, "bytes": peak() - memory, "sum": total}


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        print(json.dumps(load(given.load[0], Path(given.load[1]))))
        return
    size = ROWS * (4 * COLUMNS + 8)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        contenders = [name for name in CONTENDERS if name == "serpens" or find_spec(name)]
        took: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
        for _ in range(ROUNDS):
            for name in contenders:
                command = [sys.executable, "-m", "benchmarks.loading", "--load", name, folder]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                took[name].append(json.loads(done.stdout))
        assert len({round(each["sum"], 1) for found in took.values() for each in found}) == 1
    print(f"{ROWS:,} x {COLUMNS}, {size / 1e6:.0f} MB; median of {ROUNDS}")
    for name, found in took.items():
        seconds = statistics.median(each["cpu_seconds"] for each in found)
        memory = statistics.median(each["bytes"] for each in found) / size
        print(f"{name:8s} {seconds:6.3f} CPU s  {memory:5.2f} times the table's bytes")


if __name__ == "__main__":
    main()
