"""Steps that are launched as a whole: on a CPU, by a stand-in that does at each launch what a CUDA graph does."""

import os
import signal
import sys
import weakref
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from serpens import graphs, training
from serpens.checkpoints import Checkpoints
from serpens.data import Examples, Problem
from serpens.errors import TrainingStoppedError
from serpens.modelconfig import Training
from serpens.models import cnn, dense, mlp
from serpens.optimizers import Optimizer

N, SIZE = 70, 16  # four full batches and a smaller one
FAMILIES = {
    "mlp": (
        lambda problem: mlp.build(problem, width=8, n_blocks=2, activation="silu", dropout=0.3),
        Problem("regression", (5,), 1),
    ),
    "cnn": (
        lambda problem: cnn.build(problem, channels=(3,), width=6, activation="relu", dropout=0.3, augment_shift=1),
        Problem("classification", (1, 4, 4), 3),
    ),
}


class Recording(TorchDispatchMode):
    """Notes each operation and the memory that it reads and writes; a launch does them again, without any Python.

    What is noted is also done, so the first launch does nothing. Memory that comes from outside is not kept, which a
    CUDA graph does not do either.
    """

    def __init__(self):
        super().__init__()
        self.noted, self.own, self.launches = [], [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        kwargs = kwargs or {}
        made, given = func(*args, **kwargs), tensors((args, kwargs))
        written = [each for each in tensors(made) if not any(each is other for other in given)]
        places = {each.untyped_storage().data_ptr() for each in given}
        views = any(each.untyped_storage().data_ptr() in places for each in written)
        if func._schema.is_mutable or not views:
            self.noted.append((func, tree_map(self.loosely, (args, kwargs)), written))
        # a number of Python's, which torch's adadelta makes a tensor of where steps are counted on a CPU
        self.own += given if func is torch.ops.aten.lift_fresh.default else written
        return made

    def loosely(self, value):
        outside = torch.is_tensor(value) and not any(value is each for each in self.own)
        return weakref.ref(value) if outside else value

    def launch(self):
        self.launches += 1
        if self.launches > 1:
            for func, given, written in self.noted:
                args, kwargs = tree_map(held, given)
                for place, values in zip(written, tensors(func(*args, **kwargs)), strict=bool(written)):
                    place.detach().copy_(values)


def tensors(tree):
    return [each for each in tree_leaves(tree) if torch.is_tensor(each)]


def held(value):
    if not isinstance(value, weakref.ref):
        return value
    assert value() is not None, "a launch uses memory that was given back"
    return value()


@pytest.fixture
def recording(monkeypatch):
    """Let steps be recorded on a CPU; return the recordings."""
    made = []

    def recorded(work):
        made.append(Recording())
        with made[-1]:
            work()

        def launch():
            with torch.no_grad():
                made[-1].launch()

        return launch

    monkeypatch.setattr(graphs, "possible", lambda device: True)
    monkeypatch.setattr(graphs, "recorded", recorded)
    # what is computed on a GPU: products into memory that is used again, adadelta's steps
    monkeypatch.setattr(dense, "_is_faster", lambda: False)
    monkeypatch.setattr(Optimizer, "_on_gpu", True)
    module = sys.modules["torch.optim.adadelta"]  # torch hides it behind the function
    monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda supports_xla: ["cpu"])
    return made


