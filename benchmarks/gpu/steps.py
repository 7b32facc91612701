"""How long a step takes: Serpens, PyTorch with a DataLoader, Lightning, and the bound of the device.

Contenders take turns in rounds, and what counts are medians of ratios within rounds. A visit of a contender is a few
steps that are not counted, in which libraries set themselves up, and those that are. Serpens' are whole epochs, with
all that an epoch is beside its steps. The bound is the time of the products and convolutions of a step, forward and
backward, at the same precision, launched as one CUDA graph.
"""

import importlib.util
import logging
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from serpens import graphs, precision, training
from serpens.data import Examples, Problem
from serpens.modelconfig import Training
from serpens.models import cnn, mlp

WIDTHS = (28, 256, 256, 256, 1)
MLP = {"width": 256, "n_blocks": 3, "activation": "relu", "dropout": 0.0}
IMAGE, CLASSES = (1, 28, 28), 10
CNN = {"channels": (32, 64), "width": 128, "activation": "relu", "dropout": 0.25, "augment_shift": 1}
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2
# Epochs of Serpens that are counted, after one that is not; steps of the others.
EPOCHS, WARM_UP_STEPS = 3, 5
MOST_ROUNDS = 5
BOUND, OURS, COMPILED, LIGHTNING = "the device's bound", "Serpens", "Serpens, compiled", "Lightning"


class Case(NamedTuple):
    """What is trained: a family, with so many rows in a step and in an epoch, in a precision, on a device."""

    family: str
    batch_size: int
    n_rows: int
    steps: int
    precision: str
    device: torch.device

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.family}, batch {self.batch_size}, {self.precision}"

    @property
    def problem(self) -> Problem:
        """What is learned."""
        if self.family == "mlp":
            return Problem("regression", WIDTHS[:1], 1)
        return Problem("classification", IMAGE, CLASSES)

    def network(self) -> nn.Module:
        """Return the network that all train; Serpens' own, but that the others differentiate it by autograd."""
        return mlp.build(self.problem, **MLP) if self.family == "mlp" else cnn.build(self.problem, **CNN)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return what all minimise."""
        compare = nn.functional.mse_loss if self.family == "mlp" else nn.functional.cross_entropy
        return compare(outputs.float(), y)


def cases(device: torch.device, *, quick: bool) -> list[Case]:
    """Return what is measured, what matters most first."""
    if quick:
        sizes = [("mlp", 256, 2_000, 3), ("cnn", 32, 200, 3)]
        return [Case(*size, name, device) for name in ("float32", "bfloat16") for size in sizes]
    sizes = [
        ("mlp", 256, 524_288, 200),
        ("mlp", 4_096, 524_288, 40),
        ("mlp", 65_536, 2_097_152, 5),
        ("cnn", 256, 65_536, 100),
    ]
    return [Case(*size, name, device) for name in ("tf32", "bfloat16", "float32") for size in sizes]


def examples(case: Case) -> Examples:
    """Return rows with something to learn in them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((case.n_rows, *case.problem.input_shape), dtype=np.float32)
    if case.family == "mlp":
        return Examples(X, np.sin(X[:, :4].sum(axis=1, keepdims=True)))
    return Examples(X, rng.integers(0, CLASSES, case.n_rows))


def checks(device: str, *, quick: bool) -> Iterator[tuple[str, Callable[[float], dict[str, Any]]]]:
    warnings.simplefilter("ignore")  # Lightning says that it has one worker
    for case in cases(torch.device(device), quick=quick):
        yield case.name, partial(compared, case, 1 if quick else MOST_ROUNDS)


