"""What a job imports: torch, scikit-learn and matplotlib only where they are needed."""

import json
import os

import numpy as np
import pytest

# Python runs a module of this name at its start: it notes at the end what a job has imported.
NOTE = """
import atexit, json, os, sys

def note():
    main = sys.modules["__main__"]
    job = getattr(main, "snakemake", None)
    if job is None:
        return
    found = sorted({"torch", "sklearn", "matplotlib", "torch._dynamo", "rocrate"} & set(sys.modules))
    with open(os.environ["SERPENS_NOTES"], "a") as file:
        file.write(json.dumps([job.rule, job.wildcards.get("model"), found]) + "\\n")

atexit.register(note)
"""
STUDY = """
studies:
  small:
    question: Does x tell?
    data: table.csv
    target: y
    split: {validation: .2, calibration: .1, test: .2}
    repeats: 1
    models: [{name: mlp, family: mlp, width: 8, n_blocks: 1}]
    training: {max_epochs: 2}
"""


@pytest.fixture(scope="module")
def imported(make_project, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("imports"))
    x = np.random.default_rng(0).normal(size=(200, 2)).round(3)
    project.write("table.csv", "x,y\n" + "\n".join(f"{a},{'yes' if a + b > 0 else 'no'}" for a, b in x) + "\n")
    project.write("mine.yaml", STUDY)
    project.write("sitecustomize.py", NOTE)
    notes = project.folder / "notes"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join([str(project.folder), os.environ.get("PYTHONPATH", "")]))
        environment.setenv("SERPENS_NOTES", str(notes))
        project.run()
    jobs = [json.loads(line) for line in notes.read_text().splitlines()]
    return {(rule, model): set(found) for rule, model, found in jobs}


@pytest.mark.parametrize("rule", ["collect", "clean", "split", "report", "index"])
def test_only_training_and_evaluation_import_torch(imported, rule):
    found = imported[rule, None]
    assert "torch" not in found
    assert ("matplotlib" in found) == (rule == "report")
    assert ("rocrate" in found) == (rule == "report")
    assert "sklearn" not in found


@pytest.mark.parametrize(
    ("model", "libraries"),
    [("trivial", set()), ("linear", {"sklearn"}), ("boosted_trees", {"sklearn"}), ("mlp", {"torch"})],
)
def test_a_family_imports_its_own_library_alone(imported, model, libraries):
    assert imported["train", model] == libraries
