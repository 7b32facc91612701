"""How fast an MLP 28-256-256-256-1 trains on 500,000 rows: Serpens, its peers, and the bound of the machine.

    make benchmark          or  .venv/bin/python benchmarks/training.py --rounds 3

Each contender trains one epoch from the same data, and all take turns in each round, so that a slow minute of the
machine is everybody's. The bound is the time of the matrix products that an epoch cannot do without, float32.
Figures go to benchmarks/training.json.
"""

import argparse
import json
import logging
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow"))

from serpens import training  # noqa: E402 - the package lies beside this folder
from serpens.data import Examples, Problem  # noqa: E402
from serpens.models import mlp  # noqa: E402

WIDTHS = (28, 256, 256, 256, 1)
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2
BATCH_SIZES = (256, 4096)


def data(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 inputs ``(n, 28)`` and a smooth target ``(n, 1)``."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, WIDTHS[0]), dtype=np.float32)
    return X, np.sin(X[:, :4].sum(axis=1, keepdims=True))


def network() -> nn.Module:
    """Return the network that the peers train, of torch's own layers."""
    hidden = [layer for d_in, d_out in pairwise(WIDTHS[:-1]) for layer in (nn.Linear(d_in, d_out), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(*WIDTHS[-2:]))


def serpens(X: np.ndarray, y: np.ndarray, batch_size: int) -> None:
    training.fit_network(
        mlp.build,
        Problem("regression", (WIDTHS[0],), 1),
        {"width": WIDTHS[1], "n_blocks": 3, "activation": "relu", "dropout": 0.0},
        Examples(X, y),
        Examples(X[:1000], y[:1000]),
        training={
            "max_epochs": 1,
            "batch_size": batch_size,
            "learning_rate": LEARNING_RATE,
            "patience": 10,
            "optimizer": "adamw",
            "schedule": "constant",
            "weight_decay": WEIGHT_DECAY,
            "momentum": 0.9,
            "class_weights": "none",
            "precision": "auto",
            "compile": False,
            "deterministic": True,
        },
        seed=0,
    )


def loader(X: np.ndarray, y: np.ndarray, batch_size: int) -> torch.utils.data.DataLoader:
    rows = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    return torch.utils.data.DataLoader(rows, batch_size=batch_size, shuffle=True)


def plain_loop(X: np.ndarray, y: np.ndarray, batch_size: int) -> None:
    """Train as a tutorial does: DataLoader, AdamW, five lines."""
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for inputs, target in loader(X, y, batch_size):
        optimizer.zero_grad()
        nn.functional.mse_loss(net(inputs), target).backward()
        optimizer.step()


def by_lightning(X: np.ndarray, y: np.ndarray, batch_size: int) -> None:
    """Train with Lightning, everything off that costs time: logger, checkpoints, progress bar, summary."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch, _):
            inputs, target = batch
            return nn.functional.mse_loss(self.net(inputs), target)

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), loader(X, y, batch_size))


def scikit_learn(X: np.ndarray, y: np.ndarray, batch_size: int) -> None:
    from sklearn.neural_network import MLPRegressor

    MLPRegressor(
        hidden_layer_sizes=WIDTHS[1:-1],
        batch_size=batch_size,
        learning_rate_init=LEARNING_RATE,
        alpha=WEIGHT_DECAY,
        max_iter=1,
    ).fit(X, y[:, 0])


def bound(X: np.ndarray, y: np.ndarray, batch_size: int) -> None:
    """Multiply the matrices of one epoch: forward, gradient of weights, gradient of inputs but the first."""
    layers = list(pairwise(WIDTHS))
    inputs = [torch.randn(batch_size, d_in) for d_in, _ in layers]
    weights = [torch.randn(d_in, d_out) for d_in, d_out in layers]
    grads = [torch.randn(batch_size, d_out) for _, d_out in layers]
    out, d_weight, d_input = ([torch.empty_like(t) for t in shapes] for shapes in (grads, weights, inputs))
    for _ in range(len(X) // batch_size):
        for k in range(len(layers)):
            torch.mm(inputs[k], weights[k], out=out[k])
            torch.mm(inputs[k].T, grads[k], out=d_weight[k])
            if k:
                torch.mm(grads[k], weights[k].T, out=d_input[k])


CONTENDERS: dict[str, Callable[[np.ndarray, np.ndarray, int], None]] = {
    "matrix products alone": bound,
    "Serpens": serpens,
    "Lightning": by_lightning,
    "DataLoader loop": plain_loop,
    "scikit-learn": scikit_learn,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # scikit-learn says that one epoch is few, Lightning that it has one worker
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    X, y = data(arguments.rows)
    for run in CONTENDERS.values():
        run(X[:20_000], y[:20_000], 256)  # imports and first allocations are not training
    figures = {}
    for batch_size in BATCH_SIZES:
        seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for _ in range(arguments.rounds):
            for name, run in CONTENDERS.items():
                start = time.perf_counter()
                run(X, y, batch_size)
                seconds[name].append(time.perf_counter() - start)
        figures[str(batch_size)] = summary(seconds, arguments.rows)
        show(batch_size, figures[str(batch_size)])
    machine = f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    result = {"rows": arguments.rows, "rounds": arguments.rounds, "machine": machine, "batch_size": figures}
    (HERE / "training.json").write_text(json.dumps(result, indent=1) + "\n")


def summary(seconds: dict[str, list[float]], rows: int) -> dict[str, dict[str, float]]:
    """Return for each contender the median rate, and the medians of its ratios within rounds."""

    def ratio(name: str, to: str) -> float:
        return round(statistics.median(b / a for a, b in zip(seconds[name], seconds[to], strict=True)), 3)

    return {
        name: {
            "thousand_rows_per_second": round(rows / statistics.median(taken) / 1000, 1),
            "of_bound": ratio(name, "matrix products alone"),
            "of_lightning": ratio(name, "Lightning"),
        }
        for name, taken in seconds.items()
    }


def show(batch_size: int, figures: dict[str, dict[str, float]]) -> None:
    print(f"\nbatch {batch_size:<20} 1000 rows/s  of bound  of Lightning")
    for name, row in figures.items():
        rate, of_bound, of_lightning = row.values()
        print(f"{name:<26} {rate:>11.1f}  {of_bound:>8.2f}  {of_lightning:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
