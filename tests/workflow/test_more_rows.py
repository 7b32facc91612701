"""Rows that come later: to a trained model; to a source, where every row keeps its part and what must runs again."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.workflow.conftest import announced

from serpens import features, io, newrows
from serpens.artefacts import Cleaning, Schema

STUDY = """
studies:
  grows:
    question: Does the sum tell?
    data: table.csv
    target: outcome
    id: who
    drop: [note]
    columns: {x2: {unit: kg, units: {g: 0.001}}}
    clean: {outliers: clip}
    split: {folds: 3, validation: .2, calibration: .1}
    repeats: 1
    models: [linear]
    baselines: [trivial]
  other:
    question: Does it tell in another study?
    data: other.csv
    target: outcome
    split: {validation: .2, calibration: .1, test: .2}
    repeats: 1
    models: [linear]
    baselines: [trivial]
"""
N, MORE = 400, 20
PARTS = ("train", "validation", "calibration", "test")
OF_SPLITS = [f"{rule}/{k}" for rule in ("split", "train", "train") for k in range(3)]


def rows(n):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N + MORE, 2)).round(4)
    outcome = np.where(x.sum(axis=1) + rng.normal(size=N + MORE) > 0, "yes", "no")
    place = rng.choice(["here", "there", "", " here"], N + MORE)
    mass = [f"{b} kg" if k % 3 else f"{1000 * b:.1f} g" for k, b in enumerate(x[:, 1])]
    mass[5] = "n/a"
    return [f"p{k},{x[k, 0]},{mass[k]},{place[k]},plain,{outcome[k]}" for k in range(n)]


def written(lines):
    return "\n".join(["who,x1,x2,place,note,outcome", *lines]) + "\n"


def sides(folder):
    """Return the part of each row, by split and name."""
    return {
        (k, row): part
        for k in range(3)
        for part in PARTS
        for row in pq.read_table(folder / f"results/grows/data/split-{k}/{part}.parquet", columns=["row"])[
            "row"
        ].to_pylist()
    }


def ran(project):
    """Run, and return what ran: each rule with its study or split."""
    return sorted(
        "/".join([of.get("study", ""), rule, *([of["split"]] if "split" in of else [])])
        for rule, of in announced(project.run())
        if rule != "all"
    )


@pytest.fixture(scope="module")
def grown(make_project, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("grown"))
    project.write("table.csv", written(rows(N)))
    project.write("other.csv", written(rows(N)))
    project.write("mine.yaml", STUDY)
    project.run()
    return project


def test_raw_rows_become_the_inputs_that_training_had(grown):
    data = grown.folder / "results/grows/data"
    schema, cleaning = Schema.read(data / "split-0/schema.json"), Cleaning.read(data / "cleaning.json")
    raw = pq.read_table(data / "raw.parquet")
    place = {who: k for k, who in enumerate(raw.column("who").to_pylist())}

    def inputs(rows):
        return features.encode(schema, newrows.apply(schema, cleaning, rows))

    for part in ("train", "validation"):
        names = pq.read_table(data / f"split-0/{part}.parquet", columns=["row"])["row"].to_pylist()
        rows = raw.take([place[name] for name in names])
        trained = io.map_arrays(data / f"split-0/{part}.safetensors")["X"]
        assert inputs(rows).tobytes() == trained.tobytes()
        assert inputs(rows.select(["place", "x2", "x1"])).tobytes() == trained.tobytes()
        order = np.random.default_rng(1).permutation(len(rows))
        assert inputs(rows.take(pa.array(order))).tobytes() == trained[order].tobytes()
        assert b"".join(inputs(rows.slice(k, 1)).tobytes() for k in range(len(rows))) == trained.tobytes()
    # the rows that nothing was learned from are read the same way
    cleaned = io.read_columns(data / "split-0/test.parquet")
    test = raw.take([place[name] for name in cleaned["row"]])
    assert inputs(test).tobytes() == features.encode(schema, cleaned).tobytes()


def test_five_percent_more_rows(grown):
    before = sides(grown.folder)
    assert len(before) == 3 * N
    # new rows stand between old ones, and what was first is last
    old, new = rows(N), rows(N + MORE)[N:]
    grown.write("table.csv", written([*old[200:], *new, *old[:200]]))
    whole = ["clean", "collect", "evaluate", "report", *OF_SPLITS]
    assert ran(grown) == sorted(["/index", *(f"grows/{job}" for job in whole)])
    after = sides(grown.folder)
    assert len(after) == 3 * (N + MORE)
    assert {key: after[key] for key in before} == before
    # the new rows are dealt like the others: each is tested once
    added = {key: part for key, part in after.items() if key not in before}
    assert {row for _, row in added} == {f"p{k}" for k in range(N, N + MORE)}
    assert sum(part == "test" for part in added.values()) == MORE

    os.utime(grown.folder / "table.csv")
    assert ran(grown) == []

    # a column that the study drops says something else: only the account of the data is made anew
    text = (grown.folder / "table.csv").read_text()
    grown.write("table.csv", text.replace(",plain,", ",changed,"))
    assert ran(grown) == ["grows/clean", "grows/collect", "grows/report"]
    assert sides(grown.folder) == after
