"""The user's own network, under the same protocol as every other."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from serpens.data import Problem
from serpens.errors import ConfigurationError


def build(problem: Problem, *, path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return ``Net(input_shape=..., n_outputs=..., **arguments)`` of ``path = "file.py:Net"``.

    Raises
    ------
    ConfigurationError
        If the file cannot be run, has no such name, or does not return an ``nn.Module``.
    """
    file, _, name = path.rpartition(":")
    spec = importlib.util.spec_from_file_location(f"custom_{Path(file).stem}", file)
    if spec is None or spec.loader is None:
        msg = f"path of family custom must be file.py:Net; found {path!r}"
        raise ConfigurationError(msg)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        network = getattr(module, name)(input_shape=problem.input_shape, n_outputs=problem.n_outputs, **arguments)
    except Exception as err:
        msg = f"{path} must make a network of input_shape and n_outputs; it raised {type(err).__name__}: {err}"
        raise ConfigurationError(msg) from err
    if not isinstance(network, nn.Module):
        msg = f"{path} must return a torch.nn.Module; found {type(network).__name__}"
        raise ConfigurationError(msg)
    return network
