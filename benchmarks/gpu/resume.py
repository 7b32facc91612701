"""A training that is killed by SIGKILL and taken up ends in the same bytes.

As a program it is the training:  resume.py DEVICE FAMILY EPOCHS CHECKPOINTS OUTPUT
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

KILLS, QUICK_KILLS = 3, 1
# Epochs that take some seconds after a start.
EPOCHS = {("cuda", "mlp"): 250, ("cuda", "cnn"): 500, ("cpu", "mlp"): 40, ("cpu", "cnn"): 40}
EVERY_SECONDS = 0.1
# Seconds that an attempt may take.
PATIENCE = 120.0


def checks(device: str, *, quick: bool) -> Iterator[tuple[str, Callable[[float], dict[str, Any]]]]:
    for family in ("mlp", "cnn"):
        yield family, partial(survived, device, family, QUICK_KILLS if quick else KILLS)


def survived(device: str, family: str, most_kills: int, seconds: float) -> dict[str, Any]:
    """Train undisturbed and under kills; return whether both end in the same bytes."""
    begun, chance = time.monotonic(), random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, taken_up = folder / "whole", folder / "taken-up"
        finish(start(device, family, folder / "one", whole))
        undisturbed, kills = time.monotonic() - begun, 0
        while kills < most_kills and not taken_up.exists():
            kills += killed(start(device, family, folder / "two", taken_up), folder / "two", chance)
            if time.monotonic() - begun + 2 * undisturbed > seconds:  # another kill, and what follows
                break
        if not taken_up.exists():
            finish(start(device, family, folder / "two", taken_up))
        same = whole.read_bytes() == taken_up.read_bytes()
    return {"kills": kills, "seconds undisturbed": round(undisturbed, 1), "holds": same and kills > 0}


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a training to end well."""
    try:
        code = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if code:
        msg = f"the training ended with {code}"
        raise RuntimeError(msg)


def start(device: str, family: str, checkpoints: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start the training in a process of its own."""
    epochs = str(EPOCHS[device, family])
    return subprocess.Popen([sys.executable, __file__, device, family, epochs, str(checkpoints), str(output)])


def killed(process: subprocess.Popen[bytes], checkpoints: Path, chance: random.Random) -> bool:
    """Kill a training some time after it has kept a new state; return whether it was still at work."""
    before, end = _kept(checkpoints), time.monotonic() + PATIENCE
    while process.poll() is None and _kept(checkpoints) <= before and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(chance.uniform(0.0, 0.5))
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def _kept(checkpoints: Path) -> str:
    return max((path.name for path in checkpoints.glob("key/checkpoint-*")), default="")


def main() -> None:
    device, family, epochs, kept, output = sys.argv[1:]
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))
    import numpy as np

    from serpens import io, training
    from serpens.checkpoints import Checkpoints
    from serpens.data import Examples, Problem
    from serpens.modelconfig import Training
    from serpens.models import cnn, mlp

    rng = np.random.default_rng(0)
    if family == "mlp":
        X = rng.standard_normal((20_000, 28), dtype=np.float32)
        rows, problem = Examples(X, np.sin(X[:, :4].sum(axis=1, keepdims=True))), Problem("regression", (28,), 1)
        settings = {"width": 64, "n_blocks": 2, "activation": "silu", "dropout": 0.1}
    else:
        X = rng.standard_normal((2_000, 1, 8, 8), dtype=np.float32)
        rows = Examples(X, (X.sum(axis=(1, 2, 3)) > 0).astype(np.int64))
        problem = Problem("classification", (1, 8, 8), 2)
        settings = {"channels": (8, 16), "width": 32, "activation": "relu", "dropout": 0.25, "augment_shift": 1}
    how = Training(max_epochs=int(epochs), patience=10_000, schedule="one_cycle").model_dump()
    checkpoints = Checkpoints(kept, "key", every_seconds=EVERY_SECONDS)
    with checkpoints:
        checkpoints.open()
        network, history = training.fit_network(
            {"mlp": mlp, "cnn": cnn}[family].build,
            problem,
            settings,
            rows,
            rows,
            training=how,
            seed=0,
            device=device,
            checkpoints=checkpoints,
        )
        weights = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
        io.write_arrays(output, weights | history.columns())


if __name__ == "__main__":
    main()
