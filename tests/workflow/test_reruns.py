"""After any edit exactly the jobs run that must: each row of the table, job by job, and edits drawn at random."""

import ast
import os
import random
import re
import shutil
from functools import cache

import pytest
from tests.workflow.edits import EDITS
from tests.workflow.workspace import CODE, Workspace, copy

# Really run by make test; make test-full runs them all.
REALLY = ("values of a dropped column", "a value with an older time")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The workspace that everybody copies, all up to date."""
    space = Workspace.create(tmp_path_factory.mktemp("reruns") / "base")
    assert space.made() == space.whole()
    return space


@pytest.fixture
def space(base, tmp_path):
    return base.copied(tmp_path / "space")


def check(ran, must, may=frozenset(), after=""):
    """Compare the jobs that ran with those that had to."""
    wrong = {"needless": sorted(ran - must - may), "missed": sorted(must - ran)}
    assert wrong == {"needless": [], "missed": []}, f"after {after or 'the edit'}: {wrong}"


def is_up_to_date(space):
    assert space.made() == set(), "a second run must make nothing"


@cache
def meaning(text):
    """Return the syntax tree of a Python file without its docstrings and other idle strings, as text."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [part for part in node.body if not _is_idle_string(part)]
    return ast.dump(tree)


def _is_idle_string(part):
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)


def test_the_catalogue_makes_the_edits_that_it_says(tmp_path):
    """An edit of code changes the meaning of one file, any other of none; each can be made again after all others."""
    space = Workspace.create(tmp_path / "space")
    files = [*(space.folder / "workflow").rglob("*.py"), space.folder / "net.py", space.folder / "sine.py"]
    EDITS["the code is formatted otherwise"].make(space)
    for name in 2 * [name for name in EDITS if not re.search("deleted|by hand|flipped", name)]:
        before = [meaning(path.read_text()) for path in files]
        EDITS[name].make(space)
        changed = [path for path, tree in zip(files, before, strict=True) if meaning(path.read_text()) != tree]
        means = re.match("a formula|code of|the code of|an unused function", name) is not None
        assert len(changed) == means, name


@pytest.mark.parametrize("name", [name for name, edit in EDITS.items() if not edit.cut_off])
def test_the_plan_after_an_edit(space, name):
    edit = EDITS[name]
    edit.make(space)
    check(space.planned(), edit.jobs(space), edit.may(space))


@pytest.mark.parametrize(
    "name", [name if name in REALLY else pytest.param(name, marks=pytest.mark.slow) for name in EDITS]
)
def test_the_run_after_an_edit(space, name):
    edit = EDITS[name]
    # what is known of files by their inode and times is then known of the copy, and can mislead
    assert space.planned() == set()
    edit.make(space)
    check(space.made(), edit.jobs(space), edit.may(space))
    is_up_to_date(space)


@pytest.mark.parametrize(
    "seed", [seed if seed < 3 else pytest.param(seed, marks=pytest.mark.slow) for seed in range(20)]
)
def test_edits_drawn_at_random(space, seed):
    """Two or three edits at once, then a run; the longer sequences of make test-full do so three times."""
    draw = random.Random(seed)
    history = []
    for _ in range(1 if seed < 3 else 3):
        names = draw.sample(sorted(EDITS), draw.randint(2, 3))
        history.append(names)
        for name in names:
            EDITS[name].make(space)
        must, may = (set().union(*(getattr(EDITS[name], kind)(space) for name in names)) for kind in ("jobs", "may"))
        check(space.made(), must, may, after=history)
        is_up_to_date(space)


def test_another_number_of_cores(space):
    assert space.planned(cores=1) == set()


def test_a_moved_project(space, tmp_path):
    moved = tmp_path / "elsewhere"
    space.folder.rename(moved)
    assert space.at(moved).planned() == set()


@pytest.fixture
def cloned(space, tmp_path):
    """A fresh clone with the data and results of another: no metadata of Snakemake, and times of no meaning."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in [*CODE, "mine.yaml", "cancer.csv", "digits.csv", "net.py", "sine.py", "results", "installed"]:
        copy(space.folder / name, clone / name)
    for path in sorted((clone / "results").rglob("*"), reverse=True):
        os.utime(path, (1_600_000_000, 1_600_000_000) if path.suffix == ".html" else None)
    return space.at(clone)


def test_a_fresh_clone_with_copied_results(cloned):
    assert cloned.planned() == set()
    is_up_to_date(cloned)


@pytest.mark.parametrize(
    "name",
    [
        "a formula of mlp",
        "two hyperparameters of a model swap",
        "another version of safetensors",
        "weights are deleted",
    ],
)
def test_the_plan_after_an_edit_of_a_fresh_clone(cloned, name):
    EDITS[name].make(cloned)
    check(cloned.planned(), EDITS[name].jobs(cloned), EDITS[name].may(cloned))


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ["a value with an older time"],
        ["values of a dropped column"],
        ["a formula of linear"],
        ["a value with the same time and size", "a formula of mlp"],
    ],
)
def test_the_run_after_edits_of_a_fresh_clone(cloned, names):
    for name in names:
        EDITS[name].make(cloned)
    check(cloned.made(), set().union(*(EDITS[name].jobs(cloned) for name in names)))
    is_up_to_date(cloned)


REVERTED = ["a formula of mlp", "a value with a newer time", "a hyperparameter of one model"]


@pytest.mark.parametrize("name", REVERTED)
def test_an_edit_that_is_reverted_before_a_run(space, base, name):
    EDITS[name].make(space)
    assert space.planned() != set()
    _revert(space, base)
    assert space.planned() == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", REVERTED)
def test_an_edit_that_is_reverted_after_a_run(space, base, name):
    EDITS[name].make(space)
    space.made()
    _revert(space, base)
    check(space.made(), EDITS[name].jobs(space), after="the reversal")
    is_up_to_date(space)


def _revert(space, base):
    """Bring back code, data and configuration, with new times; results stay."""
    for name in [*CODE, "mine.yaml", "cancer.csv"]:
        path = space.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        copy(base.folder / name, path)


def test_one_study_alone(space):
    """A run of one study after an edit of all makes that study's jobs, and the next run makes the others'."""
    EDITS["a formula of mlp"].make(space)
    must = EDITS["a formula of mlp"].jobs(space)
    of_sine = {name for name in must if name.startswith("sine/")}
    assert space.planned("--config", "run=sine") == of_sine
    assert space.planned() == must
