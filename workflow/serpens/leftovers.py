"""``make checkpoints``: what trainings that were stopped left behind, and which of it nobody goes on from."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from serpens import configfile, locks, provenance
from serpens.checkpoints import KEY_DIGITS, PATTERN, Checkpoints
from serpens.codedigest import Reader
from serpens.errors import SerpensError
from serpens.jobs import Jobs
from serpens.layout import CHECKPOINTS, CODE_CACHE, StudyFolder


@dataclass(frozen=True)
class Kept:
    """What a training left behind, or keeps while it runs.

    Attributes
    ----------
    folder
        The folder of one key.
    run
        ``split-{k}-repeat-{r}``.
    bytes
        Size of all of its checkpoints.
    age_seconds
        Since the newest of them was written; None if there is none.
    owner
        The living process that holds the training's lock.
    wanted
        Whether a training of the present configuration, code and data would go on from it.
    """

    folder: Path
    study: str
    model: str
    run: str
    key: str
    bytes: int
    age_seconds: float | None
    owner: locks.Owner | None
    wanted: bool

    def __str__(self) -> str:
        age = "no checkpoint" if self.age_seconds is None else f"{self.age_seconds / 3600:.1f} h old"
        whose = "the next run goes on from it" if self.wanted else "orphaned: no training goes on from it"
        if self.owner:
            whose = f"in use by {self.owner}"
        return f"{self.folder}  {self.bytes / 1e6:.1f} MB  {age}  {whose}"


def list_folders(jobs: Jobs, reader: Reader) -> list[Kept]:
    """List the checkpoint folders below a project's results, in order."""
    keys = set(_keys(jobs, reader))
    # all studies of the folder, also those that the configuration no longer names
    root = jobs.checkpoints("any").parents[1]
    found = []
    for folder in sorted(root.glob(f"*/{CHECKPOINTS}/*/split-*-repeat-*/*/")):
        files = [path.stat() for path in folder.glob(PATTERN)]
        study, _, model, run, key = folder.relative_to(root).parts
        found.append(
            Kept(
                folder,
                study,
                model,
                run,
                key,
                bytes=sum(file.st_size for file in files),
                age_seconds=time.time() - max(file.st_mtime for file in files) if files else None,
                owner=locks.holder(folder.parent),
                wanted=f"{study}/{model}/{run}/{key}" in keys,
            )
        )
    return found


def remove(kept: Kept) -> bool:
    """Remove a folder of checkpoints unless a living process holds its lock; return whether it is gone."""
    with Checkpoints(kept.folder.parent, kept.key) as checkpoints:
        return checkpoints.open_if_free()


def _keys(jobs: Jobs, reader: Reader) -> Iterator[str]:
    """Yield where the trainings of now would look, as far as their rows are dealt out."""
    for study in jobs.project.studies:
        folder = StudyFolder(Path(jobs.project.results, study))
        for job in jobs.trainings(study):
            run = job.run
            parts = [folder.examples(run.split, part) for part in ("train", "validation")]
            settings = json.loads(json.dumps(jobs.settings(job)))
            made_from = provenance.origin(
                "train", reader.code("train", settings), settings, [*map(str, parts), str(folder.schema(run.split))]
            )
            yield f"{study}/{run.stem}/{made_from.key[:KEY_DIGITS]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """List checkpoints, or remove the orphaned ones."""
    parser = argparse.ArgumentParser(prog="python -m serpens.leftovers", description=main.__doc__)
    parser.add_argument("command", choices=["list", "remove"], nargs="?", default="list")
    parser.add_argument("--all", action="store_true", help="remove also what the next run would go on from")
    parser.add_argument("--configfile", type=Path, action="append", default=[], help="in place of config.yaml")
    given = parser.parse_args(arguments)
    try:
        project = configfile.load(given.configfile, {})
    except SerpensError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found = list_folders(Jobs(project), Reader(CODE_CACHE))
    for kept in found:
        gone = given.command == "remove" and (given.all or not kept.wanted) and remove(kept)
        sys.stdout.write(f"{'removed  ' if gone else ''}{kept}\n")
    if not found:
        sys.stdout.write(f"no checkpoints below {project.scratch or project.results}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