def compared(case: Case, most_rounds: int, seconds: float) -> dict[str, Any]:
    """Return for each contender the median time of a step, and the medians of its ratios within rounds."""
    rows = examples(case)
    contenders: dict[str, Callable[[Case, Examples], float]] = {BOUND: bound, OURS: serpens, "DataLoader": data_loader}
    if importlib.util.find_spec("lightning"):
        contenders[LIGHTNING] = lightning
    failed: dict[str, Any] = {}
    if case.precision == "tf32":
        try:
            compiled(case, rows)  # the compiler keeps what it made, which later rounds then find
            contenders[COMPILED] = compiled
        except Exception as err:  # the others are still worth their time
            failed[COMPILED] = {"failed": f"{type(err).__name__}: {err}"}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    begun = time.monotonic()
    for number in range(most_rounds):
        for name, contender in contenders.items():
            with precision.rounding(case.precision, case.device):
                taken[name].append(contender(case, rows))
        if (time.monotonic() - begun) * (number + 2) / (number + 1) > seconds:
            break
    return failed | {
        name: {
            "microseconds": round(1e6 * statistics.median(each), 2),
            "of the bound": ratio(taken, BOUND, name),
            "times Lightning": ratio(taken, LIGHTNING, name),
            "rounds": len(each),
        }
        for name, each in taken.items()
    }


def ratio(taken: dict[str, list[float]], of: str, to: str) -> float | None:
    """Return the median ratio of the times of two contenders within rounds."""
    if of not in taken:
        return None
    return round(statistics.median(a / b for a, b in zip(taken[of], taken[to], strict=True)), 3)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def serpens(case: Case, rows: Examples, *, compile: bool = False) -> float:
    stamps = []

    def stamp(*_: object) -> None:
        synchronize(case.device)
        stamps.append(time.perf_counter())

    how = Training(
        max_epochs=1 + EPOCHS,
        batch_size=case.batch_size,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        precision=case.precision,
        compile=compile,
    )
    training.fit_network(
        mlp.build if case.family == "mlp" else cnn.build,
        case.problem,
        MLP if case.family == "mlp" else CNN,
        rows,
        Examples(rows.X[:1000], rows.y[:1000]),
        training=how.model_dump(),
        seed=0,
        device=str(case.device),
        progress=stamp,
    )
    return (stamps[-1] - stamps[0]) / (EPOCHS * math.ceil(case.n_rows / case.batch_size))


def compiled(case: Case, rows: Examples) -> float:
    torch._dynamo.reset()  # programs of the networks of earlier rounds, of which torch holds eight
    return serpens(case, rows, compile=True)


def batches(case: Case, rows: Examples) -> torch.utils.data.DataLoader:
    n = min(case.n_rows, (WARM_UP_STEPS + case.steps) * case.batch_size)
    part = torch.utils.data.TensorDataset(torch.from_numpy(rows.X[:n]), torch.from_numpy(rows.y[:n]))
    pinned = case.device.type == "cuda"
    return torch.utils.data.DataLoader(part, batch_size=case.batch_size, shuffle=True, pin_memory=pinned)


def autocast(case: Case) -> AbstractContextManager[Any]:
    if case.precision != "bfloat16":
        return nullcontext()
    return torch.autocast(case.device.type, dtype=torch.bfloat16)


