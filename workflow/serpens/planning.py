"""What must be known before any job: which jobs there are, and that the files are there and have what is named.

Runs each time Snakemake plans: it looks at the headers of tables (:mod:`serpens.glance`), and at the user's Python
files without importing them.
"""

import ast
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from importlib.util import find_spec
from math import prod
from pathlib import Path

from serpens import settings
from serpens.config import Custom, Study
from serpens.configtypes import DEFINITION, choice
from serpens.errors import ConfigurationError, listed
from serpens.families import FAMILIES
from serpens.formats import registry
from serpens.glance import count_rows, header, require
from serpens.layout import Run
from serpens.simulators.registry import SIMULATORS
from serpens.sources.paths import keys, table_names, written_out
from serpens.sources.registry import ARCHIVES, ending, installation, plugin

KeyPath = tuple[str | int, ...]
Fault = tuple[KeyPath, str]
"""The key that is to blame, from the study down, and what is wrong."""

FOLDS_BELOW = 2000
N_FOLDS = 5
SHARDED_BYTES, MOST_SHARDS = 500_000_000, 64
"""Size of several files from which one job for each is worth its start, and the most of them."""


def n_splits(study: Study) -> int:
    """Return into how many train and test parts a study's rows are dealt: its folds, or 1.

    Where the rows are not here yet, nobody can count them: then it is 1, unless the study says otherwise.
    """
    if study.split is not None:
        return study.split.folds or 1
    if not study.test_on.can_fold:
        return 1
    if study.data.simulator is not None:
        few = study.data.rows is not None and study.data.rows < FOLDS_BELOW
    else:
        few = is_seen(study) and _rows(study, FOLDS_BELOW) < FOLDS_BELOW
    return N_FOLDS if few else 1


def n_shards(study: Study) -> int:
    """Return into how many parts a study's table is washed by jobs of their own; 0 where cleaning does it.

    A large table that comes in several files is dealt to as many jobs.
    """
    if study.resources.shards:
        return study.resources.shards
    files = [Path(path) for path in _main_files(study)]
    large = len(files) > 1 and sum(file.stat().st_size for file in files if file.is_file()) >= SHARDED_BYTES
    return min(len(files), MOST_SHARDS) if large else 0


def is_seen(study: Study) -> bool:
    """Return whether the columns and rows of a study's main table can be told before any job."""
    if study.data.file is None or study.data.transpose is not None:
        return False
    return not any(ending(path, ARCHIVES) for path in _main_files(study))


def _main_files(study: Study) -> list[str]:
    return written_out(study.data.file or ())


def _rows(study: Study, at_most: int) -> int:
    """Count the rows of the main table, and stop at ``at_most``."""
    found = 0
    for path in _main_files(study):
        found += count_rows(path, at_most - found, study.read.given())
        if found >= at_most:
            break
    return found


def source_files(study: Study) -> list[str]:
    """List the files here that a study's data are collected from; a simulator is code, and its meaning counts."""
    others = [join.file for join in study.data.join] + [study.test_on.file]
    named = [*_main_files(study), *filter(None, others)]
    # of images all are read
    tables = {path: [path] if ending(path, ARCHIVES) else registry.files(path, study.read.given()) for path in named}
    return list(dict.fromkeys(file for files in tables.values() for file in files))


def named_tables(study: Study) -> list[str]:
    """Return names of a study's tables, by whose endings they are read."""
    return table_names(settings.collect(study))


def columns(study: Study) -> list[str] | None:
    """Return the columns of a study's table as it will be collected, or None where only its job can tell.

    Raises
    ------
    ConfigurationError
        A file is not there, is no table, or lacks a column.
    """
    paths = _main_files(study)
    for path in paths:
        require(path)
    read = study.read.given()
    if not is_seen(study):
        return None
    names = header(paths[0], read)
    own = list(keys(paths[0], study.data.file or ()))
    for path in paths[1:]:
        found = header(path, read)
        if set(found) != set(names):
            lacking = listed([name for name in names if name not in found]) or "none"
            besides = listed([name for name in found if name not in names]) or "none"
            raise ConfigurationError(
                f"{path} must have the columns of {paths[0]}; it lacks {lacking}, and has besides {besides}"
            )
        if list(other := keys(path, study.data.file or ())) != own:
            raise ConfigurationError(
                f"{path} must lie in folders named by the same keys as {paths[0]} does ({listed(own) or 'none'}); "
                f"its are {listed(other) or 'none'}"
            )
    names = [*names, *own]
    for join in study.data.join:
        if ending(join.file, ARCHIVES):
            require(join.file)
            return None
        other_names = header(join.file, read)
        for left, right in join.on.items():
            for name, have, where in ((left, names, paths[0]), (right, other_names, join.file)):
                if name not in have:
                    raise ConfigurationError(
                        f"the key {name!r} of join is no column of {where}{choice(name, have, 'its columns')}"
                    )
        names += [name for name in other_names if name not in join.on.values()]
    return names


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
    read = study.read.given()
    for name, text in registry.misfits(named_tables(study), read):
        yield ("read", name), text
    for place, query in enumerate(study.data.storage or ()):
        name, _ = plugin(query)
        if find_spec(f"snakemake_storage_plugin_{name.replace('-', '_')}") is None:
            text = f"needs Snakemake's storage plugin {name}, which is not installed: {installation(name)}"
            yield ("data", "storage", place), text
    claim = study.test_on.file
    ours = theirs = None
    missing = False
    for place, join in enumerate(study.data.join):
        try:
            require(join.file)
        except ConfigurationError as error:
            missing = True
            yield ("data", "join", place, "file"), str(error)
    try:
        ours = None if missing else columns(study)
    except ConfigurationError as error:
        yield ("data", "file"), str(error)
    try:
        if claim is not None:
            require(claim)
            theirs = None if ending(claim, ARCHIVES) else header(claim, read)
    except ConfigurationError as error:
        yield ("test_on", "file"), str(error)
    if ours is None:
        return
    path = listed(study.data.file or ())
    yield from _column_faults(study, path, ours)
    if theirs is not None and (lacking := [name for name in ours if name not in theirs]):
        yield ("test_on", "file"), f"{claim} lacks columns of {path}: {listed(lacking)}"


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
        *((("subgroups", place), name) for place, name in enumerate(study.subgroups)),
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
