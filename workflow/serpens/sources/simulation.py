"""Data that are computed: one of our simulators by name, or the user's own function."""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serpens.errors import DataError, listed
from serpens.simulators.registry import SIMULATORS
from serpens.sources.parts import Brought, Given, Table
from serpens.streams import whole


def bring(data: Mapping[str, Any], given: Given) -> Brought:
    """Run the simulator that a study names."""
    return Brought(
        tables=(simulated(data["simulator"], rows=data["rows"], seed=data["seed"], arguments=data["arguments"]),)
    )


def simulated(name: str, *, rows: int, seed: int, arguments: Mapping[str, Any]) -> Table:
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
    return Table(whole(table), origin, table.nbytes, content.hexdigest())


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
