"""What a job's code means: a digest of the syntax trees that its script reaches, definition by definition.

A script reaches the top-level definitions that it names, those reach others, and so on; what is not reached does not
count, nor do comments, docstrings, layout, and imports that are there for types alone. With the definitions come the
libraries that they import, whose versions count as code does.

Only names are followed, not values: what is loaded by a name that the configuration gives (a model family, a
simulator, a format, the user's own file) is a root of its own (:func:`roots`).
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from serpens import io
from serpens.families import FAMILIES, NETWORKS
from serpens.formats import registry as formats
from serpens.simulators.registry import SIMULATORS
from serpens.sources.paths import is_any_unseen, table_names
from serpens.sources.registry import SOURCES, STEPS, kind, steps

WORKFLOW = Path(__file__).resolve().parents[1]
PACKAGE = "serpens"

# They check, name and write down, and compute no number: what they bring to a result stands in a job's settings.
OUTSIDE = frozenset(
    f"{PACKAGE}.{module}"
    for module in (
        "config",
        "configtypes",
        "dataconfig",
        "readconfig",
        "columnconfig",
        "readconfig",
        "modelconfig",
        "errors",
        "allocation",
        "companions",
        "families",
        "ledger",
        "provenance",
        "codedigest",
        "contents",
        "devices",
        "run",
        "threads",
        "usage",
        "simulators.registry",
        "formats.registry",
        "sources.registry",
        "sources.secrets",
    )
)
# Files that a module reads at run time.
DATA = {f"{PACKAGE}.pages": "templates"}
# What is read and shown by the same person at the same time is of one version.
TOGETHER = {"index": ("index", "report")}
# Distributions that are not called as they are imported.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "PyYAML", "PIL": "pillow", "cv2": "opencv-python"}

WHOLE = "*"
"""Stands for all definitions of a module."""


class Place(NamedTuple):
    """A top-level definition of a module; a module is a dotted name of the package or the path of a file."""

    module: str
    name: str


@dataclass(frozen=True)
class Code:
    """What a job runs.

    Attributes
    ----------
    sha256
        Of all of it.
    definitions
        Digest of each definition, as ``serpens.training.fit_network``; 8 hexadecimal digits.
    libraries
        Versions of the distributions that the definitions import, and of Python.
    """

    sha256: str
    definitions: dict[str, str]
    libraries: dict[str, str]


def roots(rule: str, settings: Mapping[str, Any]) -> set[Place]:
    """Return what a rule's settings load by name: its script, model families, a simulator, the user's own code."""
    found = {Place(str(WORKFLOW / f"scripts/{script}.py"), WHOLE) for script in TOGETHER.get(rule, (rule,))}
    if rule == "train":
        found |= _family(settings["family"], settings["settings"].get("path"), "fit")
    elif rule == "evaluate":
        for name, family in settings["families"].items():
            found |= _family(family, settings["custom"].get(name), "Network")
    elif rule == "collect":
        found.add(Place(SOURCES[kind(settings["data"])], "bring"))
        found |= {Place(STEPS[step], "apply") for step in steps(settings)}
        found |= {Place(module, use) for module in _formats(settings) for use in ("open_table", "files")}
        if simulator := settings["data"]["simulator"]:
            found.add(Place(SIMULATORS[simulator], "simulate") if simulator in SIMULATORS else _definition(simulator))
    return found


def _formats(settings: Mapping[str, Any]) -> list[str]:
    """Return the modules that read a study's files, or may."""
    found = set(formats.modules(table_names(settings), settings["read"]))
    return sorted(found | {each.module for each in formats.FORMATS} if is_any_unseen(settings) else found)


def _family(family: str, path: str | None, use: str) -> set[Place]:
    if not FAMILIES[family].network:
        return {Place(FAMILIES[family].module, "Estimator")}
    own = {_definition(path)} if path else set()
    return own | {Place(FAMILIES[family].module, "build"), Place(NETWORKS, use)}


def _definition(text: str) -> Place:
    path, _, name = text.rpartition(":")
    return Place(path, name)


