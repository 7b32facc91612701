"""A small study from its table to its report: what comes out, that it is made once, and that it is made exactly."""

import json
import re
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from tests.workflow.conftest import ROOT, content

STUDY = """
studies:
  small:
    question: Does the sum tell?
    data: table.csv
    target: outcome
    split: {folds: 2}
    repeats: 2
    models: [{name: mlp, family: mlp, width: 8, n_blocks: 1}]
    training: {max_epochs: 5, batch_size: 32}
"""


def table(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).round(4)
    place = rng.choice(["here", "there", ""], n)
    outcome = np.where(x.sum(axis=1) + rng.normal(size=n) > 0, "yes", "no")
    lines = [f"{a},{b},{p},{o}" for (a, b), p, o in zip(x, place, outcome, strict=True)]
    return "x1,x2,place,outcome\n" + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def ran(make_project, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("ran"))
    project.write("table.csv", table())
    project.write("mine.yaml", STUDY)
    project.run()
    return project


def test_everything_that_the_design_names_is_there(ran):
    study = ran.folder / "results/small"
    runs = [f"mlp/split-{k}-repeat-{r}" for k in (0, 1) for r in (0, 1)]
    runs += [f"{name}/split-{k}-repeat-0" for name in ("trivial", "linear", "boosted_trees") for k in (0, 1)]
    expected = {"study.json", "report.html", "evaluation.json", "scores.csv", "crate/ro-crate-metadata.json"}
    kept = ("evaluation.json", "record.json", "study.json", "made_from.json", "rows.parquet", "predictions.parquet")
    expected |= {f"history/001/{name}" for name in kept}
    data = ("raw.parquet", "source.json", "clean.parquet", "cleaning.json", "digest.json", "changes.json")
    expected |= {f"data/{name}" for name in data}
    expected |= {f"collections/001/{name}" for name in ("collection.json", "rows.parquet", "values.parquet")}
    parts = ("train.parquet", "validation.parquet", "calibration.parquet", "test.parquet", "schema.json")
    parts += ("train.safetensors", "validation.safetensors")
    expected |= {f"data/split-{k}/{name}" for k in (0, 1) for name in parts}
    expected |= {
        f"models/{run}/{name}" for run in runs for name in ("weights.safetensors", "model.json", "history.parquet")
    }
    expected |= {f"predictions/{run}.parquet" for run in runs}
    expected |= {f"logs/train/{run}.log" for run in runs} | {f"records/train/{run}.json" for run in runs}
    missing = [name for name in sorted(expected) if not (study / name).is_file()]
    assert not missing
    assert (ran.folder / "results/index.html").is_file()
    drawn = {path.stem for path in (study / "figures").glob("*.svg")}
    assert {path.stem for path in (study / "tables").glob("*.csv")} == drawn | {"columns", "drift", "subgroups"}


def test_a_second_run_makes_nothing(ran):
    assert "Nothing to be done" in ran.run("-n").stdout + ran.run("-n").stderr
    assert ran.jobs() == []


def test_each_row_is_tested_once(ran):
    rows = [
        row
        for k in (0, 1)
        for row in pq.read_table(ran.folder / f"results/small/predictions/mlp/split-{k}-repeat-0.parquet")[
            "row"
        ].to_pylist()
    ]
    evaluation = json.loads((ran.folder / "results/small/evaluation.json").read_text())
    assert len(rows) == len(set(rows)) == evaluation["n_test"]


def test_scores_can_be_had_again_from_the_predictions(ran):
    from sklearn.metrics import roc_auc_score

    evaluation = json.loads((ran.folder / "results/small/evaluation.json").read_text())
    scores = []
    for repeat in (0, 1):
        folds = [
            pq.read_table(ran.folder / f"results/small/predictions/mlp/split-{k}-repeat-{repeat}.parquet").to_pandas()
            for k in (0, 1)
        ]
        each = [roc_auc_score(fold["truth"] == "yes", fold["probability_yes"]) for fold in folds]
        scores.append(np.average(each, weights=[len(fold) for fold in folds]))
    assert evaluation["models"]["mlp"]["metrics"]["roc_auc"]["value"] == pytest.approx(np.mean(scores), abs=1e-12)


def test_logs_end_well_and_records_say_what_was_used(ran):
    log = (ran.folder / "results/small/logs/train/mlp/split-0-repeat-0.log").read_text()
    assert re.search(r"epoch +5/5.*\n(.*\n)*.*done in \d+\.\d s\n$", log)
    record = json.loads((ran.folder / "results/small/records/train/mlp/split-0-repeat-0.json").read_text())
    assert record["settings"]["seed"] == 0
    assert record["versions"]["torch"].startswith("2.13.")
    assert set(record["inputs"]) >= {"results/small/data/split-0/train.safetensors"}


