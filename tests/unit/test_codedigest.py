"""What a job's code means: what is reached counts, how it is written does not."""

import shutil
from pathlib import Path

import pytest

from serpens import codedigest, settings
from serpens.codedigest import Code, Reader
from serpens.config import Study

ROOT = Path(__file__).parents[2]
FILE = {"question": "Why?", "target": "y", "data": "t.csv"}
COLLECT = settings.collect(Study.model_validate(FILE))
SETTINGS = {
    "collect": COLLECT,
    "clean": {},
    "split": {},
    "train": {"family": "mlp", "settings": {}},
    "evaluate": {"families": {"mlp": "mlp", "linear": "linear"}, "custom": {}},
    "report": {},
    "index": {},
}


@pytest.fixture
def workflow(tmp_path, monkeypatch):
    """Copy the workflow, so that it can be edited."""
    copy = tmp_path / "workflow"
    shutil.copytree(ROOT / "workflow", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(codedigest, "WORKFLOW", copy)
    monkeypatch.chdir(tmp_path)
    return copy


def code(rule, **given) -> Code:
    reader = Reader(codedigest.WORKFLOW.parent / ".snakemake/code.json")  # each version of a module is read once
    found = reader.code(rule, given or SETTINGS[rule])
    reader.save()
    return found


def simulator(name: str):
    return COLLECT | {"data": COLLECT["data"] | {"file": None, "simulator": name}}


def digests() -> dict[str, str]:
    return {rule: code(rule).sha256 for rule in SETTINGS}


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def rerun(workflow, name, before, after):
    """Return the rules whose code an edit changes."""
    first = digests()
    edit(workflow / name, before, after)
    return {rule for rule, sha256 in digests().items() if sha256 != first[rule]}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("serpens/training.py", "def fit_network(", "# a comment\n\n\ndef fit_network("),
        ("serpens/training.py", '"""Train a network and return', '"""Train any network and return'),
        ("serpens/parts.py", "PREDICT_ROWS = 8192", "PREDICT_ROWS = (8192)  # rows"),
        ("serpens/dataartefacts.py", '"""Least number, or first time."""', '"""Least."""'),
        ("serpens/artefacts.py", '"""Mean of the training rows (of days since 1970 for a time)."""', '"""Mean."""'),
        ("serpens/columnconfig.py", "Smallest value that can be right", "Least value that can be right"),
        ("serpens/errors.py", "did you mean", "is it"),
        ("serpens/io.py", "def read_rows(", "def unused():\n    return 1\n\n\ndef read_rows("),
        ("scripts/train.py", "if TYPE_CHECKING:", "if TYPE_CHECKING:\n    import nothing_at_all"),
    ],
)
def test_what_means_the_same_is_the_same(workflow, name, before, after):
    assert rerun(workflow, name, before, after) == set()


@pytest.mark.parametrize(
    ("name", "before", "after", "expected"),
    [
        ("serpens/models/mlp.py", "d_in=math.prod(", "d_in=1 * math.prod(", "train evaluate"),
        ("serpens/models/linear.py", "MAX_ITERATIONS = 5000", "MAX_ITERATIONS = 5001", "evaluate"),
        ("serpens/models/cnn.py", "nn.Flatten()", "nn.Flatten(1)", ""),
        ("serpens/models/dense.py", "torch.sum(gradient, 0, ", "torch.sum(gradient, dim=0, ", "train evaluate"),
        ("serpens/losses.py", "def for_task", "LOSS = 1\n\n\ndef for_task", ""),
        ("serpens/optimizers.py", "END_DIVISOR = 0.3", "END_DIVISOR = 0.2", "train"),
        ("serpens/splits.py", "hashlib.sha256", "hashlib.sha512", "split"),
        ("serpens/statistics.py", "def holm(", "def holm(  # bounds\n", ""),
        ("scripts/collect.py", "stages.collect", "(stages).collect", ""),
        ("scripts/collect.py", "io.write_stream", "io.write_arrow", "collect"),
        ("serpens/templates/style.css", "}", " }", "report index"),
        ("serpens/report.py", "total_seconds=float", "total_seconds=1 + float", "report index"),
    ],
)  # fmt: skip
def test_an_edit_reruns_what_reaches_it(workflow, name, before, after, expected):
    assert rerun(workflow, name, before, after) == set(expected.split())


def test_what_other_processes_run_counts_and_what_supervises_them_does_not():
    trained, evaluated = code("train").definitions, code("evaluate").definitions
    joined = {"serpens.processes.join", "serpens.gradients.BatchGradient", "serpens.batchnorm._OverProcesses"}
    assert joined <= trained.keys()
    assert not joined & evaluated.keys()
    assert not [name for name in trained if name.startswith(("serpens.companions", "serpens.allocation"))]


