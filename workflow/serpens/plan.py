"""What must run again, and why: the records of past jobs held against the data, code and settings of now.

A job is up to date when its record says that it was made from the same code, settings, libraries and data, and its
outputs are as it left them. No time of a file decides anything, so results that were copied, or lie in another folder,
are judged alike.

Cleaning cuts off: while it must run, nobody knows whether what follows must. Such a study waits; once its rows are
cleaned it is examined anew, and what depends on the same rows as before stays.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from serpens import codedigest
from serpens.contents import Contents, stamp
from serpens.jobs import INDEX, Job, Jobs
from serpens.planning import source_files

Kind = Literal["never made", "forced", "setting", "code", "library", "output", "data", "follows"]

# A record without these is none.
NEEDED = frozenset({"settings", "code", "libraries", "inputs", "outputs", "seconds", "peak_memory_mb"})


class Reason(NamedTuple):
    """Why a job must run: what kind of change, of what, and how it changed."""

    kind: Kind
    what: str
    change: str = ""


class Took(NamedTuple):
    """What a job took when it last ran.

    Attributes
    ----------
    peak_memory_mb
        Largest resident memory of its process, in 10^6 bytes.
    device
        Where a model was trained: ``cpu`` or ``cuda``; ``cpu`` for every other job.
    """

    seconds: float
    peak_memory_mb: float
    device: str


class Plan:
    """The state of all jobs of a project.

    Parameters
    ----------
    jobs
        The jobs that there are now.
    reader
        Reads the code of now.
    contents
        Reads the data of now.
    forced
        Says of a job whether it was told to run in any case.

    Attributes
    ----------
    stale
        The jobs that must run, with their reasons; what follows the cleaning of a waiting study is an upper bound.
    waiting
        Studies whose cleaning must run before it is known what must follow.
    last
        What each job took last.
    """

    def __init__(
        self,
        jobs: Jobs,
        reader: codedigest.Reader,
        contents: Contents,
        forced: Callable[[Job], bool] = lambda _: False,
    ) -> None:
        self.jobs, self.reader, self.contents, self.forced = jobs, reader, contents, forced
        self.stale: dict[Job, list[Reason]] = {}
        self.waiting: set[str] = set()
        self.last: dict[Job, Took] = {}
        self._made: dict[str, str] = {}
        self._first: dict[Job, Any] = {}
        for study in jobs.project.selected:
            self._examine(study)
        self._examine_index()

    def refresh(self) -> None:
        """Examine anew the studies that waited for their cleaning and have it."""
        ready = [study for study in self.waiting if self._has_run(Job("clean", study))]
        for study in ready:
            self._examine(study)
            # what changed again while it was cleaned is for the next run to see
            self.waiting.discard(study)
        if ready:
            self._examine_index()

    def save(self) -> None:
        """Keep digests of unchanged code and data for the next plan."""
        self.reader.save()
        self.contents.save()

    def _has_run(self, job: Job) -> bool:
        return _stamp(self.jobs.record(job)) not in (None, self._first.get(job))

    def _examine(self, study: str) -> None:
        jobs = list(self.jobs.of_study(study))
        cleaning = Job("clean", study)
        records = {job: self._record(job) for job in jobs}
        for job in jobs:
            self._judge(job, records[job])
        if cleaning in self.stale and any(records[job] for job in jobs if job.rule in ("train", "evaluate", "report")):
            self.waiting.add(study)

    def _examine_index(self) -> None:
        if set(self.jobs.project.selected) == set(self.jobs.project.studies):
            self._judge(INDEX, self._record(INDEX))

    def _record(self, job: Job) -> dict[str, Any] | None:
        path = self.jobs.record(job)
        self._first.setdefault(job, _stamp(path))
        try:
            found: dict[str, Any] = json.loads(Path(path).read_bytes())
        except (OSError, ValueError):
            return None
        return found if found.keys() >= NEEDED else None

    def _judge(self, job: Job, record: dict[str, Any] | None) -> None:
        self.stale.pop(job, None)
        if record is not None:
            device = record.get("device") or "cpu"
            self.last[job] = Took(record["seconds"], record["peak_memory_mb"], device)
        reasons = list(self._reasons(job, record))
        if record is not None:
            self._made |= {path: output["sha256"] for path, output in record["outputs"].items()}
        if reasons:
            self.stale[job] = reasons

    def _reasons(self, job: Job, record: dict[str, Any] | None) -> Iterator[Reason]:
        if record is None:
            yield Reason("never made", "there is no record of it")
            return
        if self.forced(job) and not self._has_run(job):
            yield Reason("forced", "it was told to run")
        current = self.jobs.settings(job)
        if record["settings"] != (plain := json.loads(json.dumps(current))):
            yield from _settings_changed(record["settings"], plain)
        code = self.reader.code(job.rule, current)
        if record["code"]["sha256"] != code.sha256:
            yield from _code_changed(record, code)
        yield from self._outputs_changed(record["outputs"])
        followed = [before for before in self.jobs.before(job) if before in self.stale]
        if followed:
            more = f" and {len(followed) - 1} more" if len(followed) > 1 else ""
            yield Reason("follows", f"{followed[0]}{more}")
        else:
            yield from self._inputs_changed(record["inputs"])
            yield from self._inputs_appeared(job, record["inputs"])

    def _outputs_changed(self, outputs: Mapping[str, Any]) -> Iterator[Reason]:
        for path, output in outputs.items():
            try:
                if self.contents.sha256(path) != output["sha256"]:
                    yield Reason("output", path, "altered by hand, or damaged")
            except FileNotFoundError:
                yield Reason("output", path, "missing")

    def _inputs_changed(self, inputs: Mapping[str, str]) -> Iterator[Reason]:
        for path, sha256 in inputs.items():
            try:
                found = self._made.get(path) or self.contents.sha256(path)
            except FileNotFoundError:
                yield Reason("data", path, "missing")
                continue
            if found != sha256:
                yield Reason("data", path, f"sha256 {sha256[:8]} -> {found[:8]}")

    def _inputs_appeared(self, job: Job, inputs: Mapping[str, str]) -> Iterator[Reason]:
        """Yield what lies in a folder now and was not collected from there."""
        if job.rule == "collect":
            for path in source_files(self.jobs.project.studies[job.study]):
                if str(Path(path)) not in inputs:
                    yield Reason("data", path, "new")


def _stamp(path: str) -> list[int] | None:
    try:
        return stamp(path)
    except FileNotFoundError:
        return None


def _settings_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Reason]:
    old, new = dict(flat(before)), dict(flat(now))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key) or (key in old) != (key in new):
            yield Reason("setting", key, f"{_shown(old, key)} -> {_shown(new, key)}")


def flat(tree: Mapping[str, Any] | list[Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested settings under dotted keys; a list of plain values is a leaf."""
    for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        name = f"{above}.{key}" if above else str(key)
        nested = isinstance(value, Mapping) or (
            isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value)
        )
        if nested and value:
            yield from flat(value, name)
        else:
            yield name, value


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "nothing"


def _code_changed(record: Mapping[str, Any], code: codedigest.Code) -> Iterator[Reason]:
    yield from _differences("code", record["code"]["definitions"], code.definitions, show=False)
    yield from _differences("library", record["libraries"], code.libraries, show=True)


def _differences(kind: Kind, old: Mapping[str, str], new: Mapping[str, str], *, show: bool) -> Iterator[Reason]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield Reason(kind, name, "no longer used")
        elif name not in old:
            yield Reason(kind, name, "used anew")
        elif old[name] != new[name]:
            yield Reason(kind, name, f"{old[name]} -> {new[name]}" if show else "changed")


def in_order(jobs: Jobs) -> Iterable[Job]:
    """Return the jobs of the studies that are made, each after those that it follows."""
    every = [job for study in jobs.project.selected for job in jobs.of_study(study)]
    return [*every, INDEX] if set(jobs.project.selected) == set(jobs.project.studies) else every