def test_another_folder_and_another_order_of_rows_give_the_same_bytes(ran, project):
    header, *rows = table().splitlines()
    project.write("table.csv", "\n".join([header, *rows[::-1]]) + "\n")
    project.write("mine.yaml", STUDY)
    project.run()
    first, second = content(ran.folder / "results"), content(project.folder / "results")
    raw = "small/data/raw.parquet"
    assert first.pop(raw) != second.pop(raw)
    assert first == second


def test_a_changed_setting_of_one_model_trains_that_model_alone(ran):
    changed = STUDY.replace("width: 8", "width: 9")
    ran.write("changed.yaml", changed)
    jobs = ran.jobs(config="changed.yaml")
    assert sorted(jobs) == sorted(["train"] * 4 + ["evaluate", "report", "index", "all"])


def test_another_interval_of_checkpoints_runs_nothing(ran):
    ran.write("changed.yaml", STUDY + "    resources: {checkpoint_seconds: 5}\n")
    assert ran.jobs(config="changed.yaml") == []


def test_a_module_of_another_workflow(project):
    project.write("table.csv", table())
    project.write(
        "Snakefile",
        f"""
import yaml

module serpens:
    snakefile: "{ROOT}/Snakefile"
    config: yaml.safe_load(open("mine.yaml"))

use rule * from serpens as serpens_*

rule all:
    default_target: True
    input: rules.serpens_all.input
""",
    )
    project.write("mine.yaml", STUDY)
    done = project.run("-n", config=None, snakefile=project.folder / "Snakefile")
    assert done.stdout.count("rule serpens_train:") == 10
    project.run("results/small/data/digest.json", config=None, snakefile=project.folder / "Snakefile")


def test_snakemake_report_works(ran):
    ran.run("--report", "bundle.zip")
    assert (ran.folder / "bundle.zip").stat().st_size > 100_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("target: outcome", "target: outcome\n    positive_class: maybe"), "positive_class 'maybe'"),
        (("data: table.csv", "data: ragged.csv"), "ragged.csv"),
    ],
)
def test_wrong_data_stop_the_job_that_reads_them_and_leave_nothing(project, change, message):
    project.write("table.csv", table())
    project.write("ragged.csv", table() + "1,2,here,yes,too much\n")
    project.write("mine.yaml", STUDY.replace(*change))
    done = project.snakemake("--retries", "2")
    assert done.returncode != 0
    # what a person must mend is not tried again
    assert "Trying to restart" not in done.stderr
    log = next(
        path for path in (project.folder / "results/small/logs").glob("*.log") if "DataError" in path.read_text()
    )
    last = log.read_text().splitlines()[-1]
    assert last.startswith("DataError: ")
    assert message in last
    assert last in done.stderr
    assert not list((project.folder / "results").rglob("*.part"))
    assert not (project.folder / f"results/small/records/{log.stem}.json").exists()


def test_planning_imports_nothing_heavy():
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'workflow')!r});"
        "from serpens import configfile, environment, jobs, occupancy, plan, splits;"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'sklearn', 'matplotlib', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_json_artefact_fits_its_schema(ran):
    study = ran.folder / "results/small"
    kinds = {
        "source": ["data/source.json"],
        "cleaning": ["data/cleaning.json"],
        "digest": ["data/digest.json"],
        "schema": [f"data/split-{k}/schema.json" for k in (0, 1)],
        "model": [str(path.relative_to(study)) for path in study.glob("models/*/*/model.json")],
        "evaluation": ["evaluation.json"],
        "study": ["study.json"],
        "record": [str(path.relative_to(study)) for path in study.glob("records/**/*.json")],
        "made_from": ["history/001/made_from.json"],
        "changes": ["data/changes.json"],
        "collection": ["collections/001/collection.json"],
    }
    kinds["evaluation"].append("history/001/evaluation.json")
    kinds["study"].append("history/001/study.json")
    kinds["record"].append("history/001/record.json")
    for kind, names in kinds.items():
        validator = Draft202012Validator(json.loads((ROOT / f"workflow/schemas/{kind}.schema.json").read_text()))
        for name in names:
            validator.validate(json.loads((study / name).read_text()))
    # the crate is judged by the public validator
    every = {str(path.relative_to(study)) for path in study.rglob("*.json")} - {"crate/ro-crate-metadata.json"}
    assert every == {name for names in kinds.values() for name in names}
