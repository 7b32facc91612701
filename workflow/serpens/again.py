"""How to make a study again: what its crate says of data, code, versions and machines."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Entity = Mapping[str, Any]


@dataclass(frozen=True)
class Library:
    """A library and the versions that jobs ran with: one, unless machines or times differ.

    Attributes
    ----------
    versions
        For each version, the jobs that had it.
    """

    name: str
    versions: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Again:
    """What must be the same for the numbers to be the same.

    Attributes
    ----------
    sources
        sha256 of each file that the data came from, by name.
    study, evaluation
        sha256 of ``study.json`` and ``evaluation.json``.
    code
        sha256 of all the code that the jobs ran.
    jobs
        Number of jobs, from the first to the last of which it took from ``start`` to ``end`` (ISO 8601, UTC).
    """

    sources: Mapping[str, str]
    study: str
    evaluation: str
    code: str
    libraries: tuple[Library, ...]
    machines: tuple[str, ...]
    jobs: int
    start: str
    end: str

    @property
    def differing(self) -> tuple[Library, ...]:
        """Libraries of which not all jobs had the same version."""
        return tuple(library for library in self.libraries if len(library.versions) > 1)


def read(crate: Entity) -> Again:
    """Read a crate (:mod:`serpens.crate`)."""
    entities: dict[str, Entity] = {entity["@id"]: entity for entity in crate["@graph"]}
    run = entities["#run"]
    jobs = [entity for id_, entity in entities.items() if id_.startswith("#job/")]
    known: dict[str, dict[str, list[str]]] = {}
    for job in jobs:
        tool = entities[job["instrument"]["@id"]]
        for library in (tool["programmingLanguage"], *_several(tool.get("softwareRequirements"))):
            found = entities[library["@id"]]
            known.setdefault(found["name"], {}).setdefault(found["version"], []).append(job["name"])
    engine = entities[entities["#organize"]["instrument"]["@id"]]
    known.setdefault(engine["name"], {}).setdefault(engine["version"], [])
    machines = [entities[job["location"]["@id"]] for job in jobs]
    return Again(
        sources={entity["name"]: entity["sha256"] for id_, entity in entities.items() if id_.startswith("#source/")},
        study=entities["../study.json"]["sha256"],
        evaluation=entities["../evaluation.json"]["sha256"],
        code=entities["Snakefile"]["version"],
        libraries=tuple(
            Library(name, {version: tuple(names) for version, names in versions.items()})
            for name, versions in sorted(known.items(), key=lambda item: (item[0] != "python", item[0]))
        ),
        machines=tuple(dict.fromkeys(f"{each['name']} ({_after(each['description'])})" for each in machines)),
        jobs=len(jobs),
        start=run["startTime"],
        end=run["endTime"],
    )


def _several(value: Any) -> Iterator[Any]:
    """Yield the values of a property, which may be none, one or a list."""
    if value is not None:
        yield from value if isinstance(value, list) else [value]


def _after(description: str) -> str:
    return description.partition(": ")[2]