class Stopwatch:
    """Tells what a step takes, once some have gone by that are not counted."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.steps = device, 0
        self.begun = self.ended = math.nan

    def step(self) -> None:
        """Count a step."""
        self.steps += 1
        if self.steps == WARM_UP_STEPS:
            synchronize(self.device)
            self.begun = time.perf_counter()

    def seconds(self) -> float:
        """Return what a counted step took."""
        synchronize(self.device)
        return (time.perf_counter() - self.begun) / (self.steps - WARM_UP_STEPS)


def data_loader(case: Case, rows: Examples) -> float:
    """Train as a tutorial does."""
    network = case.network().to(case.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    watch = Stopwatch(case.device)
    for x, y in batches(case, rows):
        inputs, target = x.to(case.device, non_blocking=True), y.to(case.device, non_blocking=True)
        optimizer.zero_grad()
        with autocast(case):
            outputs = network(inputs)
        case.loss(outputs, target).backward()
        optimizer.step()
        watch.step()
    return watch.seconds()


def lightning(case: Case, rows: Examples) -> float:
    """Train with Lightning, everything off that costs time: logger, checkpoints, progress bar, summary."""
    import lightning as pl

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    watch = Stopwatch(case.device)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = case.network()

        def training_step(self, batch, _):
            x, y = batch
            return case.loss(self.network(x), y)

        def on_train_batch_end(self, *_: object) -> None:
            watch.step()

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="gpu" if case.device.type == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if case.precision == "bfloat16" else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), batches(case, rows))
    return watch.seconds()


def bound(case: Case, rows: Examples) -> float:
    """Multiply and convolve what a step cannot do without, of whatever numbers."""
    work = products(case) if case.family == "mlp" else convolutions(case)
    with graphs.own_stream(case.device):
        for _ in range(WARM_UP_STEPS):
            work()
        launch = graphs.recorded(work) if graphs.possible(case.device) else work
        launch()
        synchronize(case.device)
        begun = time.perf_counter()
        for _ in range(case.steps):
            launch()
        synchronize(case.device)
        return (time.perf_counter() - begun) / case.steps


def numbers(case: Case, *shape: int) -> Tensor:
    dtype = torch.bfloat16 if case.precision == "bfloat16" else torch.float32
    return torch.randn(*shape, device=case.device, dtype=dtype)


def products(case: Case, widths: tuple[int, ...] = WIDTHS) -> Callable[[], None]:
    """Return the products of a chain of layers: forward, gradient of weights, gradient of inputs but the first."""
    layers = list(pairwise(widths))
    inputs = [numbers(case, case.batch_size, d_in) for d_in, _ in layers]
    weights = [numbers(case, d_out, d_in) for d_in, d_out in layers]
    gradients = [numbers(case, case.batch_size, d_out) for _, d_out in layers]
    out, of_weight, of_input = ([torch.empty_like(t) for t in like] for like in (gradients, weights, inputs))

    def work() -> None:
        for k in range(len(layers)):
            torch.mm(inputs[k], weights[k].t(), out=out[k])
            torch.mm(gradients[k].t(), inputs[k], out=of_weight[k])
            if k:
                torch.mm(gradients[k], weights[k], out=of_input[k])

    return work


def convolutions(case: Case) -> Callable[[], None]:
    """Return the convolutions of the small CNN, and the products of its head."""
    last = torch.channels_last if case.precision != "float32" else torch.contiguous_format
    depth, height, width = IMAGE
    parts = []
    for number, channels in enumerate(CNN["channels"]):
        x = numbers(case, case.batch_size, depth, height, width).contiguous(memory_format=last)
        weight = numbers(case, channels, depth, 3, 3).contiguous(memory_format=last)
        gradient = numbers(case, case.batch_size, channels, height, width).contiguous(memory_format=last)
        parts.append((x, weight, gradient, [number > 0, True, False]))
        depth, height, width = channels, height // 2, width // 2
    head = products(case, (depth * height * width, CNN["width"], CLASSES))

    def work() -> None:
        for x, weight, gradient, wanted in parts:
            nn.functional.conv2d(x, weight, padding=1)
            torch.ops.aten.convolution_backward(
                gradient, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
            )
        head()

    return work


def table(found: dict[str, Any]) -> str:
    """Return the figures as rows of Markdown."""
    lines = ["| | microseconds a step | of the bound | times Lightning |", "|---|---|---|---|"]
    for case, contenders in found.items():
        lines.append(f"| **{case}** | | | |")
        for name, row in contenders.items():
            if isinstance(row, dict) and "microseconds" in row:
                shown = ["-" if row[key] is None else f"{row[key]:.2f}" for key in ("of the bound", "times Lightning")]
                lines.append(f"| {name} | {row['microseconds']:.1f} | {' | '.join(shown)} |")
    return "\n".join(lines)
