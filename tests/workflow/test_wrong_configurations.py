"""Wrong configurations, as Snakemake's user sees them: one clear error that names key and line, and no job."""

import pytest

GOOD = """studies:
  small:
    question: Does x tell?
    data: table.csv
    target: outcome
    models: [mlp]
    training: {max_epochs: 3}
"""

WRONG = {
    "misspelt key": ("max_epochs", "max_epoch", "studies.small.training.max_epoch", "did you mean 'max_epochs'?"),
    "wrong type": ("max_epochs: 3", "max_epochs: many", "studies.small.training.max_epochs", "must be a whole number"),
    "unknown family": ("[mlp]", "[mpl]", "studies.small.models[0]", "did you mean 'mlp'?"),
    "no repeats": ("models", "repeats: 0\n    models", "studies.small.repeats", "at least 1"),
    "two sources": (
        "data: table.csv",
        "data: {file: table.csv, simulator: qubit}",
        "studies.small.data",
        "data have one source",
    ),
    "no source": ("data: table.csv", "data: {license: MIT}", "studies.small.data", "data need a source"),
    "path outside": ("table.csv", "../table.csv", "studies.small.data", "leaves the working directory"),
    "file elsewhere": ("table.csv", "/no/table.csv", "studies.small.data", "there is no file"),
    "missing file": ("table.csv", "tabel.csv", "studies.small.data", "tabel.csv"),
    "unknown format": ("table.csv", "table.docx", "studies.small.data", ".csv"),
    "missing question": ("    question: Does x tell?\n", "", "studies.small.question", "is required"),
    "target not there": ("target: outcome", "target: outcom", "studies.small.target", "did you mean 'outcome'?"),
    "feature not there": (
        "models",
        "features: [z]\n    models",
        "studies.small.features",
        "fits no column of table.csv; its columns: x, w, outcome",
    ),
    "number as text": (
        "{max_epochs: 3}",
        "{learning_rate: 1e-3}",
        "studies.small.training.learning_rate",
        "write 0.001",
    ),
    "no as false": ("models", "positive_class: no\n    models", "studies.small.positive_class", "quote"),
    "key twice": ("models", "target: x\n    models", "target", "twice"),
    "study name": ("  small:", "  small/study:", "studies.small/study", "letters"),
    "two models of a name": ("[mlp]", "[mlp, mlp]", "studies.small.models", "two models are called"),
    "metric of another task": (
        "models",
        "task: regression\n    metric: roc_auc\n    models",
        "studies.small.metric",
        "does not fit regression",
    ),
    "folds and fractions": ("models", "split: {folds: 1}\n    models", "studies.small.split.folds", "at least 2"),
    "run of no study": ("studies:", "run: smal\nstudies:", "run", "did you mean 'small'?"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration_runs_no_job(project, name):
    old, new, key, hint = WRONG[name]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    project.write("table.csv", "x,w,outcome\n" + "1,2,yes\n3,4,no\n" * 20)
    project.write("mine.yaml", text)
    done = project.snakemake()
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert key in said
    assert hint in said
    assert "mine.yaml" in said
    assert "Traceback" not in said
    assert not (project.folder / "results").exists()


def test_broken_yaml_is_told_by_its_line(project):
    project.write("config.yaml", GOOD.replace("[mlp]", "[mlp"))
    said = project.snakemake(config=None).stderr
    assert "config.yaml:7: " in said
    assert not (project.folder / "results").exists()


def test_all_faults_are_told_at_once(project):
    project.write("table.csv", "x,w,outcome\n1,2,yes\n")
    project.write("mine.yaml", GOOD.replace("max_epochs", "max_epoch").replace("[mlp]", "[mpl]") + "    repeats: 0\n")
    said = project.snakemake().stderr
    for key in ("studies.small.training.max_epoch", "studies.small.models[0]", "studies.small.repeats"):
        assert key in said
