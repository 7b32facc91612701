"""Collecting: bring data here as they are, and say where they came from.

How a file becomes a table is its format's to say (:mod:`serpens.formats`); what a value means is decided when it is
cleaned.
"""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serpens import io, provenance
from serpens.artefacts import Source
from serpens.errors import DataError, listed
from serpens.formats import registry
from serpens.simulators.registry import SIMULATORS

# True in the rows of an outside cohort, on which a model is tested.
COHORT = "__cohort__"


@dataclass(frozen=True)
class Collected:
    """A table, and where it came from."""

    table: pa.Table
    source: Source


def collect_file(path: str, *, sha256: str | None = None, read: Mapping[str, Any] | None = None) -> Collected:
    """Read a file of any format that :mod:`serpens.formats.registry` names, or a folder of images.

    Parameters
    ----------
    read
        What the study's section ``read`` says.

    Raises
    ------
    DataError
        If the file is missing, is not what its name says, or differs from its sha256.
    """
    file, folder = Path(path), path.endswith("/")
    if not (folder or file.is_file()):
        msg = f"{path}: the file must exist; it does not"
        raise DataError(msg)
    parts = registry.files(path, read or {}) if folder else [path]
    found = _sha256_of_all(parts) if folder else io.sha256(file)
    if sha256 is not None and found != sha256.lower():
        msg = (
            f"{path}: sha256 must be {sha256}; it is {found}: the file is not the one that the study names, "
            "so get that one, or correct data.sha256"
        )
        raise DataError(msg)
    stream = registry.open_table(path, read or {})
    table = pa.Table.from_batches(stream.batches(), stream.schema)
    if not table.num_rows:
        msg = f"{path}: there must be at least one row of data; there is none"
        raise DataError(msg)
    n_bytes = sum(Path(part).stat().st_size for part in parts)
    return _described(table, kind="file", origin=path, bytes=n_bytes, sha256=found)


def _sha256_of_all(paths: Iterable[str]) -> str:
    """Return a digest of several files' names and contents."""
    content = hashlib.sha256()
    for path in paths:
        content.update(f"{io.sha256(path)}  {path}\n".encode())
    return content.hexdigest()


def collect_simulator(name: str, *, rows: int, seed: int, arguments: Mapping[str, Any]) -> Collected:
    """Run a simulator: one of ours by name, or the user's own as ``file.py:function``.

    Raises
    ------
    DataError
        If it cannot be found, raises, or does not return named columns of ``rows`` values.
    """
    simulate = _simulator(name)
    try:
        columns = simulate(rows=rows, seed=seed, **arguments)
    except Exception as err:
        msg = f"simulator {name} must return named columns; it raised {type(err).__name__}: {err}"
        raise DataError(msg) from err
    try:
        named = {str(column): np.asarray(values) for column, values in dict(columns).items()}
    except (TypeError, ValueError) as err:
        msg = f"simulator {name} must return named columns; found {type(columns).__name__}"
        raise DataError(msg) from err
    if wrong := {column: values.shape for column, values in named.items() if values.shape != (rows,)}:
        column, shape = next(iter(wrong.items()))
        msg = f"simulator {name} must return {rows} values a column; column {column!r} has shape {shape}"
        raise DataError(msg)
    if not named:
        msg = f"simulator {name} must return named columns; it returned none"
        raise DataError(msg)
    table = pa.table({column: _arrow(name, column, values) for column, values in named.items()})
    content = hashlib.sha256()
    for column in sorted(named):
        content.update(column.encode())
        content.update(repr(named[column].tolist()).encode())
    origin = f"{name}({', '.join(f'{k}={v!r}' for k, v in ({'rows': rows, 'seed': seed} | dict(arguments)).items())})"
    return _described(table, kind="simulator", origin=origin, bytes=table.nbytes, sha256=content.hexdigest())


def append_cohort(main: Collected, cohort: Collected) -> Collected:
    """Join an outside cohort below the main table, and mark its rows.

    Raises
    ------
    DataError
        If the two do not have the same columns, of the same types.
    """
    ours, theirs = set(main.table.column_names), set(cohort.table.column_names)
    if ours != theirs:
        lacking, besides = listed(sorted(ours - theirs)) or "none", listed(sorted(theirs - ours)) or "none"
        msg = (
            f"{cohort.source.origin} must have the columns of {main.source.origin}; it lacks {lacking}, "
            f"and has besides {besides}"
        )
        raise DataError(msg)
    parts = [
        each.table.append_column(COHORT, pa.array([mark] * each.table.num_rows))
        for each, mark in ((main, False), (cohort, True))
    ]
    try:
        table = pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as err:
        here, there = main.table.schema, cohort.table.schema
        column = next(name for name in here.names if here.field(name).type != there.field(name).type)
        msg = (
            f"{cohort.source.origin} must have columns of the types of {main.source.origin}; column {column!r} "
            f"is {there.field(column).type} there, and {here.field(column).type} in {main.source.origin}: "
            "give both as text, or both as Parquet of the same types"
        )
        raise DataError(msg) from err
    return Collected(table, main.source.model_copy(update={"cohort": cohort.source, "rows": table.num_rows}))


def _described(table: pa.Table, **origin: Any) -> Collected:
    return Collected(table, Source(**origin, time=provenance.now(), rows=table.num_rows, columns=table.num_columns))


def _arrow(name: str, column: str, values: NDArray[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except pa.ArrowException as err:
        msg = (
            f"simulator {name} must return columns of numbers, times or words; column {column!r} holds "
            f"{values.dtype if values.dtype != object else type(values[0]).__name__}"
        )
        raise DataError(msg) from err


def _simulator(name: str) -> Callable[..., Any]:
    if name in SIMULATORS:
        found: Callable[..., Any] = import_module(SIMULATORS[name]).simulate
        return found
    file, _, function = name.rpartition(":")
    spec = importlib.util.spec_from_file_location(f"simulator_{Path(file).stem}", file)
    if spec is None or spec.loader is None or not Path(file).is_file():
        msg = f"simulator must be one of {listed(SIMULATORS)}, or file.py:function; found {name!r}"
        raise DataError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # data classes look their own module up
    try:
        spec.loader.exec_module(module)
        chosen: Callable[..., Any] = getattr(module, function)
        inspect.signature(chosen)
    except Exception as err:
        msg = f"simulator {name} cannot be loaded; {type(err).__name__}: {err}"
        raise DataError(msg) from err
    return chosen
