"""What a GPU is worth to Serpens: the same answers, the same bits, and how fast a step is.

    make benchmark-gpu      or  python benchmarks/gpu/run.py

Three parts, each on its own (`--parts`): `exactness` (digits and qubit on the GPU against the CPU, and twice on the
GPU), `resume` (killed, taken up, compared byte by byte) and `steps` (against PyTorch with a DataLoader, Lightning and
the device's bound). It ends within `--minutes`, and figures are written to `--out` as they are found. Where torch sees
no GPU it says so and measures nothing; `--device cpu --quick` runs all of its code, whose figures then mean little.
"""

import argparse
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(HERE.parent), str(HERE)]

import exactness  # noqa: E402 - they and the package lie beside
import resume  # noqa: E402
import steps  # noqa: E402

from serpens import determinism  # noqa: E402

# What a part is made of: checks by name, each of which takes the seconds that it has and returns figures. What is to be
# shown of batches that the memory does not hold would be a part of its own.
Check = Callable[[float], dict[str, Any]]
PARTS: dict[str, Callable[..., Iterator[tuple[str, Check]]]] = {
    "exactness": exactness.checks,
    "resume": resume.checks,
    "steps": steps.checks,
}
# Of the time that is left, what a part may take; what it leaves is for the next.
SHARES = {"exactness": 0.25, "resume": 0.25, "steps": 1.0}
# The checks of a part that come first matter most: each may take so many times its even share of what is left.
FIRST = 1.5


def described(device: str) -> dict[str, str]:
    """Return what the figures were measured on."""
    name = platform.processor() or platform.machine()
    if device == "cuda":
        name = torch.cuda.get_device_name()
    return {
        "device": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "none",
        "python": platform.python_version(),
        "threads": str(torch.get_num_threads()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all runs")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=HERE / "figures.json")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print(f"no GPU: torch {torch.__version__} sees none on this machine, and nothing is measured")
        return
    os.chdir(ROOT)  # the studies' files are named from there
    determinism.fix_workspace()  # the first product may be a contender's
    begun = time.monotonic()
    end = begun + 60 * arguments.minutes
    found: dict[str, Any] = {"machine": described(arguments.device), "quick": arguments.quick}
    for key, value in found["machine"].items():
        print(f"{key}: {value}", flush=True)
    failed = []
    for part in arguments.parts:
        found[part] = {}
        until = time.monotonic() + SHARES[part] * (end - time.monotonic())
        checks = list(PARTS[part](arguments.device, quick=arguments.quick))
        for number, (name, check) in enumerate(checks):
            seconds = FIRST * max(0.0, until - time.monotonic()) / (len(checks) - number)
            figures = done(check, seconds) if time.monotonic() < end else {"skipped": "no time was left"}
            found[part][name] = figures
            print(f"[{time.monotonic() - begun:5.0f} s] {part}: {name}: {json.dumps(figures)}", flush=True)
            if figures.get("holds") is False:
                failed.append(f"{part}: {name}")
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    print(steps.table(found.get("steps", {})), flush=True)
    print("\n".join(["did not hold:", *failed]) if failed else "all that was checked holds")
    sys.exit(1 if failed else 0)


def done(check: Check, seconds: float) -> dict[str, Any]:
    """Return the figures of a check, or why it has none: the others are still worth their time."""
    try:
        return check(seconds)
    except Exception as err:
        traceback.print_exc()
        return {"failed": f"{type(err).__name__}: {err}", "holds": False}


if __name__ == "__main__":
    main()