class Reader:
    """Reads modules once each; what it learned of unchanged files is kept between runs.

    Parameters
    ----------
    cache
        File in which the syntax of modules is kept, by path and stat; None keeps nothing.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache
        self.known: dict[str, Any] = io.read_cache(cache) if cache else {}
        self.changed = False
        self.modules: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, str | None] = {}
        self.codes: dict[frozenset[Place], Code] = {}

    def code(self, rule: str, settings: Mapping[str, Any]) -> Code:
        """Return what a job of the rule runs."""
        start = frozenset(roots(rule, settings))
        if start not in self.codes:
            self.codes[start] = self._closure(start)
        return self.codes[start]

    def save(self) -> None:
        """Keep what was read for the next run."""
        if self.cache and self.changed:
            io.write_cache(self.cache, self.known)
            self.changed = False

    def _closure(self, start: Iterable[Place]) -> Code:
        definitions: dict[str, str] = {}
        imported: set[str] = set()
        seen, todo = set[Place](), list(start)
        while todo:
            place = todo.pop()
            if place in seen or place.module in OUTSIDE:
                continue
            seen.add(place)
            module = self.module(place.module)
            if place.name == WHOLE:
                todo += [Place(place.module, name) for name in module["definitions"]]
                continue
            if place.name in module["aliases"]:  # defined elsewhere, imported here
                todo.append(Place(*module["aliases"][place.name]))
                continue
            todo.append(Place(place.module, ""))  # statements that run at the import, whatever is used
            unit = module["definitions"].get(place.name)
            if unit is None:
                continue
            definitions[_spelled(place)] = unit["digest"]
            imported |= set(unit["libraries"])
            todo += [Place(*reference) for reference in unit["places"]]
        for name, folder in DATA.items():
            if any(place.module == name for place in seen):
                definitions |= _files(WORKFLOW / PACKAGE / folder)
        libraries = {"python": ".".join(map(str, sys.version_info[:3]))}
        libraries |= {name: version for library in imported for name, version in self._distribution(library)}
        text = json.dumps([definitions, libraries], sort_keys=True)
        shown = {name: digest[:8] for name, digest in sorted(definitions.items())}
        return Code(hashlib.sha256(text.encode()).hexdigest(), shown, dict(sorted(libraries.items())))

    def _distribution(self, library: str) -> Iterator[tuple[str, str]]:
        if library not in self.versions:
            self.versions[library] = _version(DISTRIBUTIONS.get(library, library))
        if (version := self.versions[library]) is not None:
            yield DISTRIBUTIONS.get(library, library), version

    def module(self, name: str) -> dict[str, Any]:
        """Return a module's definitions, and the names that it imports from other modules of ours or the user's."""
        if name not in self.modules:
            path = _path(name)
            status = path.stat()
            stamp = [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]
            key = str(path)
            if self.known.get(key, {}).get("stamp") != stamp:
                self.known[key] = {"stamp": stamp} | _read(path)
                self.changed = True
            self.modules[name] = self.known[key]
        return self.modules[name]


def _path(module: str) -> Path:
    if module.endswith(".py"):
        return Path(module)
    path = WORKFLOW.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _spelled(place: Place) -> str:
    module = place.module
    if module.endswith(".py"):
        path = Path(module)
        module = f"{path.parent.name}/{path.name}" if path.is_relative_to(WORKFLOW) else module
    return f"{module}.{place.name}" if place.name else f"{module} (at import)"


def _files(folder: Path) -> dict[str, str]:
    return {f"{folder.name}/{path.name}": io.sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(distribution)
        return metadata.version(names[0]) if names else None


def _read(path: Path) -> dict[str, Any]:
    """Take a module apart into definitions; a name that is bound in several places is one definition."""
    tree = _Meaning().visit(ast.parse(path.read_bytes(), filename=str(path)))
    aliases = _imports(_at_import(tree.body), path)
    bound: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _binds(statement):
            bound.setdefault(name, []).append(statement)
    units = {name: _unit(statements, aliases, set(bound), path) for name, statements in bound.items()}
    ours = {name: list(target) for name, target in aliases.items() if isinstance(target, Place)}
    return {"definitions": units, "aliases": ours}


class _Meaning(ast.NodeTransformer):
    """Leave out what has no meaning when the code is imported: docstrings, imports for types, the main program."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if {"TYPE_CHECKING", "__name__"} & {each.id for each in ast.walk(node.test) if isinstance(each, ast.Name)}:
            return [self.visit(statement) for statement in node.orelse]
        return self.generic_visit(node)


