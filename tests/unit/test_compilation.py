"""Networks that torch compiles."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from serpens import training
from serpens.checkpoints import Checkpoints
from serpens.compilation import compiling
from serpens.data import Examples, Problem
from serpens.determinism import deterministic
from serpens.errors import EnvironmentFaultError, TrainingStoppedError
from serpens.modelconfig import Training
from serpens.models import cnn

SETTINGS = {"channels": (4,), "width": 8, "activation": "relu", "dropout": 0.0, "augment_shift": 0}


def fit(checkpoints=None, **changes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(70, 1, 4, 4)).astype(np.float32)
    rows = Examples(X, (X.sum(axis=(1, 2, 3)) > 0).astype(np.int64))
    how = Training(max_epochs=3, batch_size=16, learning_rate=0.01).model_dump() | changes
    problem = Problem("classification", (1, 4, 4), 2)
    return training.fit_network(cnn.build, problem, SETTINGS, rows, rows, training=how, seed=0, checkpoints=checkpoints)


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_and_has_its_own_names():
    network, history = fit(compile=True)
    plain, expected = fit()
    np.testing.assert_allclose(history.train_loss, expected.train_loss, rtol=1e-3)
    assert list(network.state_dict()) == list(plain.state_dict())
    again, repeated = fit(compile=True)
    assert repeated.train_loss == history.train_loss
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), again.parameters(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("steps", [3, 7])
def test_a_compiled_training_resumes_in_the_same_bits(tmp_path, steps):
    whole, left = fit(compile=True), [steps]
    checkpoints = Checkpoints(tmp_path / "kept", "key", every_seconds=1e9)

    def due():
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGTERM)
        return Checkpoints.due(checkpoints)

    checkpoints.due = due
    with pytest.raises(TrainingStoppedError), checkpoints:
        checkpoints.open()
        fit(checkpoints, compile=True)
    torch._dynamo.reset()  # as in another process
    with Checkpoints(tmp_path / "kept", "key") as again:
        again.open()
        network, history = fit(again, compile=True)
    assert history.train_loss == whole[1].train_loss
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), whole[0].parameters(), strict=True))


# In a process of its own, for torch remembers which compiler it found.
WITHOUT_A_COMPILER = """
import sys
sys.path[:0] = ["workflow", "tests/unit"]
from test_compilation import fit
from serpens.errors import EnvironmentFaultError
try:
    fit(compile=True)
except EnvironmentFaultError as err:
    print(err)
"""


@pytest.mark.slow
def test_without_a_compiler_the_cure_is_told(tmp_path):
    environment = os.environ | {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", WITHOUT_A_COMPILER]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    before, _, reason = done.stdout.partition("; it says: ")
    assert before == "training.compile: true needs a network and a machine that torch can compile for"
    assert reason.startswith("InvalidCxxCompiler: No working C++ compiler found")
    assert reason.rstrip().endswith("or set training.compile: false")


def test_a_failure_of_the_compiler_alone_is_translated():
    from torch._dynamo.exc import Unsupported

    message = (
        r"^training\.compile: true needs a network and a machine that torch can compile for; it says: no way\. Give "
        r"the machine a C\+\+ compiler \(and, for a GPU, the torch build that brings triton\), or set "
        r"training\.compile: false$"
    )
    with pytest.raises(EnvironmentFaultError, match=message), compiling(wanted=True):
        raise Unsupported("no way\nand more")
    with pytest.raises(RuntimeError, match="ours"), compiling(wanted=True):
        raise RuntimeError("ours")


def test_programs_are_not_measured_where_the_same_bits_are_wanted():
    import torch._inductor.config

    for wanted in (True, False):
        with deterministic(torch.device("cuda"), wanted=wanted), compiling(wanted=True):
            assert torch._inductor.config.deterministic is wanted
    assert not torch._inductor.config.deterministic


def test_training_without_it_does_not_load_the_compiler():
    program = "import sys; sys.path[:0] = ['workflow', 'tests/unit']; from test_compilation import fit; fit(); "
    program += "print('torch._dynamo' in sys.modules or 'torch._inductor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