def test_every_definition_that_is_listed_counts(workflow):
    """Break each definition that training reaches, one by one."""
    listed = code("train")
    for name in listed.definitions:
        module, _, definition = name.rpartition(".")
        path = workflow.joinpath(*module.split(".")).with_suffix(".py")
        if not definition.isidentifier() or not path.is_file():
            continue
        text = path.read_text()
        path.write_text(f"{text}\n\n{definition} = 'another'\n")
        now = code("train")
        path.write_text(text)
        assert now.sha256 != listed.sha256, name
        assert now.definitions[name] != listed.definitions[name]
    assert code("train").sha256 == listed.sha256


def test_the_users_own_files_count(workflow, tmp_path):
    net = tmp_path / "net.py"
    net.write_text(
        "import numpy as np\nfrom part import SIZE, other\n\n"
        "class Net:\n    def __init__(self):\n        self.size = SIZE\n\n"
        "def unused():\n    return np.zeros(other)\n"
    )
    (tmp_path / "part.py").write_text("SIZE = 1\nother = 2\n")
    settings = {"family": "custom", "settings": {"path": "net.py:Net"}}
    first = code("train", **settings)
    assert {"net.py.Net", "part.py.SIZE"} <= first.definitions.keys()
    assert "net.py.unused" not in first.definitions
    for name, before, after, same in [
        ("net.py", "return np", "return 1 + np", True),
        ("net.py", "class Net:", "# mine\nclass Net:", True),
        ("part.py", "other = 2", "other = 3", True),
        ("part.py", "SIZE = 1", "SIZE = 2", False),
        ("net.py", "self.size =", "self.sizes =", False),
    ]:
        before_sha = code("train", **settings).sha256
        edit(tmp_path / name, before, after)
        assert (code("train", **settings).sha256 == before_sha) is same, (name, after)
    evaluated = code("evaluate", families={"mine": "custom"}, custom={"mine": "net.py:Net"})
    assert "net.py.Net" in evaluated.definitions
    simulated = code("collect", **simulator("net.py:unused"))
    assert "net.py.unused" in simulated.definitions
    assert "numpy" in simulated.libraries


def test_libraries_are_those_that_the_code_imports(monkeypatch):
    assert "torch" in code("train").libraries
    assert "scikit-learn" not in code("train").libraries
    assert "scikit-learn" in code("train", family="linear", settings={}).libraries
    assert "torch" not in code("train", family="linear", settings={}).libraries
    assert code("report").libraries.keys() >= {"matplotlib", "jinja2", "python"}
    first = digests()
    true = codedigest.metadata.version
    monkeypatch.setattr(codedigest.metadata, "version", lambda name: "99" if name == "torch" else true(name))
    changed = {rule for rule, sha256 in digests().items() if sha256 != first[rule]}
    assert changed == {"train", "evaluate"}


def test_what_was_read_is_kept_and_a_damaged_cache_is_none(workflow, tmp_path):
    cache = tmp_path / "cache.json"
    reader = Reader(cache)
    first = reader.code("train", SETTINGS["train"])
    reader.save()
    again = Reader(cache)
    assert again.code("train", SETTINGS["train"]) == first
    assert not again.changed
    edit(workflow / "serpens/models/mlp.py", "math.prod(", "1 * math.prod(")
    assert Reader(cache).code("train", SETTINGS["train"]).sha256 != first.sha256
    cache.write_text("{")
    assert Reader(cache).code("split", {}).sha256 == Reader().code("split", {}).sha256


def test_a_name_of_the_function_itself_is_no_name_of_the_module(workflow, tmp_path):
    (tmp_path / "own.py").write_text(
        "table = 1\nother = 2\n\n\ndef f(table):\n    g = lambda other: other\n"
        "    return table, [table for other in g(1)]\n\n\ndef h():\n    global other\n    other = 3\n    return other\n"
    )
    found = code("collect", **simulator("own.py:f")).definitions
    assert [name for name in found if name.startswith("own.py")] == ["own.py.f"]
    found = code("collect", **simulator("own.py:h")).definitions
    assert "own.py.other" in found


def test_modules_outside_compute_no_number():
    """What stays out of the digest imports no library that computes."""
    for module in codedigest.OUTSIDE:
        text = codedigest._path(module).read_text()
        for library in ("numpy", "torch", "pandas", "sklearn", "scipy", "pyarrow"):
            assert f"import {library}" not in text, module
            assert f"from {library}" not in text, module


@pytest.mark.parametrize(
    ("data", "modules"),
    [
        ({}, "files"),
        ({"file": ["t.csv.gz"]}, "files archives"),
        ({"file": None, "url": [".csv"]}, "files download"),
        ({"transpose": "sample"}, "files transposition"),
        ({"join": [{"file": "u.csv"}]}, "files joins"),
        ({"file": None, "openml": 61}, "files openml"),
    ],
)
def test_a_source_counts_where_it_is_used_alone(data, modules):
    found = code("collect", **(COLLECT | {"data": COLLECT["data"] | data})).definitions
    used = {name.split(".")[2] for name in found if name.startswith("serpens.sources.")}
    named = {"files", "archives", "download", "storage", "openml", "huggingface", "joins", "transposition", "cohorts"}
    assert used & named == set(modules.split())
