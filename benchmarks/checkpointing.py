"""What checkpoints cost: a training with them against one without, and the time of one save.

    make benchmark          or  .venv/bin/python benchmarks/checkpointing.py --seconds 5 --rounds 15

Both train the same MLP on the same rows, and take turns, first one first and then the other. The one with checkpoints
is saved every 2 s, 30 times as often as by default, so that short trainings show the cost, in many rounds; what it is
at the default interval follows. CPU time is given beside wall time: other work on the machine moves the first less.
Figures go to benchmarks/checkpointing.json.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "workflow"), str(HERE)]

import training as benchmark  # noqa: E402 - the benchmark of training, beside this one

from serpens import training  # noqa: E402 - the package lies beside this folder
from serpens.checkpoints import Checkpoints  # noqa: E402
from serpens.config import Resources  # noqa: E402
from serpens.data import Examples, Problem  # noqa: E402
from serpens.models import mlp  # noqa: E402
from serpens.optimizers import Flat, Optimizer  # noqa: E402
from serpens.trainingstate import Best, TrainingState  # noqa: E402

DEFAULT = Resources().checkpoint_seconds
INTERVAL = 2.0
ROWS, BATCH_SIZE = 100_000, 256
SAVED = {"28-256-256-256-1": (256, 3), "28-2048 (4 times)-1": (2048, 4)}


def fit(epochs: int, checkpoints: Checkpoints | None) -> tuple[float, float]:
    """Return the seconds of a training by the wall's clock and by the CPU's."""
    X, y = benchmark.data(ROWS)
    start = time.perf_counter(), time.process_time()
    training.fit_network(
        mlp.build,
        Problem("regression", (28,), 1),
        {"width": 256, "n_blocks": 3, "activation": "relu", "dropout": 0.0},
        Examples(X, y),
        Examples(X[:1000], y[:1000]),
        training={
            "max_epochs": epochs,
            "batch_size": BATCH_SIZE,
            "learning_rate": 1e-4,
            "patience": epochs,
            "optimizer": "adamw",
            "schedule": "constant",
            "weight_decay": 0.01,
            "momentum": 0.9,
            "class_weights": "none",
            "precision": "auto",
            "compile": False,
            "deterministic": True,
        },
        seed=0,
        checkpoints=checkpoints,
    )
    return time.perf_counter() - start[0], time.process_time() - start[1]


def with_checkpoints(epochs: int, folder: Path) -> tuple[float, float]:
    """Return the seconds of a training that is saved every 2 s."""
    with Checkpoints(folder / "run", "key", every_seconds=INTERVAL) as checkpoints:
        checkpoints.open()
        return fit(epochs, checkpoints)


def saves(width: int, n_blocks: int, folder: Path, times: int = 15) -> dict[str, float]:
    """Measure saving and reading the state of an MLP that has had a best epoch."""
    problem = Problem("regression", (28,), 1)
    network: nn.Module = mlp.build(problem, width=width, n_blocks=n_blocks, activation="relu", dropout=0.0)
    optimizer = Optimizer("adamw", Flat(network), weight_decay=0.01, momentum=0.9)
    state = TrainingState(network, optimizer, torch.Generator(), 400)
    state.best = Best(1, 1.0, {name: tensor.clone() for name, tensor in network.state_dict().items()})
    seconds = []
    with Checkpoints(folder / f"saves-{width}", "key", every_seconds=0) as checkpoints:
        checkpoints.open()
        for _ in range(times):
            state.batch += 1
            state.shuffle(10)
            start = time.perf_counter()
            checkpoints.save(state.kept())
            seconds.append(time.perf_counter() - start)
        size = max(path.stat().st_size for path in checkpoints.folder.iterdir())
        start = time.perf_counter()
        checkpoints.latest()
        reading = time.perf_counter() - start
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "megabytes": round(size / 1e6, 2),
        "save_seconds": round(statistics.median(seconds), 4),
        "slowest_save_seconds": round(max(seconds), 4),
        "read_seconds": round(reading, 4),
    }


def asking(folder: Path, times: int = 1_000_000) -> float:
    """Return the microseconds of one question whether a checkpoint is due."""
    with Checkpoints(folder / "asked", "key", every_seconds=INTERVAL) as checkpoints:
        checkpoints.open()
        start = time.perf_counter()
        for _ in range(times):
            checkpoints.due()
        return (time.perf_counter() - start) / times * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of CPU for one training")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as the workflow's rule
    fit(1, None)  # first allocations are not training
    epochs = max(1, round(arguments.seconds / (fit(3, None)[1] / 3)))
    without, with_ = [], []
    with tempfile.TemporaryDirectory(dir=HERE) as temporary:
        folder = Path(temporary)
        for number in range(arguments.rounds):
            if number % 2:
                with_.append(with_checkpoints(epochs, folder))
            without.append(fit(epochs, None))
            if not number % 2:
                with_.append(with_checkpoints(epochs, folder))
        sizes = {name: saves(*shape, folder) for name, shape in SAVED.items()}
        question = asking(folder)
    wall, cpu = (
        statistics.median(b[clock] / a[clock] for a, b in zip(without, with_, strict=True)) for clock in (0, 1)
    )
    result = {
        "machine": f"{platform.system()} {platform.machine()}, 1 thread, torch {torch.__version__}",
        "rounds": arguments.rounds,
        "interval_seconds": INTERVAL,
        "without_median": {"wall": median(without, 0), "cpu": median(without, 1)},
        "with_median": {"wall": median(with_, 0), "cpu": median(with_, 1)},
        "median_ratio": {"wall": round(wall, 4), "cpu": round(cpu, 4)},
        "question_microseconds": round(question, 3),
        "saves": sizes,
        "share_of_default_interval": {name: round(row["save_seconds"] / DEFAULT, 5) for name, row in sizes.items()},
    }
    (HERE / "checkpointing.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def median(taken: list[tuple[float, float]], clock: int) -> float:
    return round(statistics.median(each[clock] for each in taken), 2)


if __name__ == "__main__":
    main()
