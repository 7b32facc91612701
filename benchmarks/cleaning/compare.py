"""Compare what a contender left with what Serpens left: ``python -m benchmarks.cleaning.compare SERPENS OTHER``."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from benchmarks.cleaning import task
from safetensors import safe_open


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


if __name__ == "__main__":
    found = list(differences(Path(sys.argv[1]), Path(sys.argv[2])))
    print("\n".join(found[:20]))
    sys.exit(bool(found))
