"""Read ``config.yaml``: every fault at once, each with its line and in plain words."""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from serpens import planning
from serpens.config import Project
from serpens.configtypes import TRUTH, choice, shown
from serpens.errors import ConfigurationError
from serpens.modelconfig import FAMILY_SECTIONS
from serpens.planning import Fault, KeyPath

MERGED = ("training", "columns", "resources")
"""Sections of `defaults` that a study adds to; any other key of a study replaces the default."""

KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "invalid_key": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


DEFAULT_FILE = "config.yaml"


def load(files: Sequence[Path], overrides: Mapping[str, Any], embedded: Mapping[str, Any] | None = None) -> Project:
    """Read the configuration as Snakemake was told to: a file given takes the place of ``config.yaml``.

    Parameters
    ----------
    files
        What ``--configfile`` gave.
    overrides
        What ``--config`` gave.
    embedded
        The configuration that another workflow gives, when Serpens is its module; no file is read then.

    Raises
    ------
    ConfigurationError
        As :func:`load_project`, or if more than one file is given.
    """
    if embedded is not None:
        return load_project(None, embedded)
    if len(files) > 1:
        raise ConfigurationError(f"one --configfile must be given, found {len(files)}: put the studies into one file")
    if not files and not Path(DEFAULT_FILE).is_file():
        raise ConfigurationError(
            f"there is no {DEFAULT_FILE} in {Path.cwd()}: write one, or name yours with --configfile"
        )
    return load_project(files[0] if files else DEFAULT_FILE, overrides)


def load_project(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> Project:
    """Read and check a whole configuration; paths in it are relative to the working directory.

    Parameters
    ----------
    path
        The YAML file; None when all is in ``overrides``.
    overrides
        What ``snakemake --config`` gave, laid over the file; nested mappings are merged.

    Raises
    ------
    ConfigurationError
        One line for each fault: ``config.yaml:12: studies.iris.repeats: must be at least 1, found 0``. Keys
        and types are checked everywhere, files and their columns for the studies that are made.
    """
    source = _read(Path(path), overrides or {}) if path is not None else _given(overrides or {})
    tree = _resolved(source.tree)
    project, found = _examine(tree)
    if project is not None:
        for name, study in project.selected.items():
            found += [(_path(tree, ("studies", name, *key)), text) for key, text in planning.faults(study)]
    lines = sorted({source.place(fault) for fault in source.faults + found})
    if lines or project is None:
        raise ConfigurationError("\n".join(text for _, text in lines))
    return project


@dataclass
class _Source:
    """A configuration as it was written.

    Attributes
    ----------
    file
        Its path, for messages.
    tree
        What it says, with what the command line says laid over.
    lines
        Line of each key and list item, counted from 1; 0 is the command line.
    faults
        Keys that were given twice, and the like.
    """

    file: str
    tree: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def place(self, fault: Fault) -> tuple[int, str]:
        """Return the line of a fault, and its message with line and key before it."""
        path, text = fault
        line = 1
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                line = self.lines[path[:end]]
                break
            if path[0] == "studies" and ("defaults", *path[2:end]) in self.lines and end > 2:
                path = ("defaults", *path[2:])
                line = self.lines[path[: end - 1]]
                break
        where = f"{self.file}:{line}" if line else "command line"
        return line, ": ".join(filter(None, (where, _spelled(path), text)))


def _spelled(path: KeyPath) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _given(tree: Mapping[str, Any]) -> _Source:
    """Take a whole configuration as another workflow gives it."""
    source = _Source("config")
    _lay_over(source.tree, tree, (), source.lines)
    return source


def _read(path: Path, overrides: Mapping[str, Any]) -> _Source:
    source = _Source(str(path))
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8-sig"))
        root = loader.get_single_node()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8: {error.reason} at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path}:{line}: is not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: is not valid YAML: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(f"{path}:1: must hold a mapping with the key studies")
    source.tree = _built(root, (), source, loader)
    _lay_over(source.tree, overrides, (), source.lines)
    return source