def _at_import(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the statements that run when the module is imported, also those inside try, if and with."""
    for node in nodes:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            yield from _at_import(ast.iter_child_nodes(node))


def _binds(statement: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines; ``""`` for one that only acts."""
    match statement:
        case ast.Import() | ast.ImportFrom():
            return []
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Assign() | ast.AnnAssign():
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            plain = all(isinstance(target, ast.Name | ast.Tuple) for target in targets)
            return [name for name in names if name != "__all__"] if plain else [""]
        case _:
            return [""]


def _unit(statements: list[ast.stmt], aliases: dict[str, Place | str], defined: set[str], path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    places: set[Place] = set()
    libraries: set[str] = set()
    own = str(path) if not path.is_relative_to(WORKFLOW / PACKAGE) else _dotted(path)
    for statement in statements:
        digest.update(ast.dump(statement).encode())
        known = aliases | _imports((node for node in ast.walk(statement) if node is not statement), path)
        for base, attribute in _globals(statement):
            target = known.get(base)
            if isinstance(target, str):
                libraries.add(target)
            elif target is not None:
                places.add(Place(target.module, attribute) if target.name == WHOLE and attribute else target)
            elif base in defined:
                places.add(Place(own, base))
        # imported for its effect inside a function
        libraries |= {target for name, target in known.items() if name not in aliases and isinstance(target, str)}
    return {"digest": digest.hexdigest(), "places": sorted(map(list, places)), "libraries": sorted(libraries)}


def _dotted(path: Path) -> str:
    parts = path.relative_to(WORKFLOW).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(nodes: Iterable[ast.AST], path: Path) -> dict[str, Place | str]:
    """Return what names stand for after imports: places of ours or the user's, or a library."""
    found: dict[str, Place | str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                if (target := _target(alias.name, path)) is not None:
                    found[alias.asname or top] = Place(target, WHOLE)
                elif top not in sys.stdlib_module_names:
                    found[alias.asname or top] = top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            top = node.module.partition(".")[0]
            for alias in node.names:
                name = alias.asname or alias.name
                if (inner := _target(f"{node.module}.{alias.name}", path)) is not None:
                    found[name] = Place(inner, WHOLE)
                elif (outer := _target(node.module, path)) is not None:
                    found[name] = Place(outer, alias.name)
                elif top not in sys.stdlib_module_names:
                    found[name] = top
    return found


def _target(module: str, importer: Path) -> str | None:
    """Return the module of the package, or the file beside the user's own, that an import means."""
    if module.partition(".")[0] == PACKAGE:
        return module if _path(module).is_file() else None
    if importer.is_relative_to(WORKFLOW):
        return None
    for folder in (importer.parent, Path()):
        file = folder.joinpath(*module.split(".")).with_suffix(".py")
        if file.is_file():
            return str(file)
    return None


def _globals(node: ast.AST, local: frozenset[str] = frozenset()) -> Iterator[tuple[str, str | None]]:
    """Yield the module-level names that code reads, each with the attribute that is taken of it, or None."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            arguments = node.args
            outside: list[ast.AST] = [*arguments.defaults, *filter(None, arguments.kw_defaults)]
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            named = [argument for argument in every if argument is not None]
            outside += [argument.annotation for argument in named if argument.annotation is not None]
            body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else [*node.body]
            if not isinstance(node, ast.Lambda):
                outside += [*node.decorator_list, *([node.returns] if node.returns else [])]
            for part in outside:
                yield from _globals(part, local)
            inner = {argument.arg for argument in named} | set(_bound_here(body))
            inner -= {
                name for part in body for each in ast.walk(part) if isinstance(each, ast.Global) for name in each.names
            }
            for part in body:
                yield from _globals(part, local | inner)
        case ast.Attribute(value=ast.Name(id=base)) if base not in local:
            yield base, node.attr
        case ast.Name(id=base, ctx=ast.Load()) if base not in local:
            yield base, None
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _globals(child, local)


def _bound_here(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names that a function binds for itself; not those of functions and classes inside it."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.ExceptHandler) and node.name:
                yield node.name
            yield from _bound_here(ast.iter_child_nodes(node))
