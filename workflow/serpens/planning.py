"""What must be known before any job: which jobs there are, and that the files are there and have what is named.

Runs each time Snakemake plans: it looks at the headers of tables (:mod:`serpens.glance`), and at the user's Python
files without importing them.
"""

import ast
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from math import prod
from pathlib import Path

from serpens.config import Custom, Study
from serpens.configtypes import DEFINITION, choice
from serpens.errors import ConfigurationError, listed
from serpens.families import FAMILIES
from serpens.formats import registry
from serpens.glance import count_rows, header, require
from serpens.layout import Run
from serpens.simulators.registry import SIMULATORS

KeyPath = tuple[str | int, ...]
Fault = tuple[KeyPath, str]
"""The key that is to blame, from the study down, and what is wrong."""

FOLDS_BELOW = 2000
N_FOLDS = 5


def n_splits(study: Study) -> int:
    """Return into how many train and test parts a study's rows are dealt: its folds, or 1."""
    if study.split is not None:
        return study.split.folds or 1
    if not study.test_on.can_fold:
        return 1
    if study.data.file is not None:
        few = count_rows(study.data.file, FOLDS_BELOW, study.read.given()) < FOLDS_BELOW
    else:
        few = study.data.rows is not None and study.data.rows < FOLDS_BELOW
    return N_FOLDS if few else 1


def n_shards(study: Study) -> int:
    """Return into how many parts a study's table is washed by jobs of their own; 0 where cleaning does it."""
    return study.resources.shards or 0


def source_files(study: Study) -> list[str]:
    """List the files that a study's data are collected from; a simulator is code, and its meaning counts."""
    read = study.read.given()
    return list(dict.fromkeys(file for path in _tables(study) for file in registry.files(path, read)))


def _tables(study: Study) -> list[str]:
    return [path for path in (study.data.file, study.test_on.file) if path]


def is_network(study: Study, model: str) -> bool:
    """Return whether a model of the study is a network, which may ask for a GPU."""
    return any(FAMILIES[each.family].network for each in (*study.models, *study.baselines) if each.name == model)


def runs(study: Study, n_splits: int) -> list[Run]:
    """List the trainings of a study; a family without chance runs once."""
    return [
        Run(model.name, split, repeat)
        for model in (*study.models, *study.baselines)
        for split in range(n_splits)
        for repeat in range(study.repeats if FAMILIES[model.family].chance else 1)
    ]


def faults(study: Study) -> Iterator[Fault]:
    """Yield what the files contradict in a study: missing files, definitions, arguments and columns."""
    yield from _code_faults(study)
    for name, text in registry.misfits(_tables(study), read := study.read.given()):
        yield ("read", name), text
    headers: dict[str, list[str]] = {}
    for key, path in (("data", study.data.file), ("test_on", study.test_on.file)):
        try:
            if path is not None:
                headers[key] = header(path, read)
        except ConfigurationError as error:
            yield (key, "file"), str(error)
    if "data" in headers:
        yield from _column_faults(study, str(study.data.file), headers["data"])
    if len(headers) == 2 and (lacking := [name for name in headers["data"] if name not in headers["test_on"]]):
        yield (
            ("test_on", "file"),
            f"{study.test_on.file} lacks columns of {study.data.file}: {listed(lacking)}",
        )


def _code_faults(study: Study) -> Iterator[Fault]:
    for key, models in (("models", study.models), ("baselines", study.baselines)):
        for place, model in enumerate(models):
            if isinstance(model, Custom):
                try:
                    _defined(model.path)
                except ConfigurationError as error:
                    yield (key, place, "path"), str(error)
    simulator, arguments = study.data.simulator, study.data.arguments
    if simulator is None or (simulator in SIMULATORS and not arguments):
        return
    ours = Path(__file__).with_name("simulators") / f"{simulator}.py"
    try:
        definition = _defined(f"{ours}:simulate" if simulator in SIMULATORS else simulator)
    except ConfigurationError as error:
        yield ("data", "simulator"), str(error)
        return
    if isinstance(definition, ast.FunctionDef) and definition.args.kwarg is None:
        taken = [argument.arg for argument in (*definition.args.args, *definition.args.kwonlyargs)]
        for name in arguments:
            if name not in taken:
                text = f"the simulator takes no {name!r}{choice(name, taken, 'it takes')}"
                yield ("data", "arguments", name), text
        for name in ("rows", "seed"):
            if name not in taken:
                yield ("data", "simulator"), f"{definition.name} must take the argument {name!r}"


def _defined(definition: str) -> ast.stmt:
    """Find ``path.py:name`` by reading the file, without running it."""
    match = DEFINITION.fullmatch(definition)
    assert match is not None, definition
    path, name = match["path"], match["name"]
    require(path)
    try:
        module = ast.parse(Path(path).read_bytes(), filename=path)
    except (SyntaxError, ValueError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigurationError(f"{path} is not valid Python{where}: {error.args[0]}") from error
    names: dict[str, ast.stmt] = {}
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names[statement.name] = statement
        elif isinstance(statement, ast.Assign):
            names |= {target.id: statement for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.ImportFrom):
            names |= {alias.asname or alias.name: statement for alias in statement.names}
    if name not in names:
        raise ConfigurationError(f"{path} defines no {name!r}{choice(name, names, 'it defines')}")
    return names[name]


def _column_faults(study: Study, path: str, names: Sequence[str]) -> Iterator[Fault]:
    """Yield the columns that the study names and the header does not have."""
    claim = study.test_on
    wanted: list[tuple[KeyPath, str | None]] = [
        (("target",), study.target),
        (("id",), study.id),
        (("time",), study.time),
        (("weight",), study.weight),
        (("test_on", "new"), claim.new),
        (("test_on", "column"), claim.column),
        *((("columns", name), name) for name in study.columns),
        *((("personal", name), name) for name in study.personal),
    ]
    if claim.after != study.time:  # in forecasting the one stands for the other
        wanted.append((("test_on", "after"), claim.after))
    for key, name in wanted:
        if name is not None and name not in names:
            yield key, f"{name!r} is no column of {path}{choice(name, names, 'its columns')}"
    patterns = [
        *((("features", place), pattern) for place, pattern in enumerate(study.features or ())),
        *((("drop", place), pattern) for place, pattern in enumerate(study.drop)),
    ]
    for place_of, pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            text = f"{pattern!r} fits no column of {path}{choice(pattern, names, 'its columns')}"
            yield place_of, text
    if study.image is not None:
        n_found = sum(fnmatchcase(name, study.image.columns) for name in names)
        if n_found != prod(study.image.shape):
            shape = " x ".join(map(str, study.image.shape))
            text = f"{study.image.columns!r} fits {n_found} columns of {path}, but {shape} pixels need"
            yield ("image", "columns"), f"{text} {prod(study.image.shape)}; its columns: {listed(names)}"