def _built(node: yaml.Node, path: KeyPath, source: _Source, loader: yaml.SafeLoader) -> Any:
    """Turn a YAML node into plain values; note the line of each key."""
    if isinstance(node, yaml.SequenceNode):
        items = []
        for place, item in enumerate(node.value):
            source.lines[(*path, place)] = item.start_mark.line + 1
            items.append(_built(item, (*path, place), source, loader))
        return items
    if isinstance(node, yaml.MappingNode):
        mapping: dict[Any, Any] = {}
        for key_node, value in node.value:
            # no key is a truth value: on: is the word
            truth = key_node.tag == "tag:yaml.org,2002:bool"
            key = key_node.value if truth else _scalar(key_node, path, source, loader)
            here = (*path, key)
            if key in mapping:
                source.faults.append((here, f"is given twice, first in line {source.lines[here]}; keep one"))
            source.lines[here] = key_node.start_mark.line + 1
            mapping[key] = _built(value, here, source, loader)
        return mapping
    return _scalar(node, path, source, loader)


def _scalar(node: yaml.Node, path: KeyPath, source: _Source, loader: yaml.SafeLoader) -> Any:
    """Read a word as YAML does, but keep dates, times such as 12:30 and numbers such as 007 as text."""
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind in ("null", "bool", "float") or (kind == "int" and re.fullmatch(r"[-+]?(0|[1-9][\d_]*)", node.value)):
        return loader.construct_object(node)
    if kind in ("str", "int", "timestamp"):
        return node.value
    line = node.start_mark.line + 1
    if kind == "merge":
        raise ConfigurationError(f"{source.file}:{line}: << is not known here; use defaults for shared keys")
    raise ConfigurationError(f"{source.file}:{line}: {node.tag} is not known here; write text or a number")


def _lay_over(tree: dict[str, Any], overrides: Mapping[str, Any], path: KeyPath, lines: dict[KeyPath, int]) -> None:
    """Lay the command line's values over the file's; what only repeats the file keeps its line."""
    for key, value in overrides.items():
        here = (*path, key)
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _lay_over(tree[key], value, here, lines)
        elif key not in tree or tree[key] != value:
            for below in [known for known in lines if known[: len(here)] == here]:
                del lines[below]
            lines[here] = 0
            tree[key] = deepcopy(value)


def _resolved(tree: dict[str, Any]) -> dict[str, Any]:
    """Lay each study over the defaults."""
    defaults, studies = tree.get("defaults") or {}, tree.get("studies")
    tree = tree | {"defaults": defaults}
    if not isinstance(defaults, dict) or not isinstance(studies, dict):
        return tree

    def over_defaults(study: object) -> object:
        if not isinstance(study, dict):
            return study
        merged = {
            key: defaults[key] | study[key]
            for key in MERGED
            if isinstance(defaults.get(key), dict) and isinstance(study.get(key), dict)
        }
        return defaults | study | merged

    return tree | {"studies": {name: over_defaults(study) for name, study in studies.items()}}


def _examine(tree: dict[str, Any]) -> tuple[Project | None, list[Fault]]:
    """Validate; on faults take the faulty keys away and look again, for what they kept from being checked."""
    tree, faults, removed = deepcopy(tree), list[Fault](), set[KeyPath]()
    while True:
        try:
            return Project.model_validate(tree), faults
        except ValidationError as error:
            errors = error.errors(include_url=False)
        paths = [_path(tree, details["loc"]) for details in errors]
        removed |= {meant for path, details in zip(paths, errors, strict=True) for meant in _meant(path, details)}
        faults += [
            (path, _in_words(details))
            for path, details in zip(paths, errors, strict=True)
            if not _follows(removed, path, details)
        ]
        for path in paths:
            while path and not _remove(tree, path):
                path = path[:-1]
            if not path:
                return None, faults
            removed.add(path)


def _path(tree: Any, location: tuple[int | str, ...]) -> KeyPath:
    """Turn pydantic's location into keys of the file, which know no union tags and no written-out names."""
    path: list[str | int] = []
    whole = tree
    for place, step in enumerate(location):
        inside = isinstance(tree, dict) and step in tree
        if inside or (isinstance(tree, list) and isinstance(step, int) and step < len(tree)):
            tree = tree[step]
            path.append(step)
        elif place == len(location) - 1 and isinstance(step, int) and not isinstance(tree, list):
            # one value was given in place of a list of one
            return _path(whole, location[:-1])
        elif step != "[key]" and place == len(location) - 1:
            path.append(step)
    return tuple(path)


