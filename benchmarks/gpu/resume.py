"""A training that is killed by SIGKILL and taken up ends in the same bytes.

As a program it is the training:  resume.py DEVICE FAMILY EPOCHS CHECKPOINTS OUTPUT
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KILLS, QUICK_KILLS = 3, 1
# Epochs that take some seconds after a start.
EPOCHS = {("cuda", "mlp"): 250, ("cuda", "cnn"): 500, ("cpu", "mlp"): 40, ("cpu", "cnn"): 40}
EVERY_SECONDS = 0.1
# Seconds that an attempt may take.
PATIENCE = 120.0


def check(device: str, *, quick: bool, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
    end = time.monotonic() + seconds
    chance = random.Random(0)
    for family in ("mlp", "cnn"):
        with tempfile.TemporaryDirectory() as name:
            folder, begun = Path(name), time.monotonic()
            whole, taken_up = folder / "whole", folder / "taken-up"
            start(device, family, folder / "one", whole).wait(PATIENCE)
            undisturbed = time.monotonic() - begun
            kills = 0
            for _ in range(QUICK_KILLS if quick else KILLS):
                # as long as what is left of it and the last run fit
                kills += killed(start(device, family, folder / "two", taken_up), folder / "two", chance)
                if taken_up.exists() or time.monotonic() + 2 * undisturbed > end:
                    break
            if not taken_up.exists():
                start(device, family, folder / "two", taken_up).wait(PATIENCE)
            same = whole.exists() and taken_up.exists() and whole.read_bytes() == taken_up.read_bytes()
            yield family, {"kills": kills, "seconds undisturbed": round(undisturbed, 1), "holds": same and kills > 0}


def start(device: str, family: str, checkpoints: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start the training in a process of its own."""
    epochs = str(EPOCHS[device, family])
    return subprocess.Popen([sys.executable, __file__, device, family, epochs, str(checkpoints), str(output)])


def killed(process: subprocess.Popen[bytes], checkpoints: Path, chance: random.Random) -> bool:
    """Kill a training some time after it has kept a new state; return whether it was still at work."""
    before = _kept(checkpoints)
    end = time.monotonic() + PATIENCE
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
