"""What runs again after an edit: Serpens, plain Snakemake and DVC, on the same studies, jobs and edits.

    make benchmark-reruns      or  .venv/bin/python benchmarks/reruns/compare.py --dvc .venv-dvc/bin/dvc

The edits are those of tests/workflow/edits.py, each made in a copy of a finished run. Needless is a job that ran and
whose output could not have changed; missed is one whose output is now wrong or absent. A job that merely follows
another, and finds inputs of the same bytes, counts for neither. Figures go to benchmarks/reruns.json and, as a table,
into benchmarks/README.md.
"""

import argparse
import json
import platform
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from contenders import Dvc, Plain, Serpens  # noqa: E402 - beside this file
from tests.workflow.edits import EDITS, Edit  # noqa: E402 - the same edits as the tests'
from tests.workflow.workspace import Workspace  # noqa: E402

CONTENDERS = (Serpens, Plain, Dvc)
TABLE = re.compile(r"(<!-- reruns -->\n).*(<!-- end of reruns -->)", re.DOTALL)


def after(edit: Edit, base: Workspace, folder: Path) -> dict:
    """Make an edit in a copy of a finished run, run, and return what was needless and what missed."""
    space = base.copied(folder)
    if edit.cut_off:
        space.ran(cut_off=False)  # what is known of files by their inode and times is then known of the copy
    edit.make(space)
    ran = space.ran(cut_off=edit.cut_off)
    must, direct, may = edit.jobs(space), edit.direct(space), edit.may(space)
    return {
        "must": len(must),
        "ran": len(ran),
        "needless": sorted(ran - must - may),
        "missed": sorted(direct - ran),
    }


def compared(contender: type[Workspace], names: list[str], folder: Path) -> dict[str, dict]:
    """Return what each edit made a contender run."""
    base = contender.create(folder / contender.name)
    base.first()
    found = {}
    for name in names:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=folder) as each:
            found[name] = after(EDITS[name], base, Path(each) / "space")
        seconds = time.perf_counter() - start
        said = found[name]
        print(
            f"{contender.name:<9} {name:<52} must {said['must']:>2}  ran {said['ran']:>2}"
            f"  needless {len(said['needless']):>2}  missed {len(said['missed']):>2}  ({seconds:.0f} s)",
            flush=True,
        )
    return found


def rows(found: dict[str, dict[str, dict]]) -> list[str]:
    """Return the table: for each edit the jobs that must run, and what each contender did."""
    contenders = list(found)
    lines = [
        "| edit | must run | " + " | ".join(f"{name}: needless | missed" for name in contenders) + " |",
        "|---" * (2 + 2 * len(contenders)) + "|",
    ]
    for name in EDITS:
        counts = [f"{len(found[each][name]['needless'])} | {len(found[each][name]['missed'])}" for each in contenders]
        lines.append(f"| {name} | {found[contenders[0]][name]['must']} | " + " | ".join(counts) + " |")
    sums = [
        f"**{sum(len(said['needless']) for said in found[each].values())}** | "
        f"**{sum(len(said['missed']) for said in found[each].values())}**"
        for each in contenders
    ]
    total = sum(said["must"] for said in found[contenders[0]].values())
    return [*lines, f"| **sum** | {total} | " + " | ".join(sums) + " |"]


def main() -> None:
    """Compare all on all edits, or some on some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dvc", type=Path, help="DVC's program; without it DVC's last figures stand")
    parser.add_argument("--only", help="edits that fit this pattern; the last figures of the others stand")
    parser.add_argument(
        "--contenders", nargs="+", default=[each.name for each in CONTENDERS], help="the others' figures stand"
    )
    arguments = parser.parse_args()
    kept = ROOT / "benchmarks/reruns.json"
    found: dict[str, dict[str, dict]] = json.loads(kept.read_text())["edits"] if kept.exists() else {}
    chosen = [each for each in CONTENDERS if each.name in arguments.contenders and (each is not Dvc or arguments.dvc)]
    if arguments.dvc:
        Dvc.program = arguments.dvc.resolve()
    names = [name for name in EDITS if re.search(arguments.only or "", name)]
    with tempfile.TemporaryDirectory() as folder:
        for each in chosen:
            found[each.name] = found.get(each.name, {}) | compared(each, names, Path(folder))
    table = rows(found)
    print("\n".join(table))
    machine = f"{platform.system()} {platform.machine()}"
    kept.write_text(json.dumps({"machine": machine, "edits": found}, indent=1) + "\n")
    page = ROOT / "benchmarks/README.md"
    page.write_text(TABLE.sub(lambda m: m[1] + "\n".join(table) + "\n" + m[2], page.read_text()))


if __name__ == "__main__":
    main()
