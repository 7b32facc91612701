"""The records of the jobs that a study's evaluation comes from, in the order in which they run."""

from collections.abc import Iterator, Sequence

from serpens.artefacts import Record
from serpens.layout import Run, StudyFolder


def stems(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the path of each job's record below ``records/``; records of models that are no more are not among them."""
    yield from ("collect", "clean")
    yield from (f"split/split-{number}" for number in sorted({run.split for run in runs}))
    yield from (f"train/{run.stem}" for run in runs)
    yield "evaluate"


def of_study(folder: StudyFolder, runs: Sequence[Run]) -> dict[str, Record]:
    """Return the records by stem, from collecting to evaluating."""
    return {stem: Record.read(folder.record(stem)) for stem in stems(runs)}