def _remove(tree: Any, path: KeyPath) -> bool:
    """Take a key away; False when it is none, and so the section that it belongs to must go."""
    for step in path[:-1]:
        if not isinstance(tree, dict) or step not in tree:
            return False
        tree = tree[step]
    return isinstance(tree, dict) and tree.pop(path[-1], path) is not path


def _meant(path: KeyPath, details: ErrorDetails) -> list[KeyPath]:
    """Return the key that a misspelt one stands for: it is there, so nobody should be asked for it."""
    if details["type"] != "extra_forbidden":
        return []
    keys = _section(details["loc"][:-1]).model_fields
    return [(*path[:-1], key) for key in get_close_matches(str(path[-1]), keys, n=1)]


def _follows(removed: set[KeyPath], path: KeyPath, details: ErrorDetails) -> bool:
    """Tell whether a fault is there only because of other faults."""
    if details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]:
        return True  # pydantic does not count faulty items
    involved = {path}
    if details["type"] == "contradiction":
        involved |= {(*path[:-1], key) for key in details["ctx"]["keys"]}
    return any(gone in involved or gone[:-1] in involved for gone in removed)


def _section(location: tuple[int | str, ...]) -> type[BaseModel]:
    """Find the section at pydantic's location."""
    here: Any = Project  # a section, or an annotation that leads to one
    for step in location:
        if isinstance(here, type) and issubclass(here, BaseModel):
            here = here.model_fields[str(step)].annotation
            here = get_args(here)[0] if NoneType in get_args(here) else here
        elif get_origin(here) in (dict, tuple):
            here = get_args(here)[get_origin(here) is dict]
        else:
            here = FAMILY_SECTIONS[str(step)]
    section: type[BaseModel] = here
    return section


def _in_words(details: ErrorDetails) -> str:
    """Say in the user's words what pydantic found."""
    kind, found, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        keys = _section(details["loc"][:-1]).model_fields
        return f"unknown key{choice(details['loc'][-1], keys)}"
    if kind == "contradiction":
        return str(context["text"])
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "is required"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        return f"unknown value {shown(found)}{choice(found, words)}"
    return f"must be {_wanted(details)}, found {shown(found)}{_hint(kind, found)}"


PATTERNS = {
    "sha256": "64 hexadecimal digits in lower case",
    "revision": "a commit, 40 hexadecimal digits in lower case, since a branch or a tag may be another tomorrow",
    "repository": "the owner and the name of a data set, as owner/name",
}


def _wanted(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in KINDS:
        return KINDS[kind]
    if kind in BOUNDS:
        words, key = BOUNDS[kind]
        return f"{words} {context[key]:g}"
    if kind == "finite_number":
        return "a finite number"
    for key, words in PATTERNS.items():
        if kind == "string_pattern_mismatch" and key in details["loc"]:
            return words
    if kind == "string_pattern_mismatch":
        return "letters, digits, - and _ only, the first a letter or digit (it becomes a path)"
    if kind == "string_too_short":
        return "text that is not empty"
    if kind in ("too_short", "too_long"):
        least_or_most, key = ("at least", "min_length") if kind == "too_short" else ("at most", "max_length")
        return f"{least_or_most} {context[key]} long"
    raise AssertionError(f"no words for {kind}: {details['msg']}")


def _hint(kind: str, found: object) -> str:
    if kind == "string_type" and isinstance(found, bool):
        return f"; {TRUTH}"
    if kind == "string_type" and isinstance(found, int | float):
        return f"; put it in quotes: '{found}'"
    if kind == "tuple_type" and isinstance(found, str):
        return f"; write [{found}]"
    if kind in ("int_type", "float_type") and isinstance(found, str):
        try:
            plain = f"{Decimal(found):f}"
        except InvalidOperation:
            return ""
        scientific = re.sub(r"(\d+)[eE]-0*(\d+)", r" or \1.0e-\2", found)
        return f", which is text; write {plain}{scientific if scientific != found else ''}"
    return ""
