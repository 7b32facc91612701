"""``make verify``: every file held against what the job that made it recorded."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from serpens import io
from serpens.artefacts import Record
from serpens.errors import DataError


def faults(results: Path) -> Iterator[str]:
    """Yield what is not as the records say; every file is read.

    Told are files that are missing or altered, records that cannot be read, and files that were made from another
    version of a file than the one that is there now.
    """
    records: dict[Path, Record] = {}
    for path in sorted(results.rglob("records/**/*.json")):
        try:
            records[path] = Record.read(path)
        except (DataError, ValidationError) as error:
            yield f"{path}: is no record that can be read ({str(error).splitlines()[0]})"
    left = {name: output.sha256 for record in records.values() for name, output in record.outputs.items()}
    for record in records.values():
        for name, output in record.outputs.items():
            if not Path(name).is_file():
                yield f"{name}: {record.rule} made it, and it is missing"
            elif io.sha256(name) != output.sha256:
                yield f"{name}: was altered after {record.rule} made it"
        for name, sha256 in record.inputs.items():
            if left.get(name, sha256) != sha256:
                job = " ".join([record.rule, *record.wildcards.values()])
                yield f"{name}: {job} was made from another version of it"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is not as it was recorded; 1 if anything is not."""
    parser = argparse.ArgumentParser(prog="python -m serpens.verify", description="check files against their records")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of results")
    results = parser.parse_args(arguments).results
    found = list(faults(results))
    n_records = len(list(results.rglob("records/**/*.json")))
    sys.stdout.writelines(f"{line}\n" for line in found)
    if not n_records:
        found.append(f"there are no records in {results}; run make first, or name the folder with --results")
        sys.stdout.write(f"{found[-1]}\n")
    elif not found:
        sys.stdout.write(f"Every file is as it was made ({n_records} jobs).\n")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main())
