"""A source that grows: every row that was there keeps its part of every split, and exactly what must runs again."""

import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.workflow.conftest import announced

STUDY = """
studies:
  grows:
    question: Does the sum tell?
    data: table.csv
    target: outcome
    id: who
    drop: [note]
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
    return [f"p{k},{a},{b},plain,{o}" for k, ((a, b), o) in enumerate(zip(x[:n], outcome, strict=False))]


def written(lines):
    return "\n".join(["who,x1,x2,note,outcome", *lines]) + "\n"


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


@pytest.fixture
def grown(project):
    project.write("table.csv", written(rows(N)))
    project.write("other.csv", written(rows(N)))
    project.write("mine.yaml", STUDY)
    project.run()
    return project


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
