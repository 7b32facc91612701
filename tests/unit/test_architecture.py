"""The arrows between modules: which room may enter which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).parents[2] / "workflow"
PACKAGE = WORKFLOW / "serpens"
MODULES = {
    ".".join(path.relative_to(WORKFLOW).with_suffix("").parts): path
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
}
# read at every parse of the workflow
PLANNING = (
    "config",
    "configfile",
    "configtypes",
    "dataconfig",
    "readconfig",
    "columnconfig",
    "readconfig",
    "modelconfig",
    "environment",
    "errors",
    "planning",
    "glance",
    "durations",
    "extent",
    "modelsize",
    "costs",
    "sizing",
    "layout",
    "settings",
    "jobs",
    "plan",
    "codedigest",
    "contents",
    "io",
    "formats",  # each of which names a table's columns
)
# the maths: arrays in, arrays out
MATHS = ("data", "losses", "metrics", "optimizers", "intervals", "statistics", "splits", "models")
# who reads and writes files, or knows of rules and studies
PLUMBING = (
    "io",
    "run",
    "stages",
    "layout",
    "settings",
    "planning",
    "configfile",
    "provenance",
    "report",
    "artefacts",
    "dataartefacts",
)


def imported(path, *, at_module_level=False):
    """Return the modules of the package that a module imports."""
    tree = ast.parse(path.read_text())
    names = set()
    for node in tree.body if at_module_level else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "serpens":
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            names |= inside or {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("serpens.")}
    return names & set(MODULES)


def room(module):
    return module.split(".")[1]


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in MATHS])
def test_the_maths_knows_no_files_and_no_studies(module):
    assert not {room(name) for name in imported(MODULES[module])} & set(PLUMBING)


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in PLANNING])
def test_the_plan_needs_the_plan_alone(module):
    others = {"simulators", "sources", "families", "formats", "streams", "pieces"}
    assert {room(name) for name in imported(MODULES[module])} <= {*PLANNING, *others}


def test_only_scripts_call_stages_and_run():
    users = {name for name, path in MODULES.items() if imported(path) & {"serpens.stages", "serpens.run"}}
    assert users == set()


def test_no_module_imports_itself_through_others():
    graph = {name: imported(path, at_module_level=True) for name, path in MODULES.items()}

    def visit(name, trail):
        assert name not in trail, " -> ".join([*trail, name])
        for other in graph[name]:
            visit(other, [*trail, name])

    for name in graph:
        visit(name, [])


def test_nothing_heavy_is_imported_by_reading_artefacts_or_tables():
    program = "import sys; import serpens.stages, serpens.artefacts, serpens.cleaning, serpens.pages, serpens.fitting;"
    program += "print(sorted({'torch', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=WORKFLOW, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_jobs_ask_for_is_known_without_numpy():
    program = "import sys; import serpens.sizing;"
    program += "print(sorted({'numpy', 'pandas', 'pyarrow', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=WORKFLOW, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
