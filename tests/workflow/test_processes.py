"""A study whose network is trained by two processes, from its table to its report."""

import json

from tests.workflow.test_runs import STUDY, table

ONE = STUDY.replace("split: {folds: 2}", "split: {test: 0.3}").replace("repeats: 2", "repeats: 1").rstrip()
ONE += "\n    baselines: [trivial]\n"
TWO = ONE + "    resources: {processes: 2, threads: 2}\n"


def test_a_study_of_two_processes(project):
    project.write("table.csv", table())
    project.write("mine.yaml", TWO)
    project.run()
    results = project.folder / "results/small"
    for model, processes in (("mlp", 2), ("trivial", 1)):
        record = json.loads((results / f"records/train/{model}/split-0-repeat-0.json").read_text())
        assert (record["processes"], record["nodes"], record["micro_batch"]) == (processes, 1, None)
    assert (results / "report.html").exists()
    assert not list(project.folder.rglob("checkpoints"))
    # how many processes there are is the machine's affair: nothing is made again
    project.write("mine.yaml", ONE)
    assert project.jobs() == []