def fit(family, checkpoints=None, **changes):
    build, problem = FAMILIES[family]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, *problem.input_shape)).astype(np.float32)
    total = X.reshape(N, -1).sum(axis=1)
    y = np.digitize(total, [-1, 1]).astype(np.int64) if problem.task == "classification" else total[:, None]
    rows = Examples(X, y, rng.uniform(0.5, 2, N).astype(np.float32))
    # a rate that float32 holds exactly, as a number on a GPU is
    how = Training(max_epochs=4, batch_size=SIZE, learning_rate=2.0**-6).model_dump() | changes
    network, history = training.fit_network(
        build, problem, {}, rows, rows, training=how, seed=3, checkpoints=checkpoints
    )
    weights = {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}
    return weights, history.columns()["train_loss"].tolist()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adadelta"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_of_whole_steps_ends_in_the_bits_of_single_operations(monkeypatch, recording, family, optimizer):
    whole = fit(family, optimizer=optimizer)
    assert [each.launches for each in recording] == [4 * (N // SIZE)]
    monkeypatch.setattr(graphs, "possible", lambda device: False)
    assert fit(family, optimizer=optimizer) == whole


@pytest.mark.parametrize("family", FAMILIES)
def test_it_does_in_bfloat16_too(monkeypatch, recording, family):
    whole = fit(family, precision="bfloat16")
    assert [each.launches for each in recording] == [4 * (N // SIZE)]
    monkeypatch.setattr(graphs, "possible", lambda device: False)
    assert fit(family, precision="bfloat16") == whole


def test_a_cycle_of_learning_rates_reaches_the_recorded_step(monkeypatch, recording):
    whole = fit("mlp", schedule="one_cycle")

    def refused(work):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "recorded", refused)
    assert fit("mlp", schedule="one_cycle") == whole
    assert fit("mlp", schedule="constant") != whole


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("steps", [1, 2, 5, 7, 14])
def test_a_training_of_whole_steps_resumes_in_the_same_bits(tmp_path, recording, family, steps):
    whole, checkpoints, left = fit(family), Checkpoints(tmp_path / "kept", "key", every_seconds=1e9), [steps]

    def due():
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGTERM)
        return Checkpoints.due(checkpoints)

    checkpoints.due = due
    with pytest.raises(TrainingStoppedError), checkpoints:
        checkpoints.open()
        fit(family, checkpoints)
    with Checkpoints(tmp_path / "kept", "key") as again:
        again.open()
        assert fit(family, again) == whole


def test_what_cannot_be_recorded_is_done_and_said(monkeypatch, recording, caplog):
    def refused(work):
        raise RuntimeError("operation not permitted when stream is capturing")

    whole = fit("mlp")
    monkeypatch.setattr(graphs, "recorded", refused)
    caplog.set_level("INFO", "serpens")
    assert fit("mlp") == whole
    assert [record.message for record in caplog.records] == [
        "steps are launched one operation after the other: the GPU cannot record them (operation not permitted when "
        "stream is capturing)"
    ]


class Fetched(TorchDispatchMode):
    """Counts what is fetched from a device, for which the processor would wait."""

    def __init__(self):
        super().__init__()
        self.times = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.times += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_epoch_fetches_two_losses_and_its_steps_nothing(family):
    with Fetched() as fetched:
        fit(family)
    assert fetched.times == 4 * 2


def test_a_batch_is_brought_to_where_the_first_lay(monkeypatch):
    monkeypatch.setattr(graphs, "recorded", lambda work: work)
    seen = []

    def step(x, y, weight, rate):
        seen.append((x.data_ptr(), x[0, 0].item(), y[0].item(), weight, rate.item()))

    whole = graphs.Whole(step, 2, torch.device("cpu"), nullcontext)
    assert [whole.takes(n_rows) for n_rows in (1, 2)] == [False, True]
    for value in (1.0, 2.0, 3.0):
        assert whole.at_rate(value / 4) is whole.rate
        assert whole(torch.full((2, 3), value), torch.full((2,), value), None)
    done = seen[graphs.WARM_UP_STEPS :]
    assert len({place for place, *_ in done}) == 1
    assert [tuple(rest) for _, *rest in done] == [(v, v, None, v / 4) for v in (1.0, 2.0, 3.0)]


def test_a_step_that_does_not_fit_the_memory_is_done_in_passes(monkeypatch, recording, caplog):
    """Nothing of what was tried remains: the bits are those of a training that never tried."""
    whole, backpropagation = fit("mlp", optimizer="sgd"), dense.Backpropagation.outputs
    limit = SIZE // 2

    def outputs(self, x):
        if len(x) > limit:
            raise torch.OutOfMemoryError
        return backpropagation(self, x)

    def forward(self, x):
        if self.training and len(x) > limit:
            raise torch.OutOfMemoryError
        return self.output(self.blocks(x))

    monkeypatch.setattr(dense.Backpropagation, "outputs", outputs)
    monkeypatch.setattr(mlp.MLP, "forward", forward)
    tried = fit("mlp", optimizer="sgd")
    assert f"batches are done in passes of {limit} rows" in caplog.text
    assert len(recording) == 1
    monkeypatch.setattr(graphs, "possible", lambda device: False)
    assert fit("mlp", optimizer="sgd") == tried
    assert tried[1] == pytest.approx(whole[1], rel=1e-5)


def test_a_network_of_the_users_is_never_recorded(recording):
    class Own(torch.nn.Linear):
        pass

    problem = FAMILIES["mlp"][1]
    rows = Examples(np.ones((40, 5), np.float32), np.ones((40, 1), np.float32))
    how = Training(max_epochs=1, batch_size=SIZE).model_dump()
    training.fit_network(lambda problem: Own(5, 1), problem, {}, rows, rows, training=how, seed=0)
    assert recording == []
