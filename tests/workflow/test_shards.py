"""A table that several jobs wash gives the results of one that one job cleans, and reruns as exactly."""

import csv
import random

from tests.workflow.conftest import content

STUDY = """
studies:
  small:
    question: Do parts make a whole?
    data: table.csv
    target: y
    split: {validation: .2, calibration: .1, test: .2}
    models: [{name: line, family: linear}]
    baselines: [trivial]
    resources: {threads: 1}
"""
SHARDED = STUDY.replace("threads: 1", "threads: 1, shards: 3")


def write_table(path, rows):
    rng = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["y", "x", "c"])
        writer.writerows(
            [rng.choice("ab"), f" {rng.random():.5f}", rng.choice(["red", "blue", "NA"])] for _ in range(rows)
        )


def test_shards_make_what_one_job_makes_and_rerun_exactly(project):
    write_table(project.folder / "table.csv", 600)
    project.write("mine.yaml", STUDY)
    project.run()
    alone = content(project.folder / "results")
    project.write("mine.yaml", SHARDED)
    # what follows the cleaning waits for it
    assert sorted(project.jobs()) == ["all", "clean", "wash", "wash", "wash"]
    project.run()
    assert content(project.folder / "results") == alone
    assert project.jobs() == []
    (project.folder / "results/small/data/shards/1.arrow").unlink()
    assert sorted(project.jobs()) == ["all", "clean", "wash"]
    project.run()
    assert content(project.folder / "results") == alone
    project.write("mine.yaml", STUDY)
    assert project.jobs() == []
