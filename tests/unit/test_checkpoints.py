"""Checkpoints: a training that is stopped anywhere and taken up again ends in the same bits."""

import errno
import itertools
import os
import random
import signal

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from serpens import training
from serpens.checkpoints import Checkpoints, DamagedError, State, pack, read
from serpens.data import Examples, Problem
from serpens.errors import DataError, LockLostError, TrainingStoppedError
from serpens.modelconfig import Optimizer, Schedule
from serpens.models import cnn, mlp

TRAINING = {
    "max_epochs": 6,
    "batch_size": 16,
    "learning_rate": 0.02,
    "patience": 3,
    "weight_decay": 0.01,
    "momentum": 0.9,
    "class_weights": "balanced",
    "precision": "auto",
    "compile": False,
    "deterministic": True,
}


class Own(nn.Module):
    """Keeps what it needs in every way that a module may, and draws from every source of chance."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.layer = nn.Linear(*input_shape, n_outputs)
        self.frozen = nn.Parameter(torch.ones(n_outputs), requires_grad=False)
        self.register_buffer("mean", torch.zeros(input_shape), persistent=False)
        self.calls = 0
        self.last = None

    def forward(self, x):
        if self.training:
            self.calls += 1
            self.mean.lerp_(x.mean(0).detach(), 0.1)
            self.last = x[0].detach() if self.last is None else self.last + x[0].detach()
            self.frozen.data.mul_(1.01)
            noise = torch.randn_like(x) * (np.random.normal() + random.gauss(0, 1))  # noqa: NPY002 - old code draws so
            x = x - self.mean + 0.01 * noise + 0.001 * self.calls + 0.01 * self.last
        return self.layer(x) * self.frozen


FAMILIES = {
    "mlp": (
        lambda problem: mlp.build(problem, width=8, n_blocks=1, activation="silu", dropout=0.3),
        Problem("regression", (5,), 1),
    ),
    "cnn": (
        lambda problem: cnn.build(problem, channels=(3,), width=6, activation="relu", dropout=0.3, augment_shift=1),
        Problem("classification", (1, 4, 4), 3),
    ),
    "own": (lambda problem: Own(problem.input_shape, problem.n_outputs), Problem("classification", (5,), 2)),
}
EVERY = list(itertools.product(FAMILIES, ("sgd", "adam", "adamw", "adadelta"), ("constant", "one_cycle")))


def test_every_optimiser_and_schedule_is_tried():
    assert {name for _, name, _ in EVERY} == set(Optimizer.__args__)
    assert {name for _, _, name in EVERY} == set(Schedule.__args__)


def examples(problem, n, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, *problem.input_shape)).astype(np.float32)
    signal_ = X.reshape(n, -1)[:, :2].sum(axis=1)
    if problem.task == "classification":
        return Examples(X, np.digitize(signal_, [0, 1][: problem.n_outputs - 1]).astype(np.int64))
    return Examples(X, signal_[:, None].astype(np.float32))


def fit(family, optimizer="adamw", schedule="constant", checkpoints=None, **changes):
    build, problem = FAMILIES[family]
    network, history = training.fit_network(
        build,
        problem,
        {},
        examples(problem, 70, 0),
        examples(problem, 40, 1),
        training=TRAINING | {"optimizer": optimizer, "schedule": schedule} | changes,
        seed=3,
        checkpoints=checkpoints,
    )
    weights = {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}
    return weights, {name: values.tobytes() for name, values in history.columns().items()}


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def opened(folder, key="key", **options):
    checkpoints = Checkpoints(folder, key, **({"every_seconds": 1e9} | options))
    checkpoints.open()
    return checkpoints


def interrupted(folder, steps, **what):
    """Train, and stop by a signal after so many steps; return what came out if it ended before."""
    checkpoints = Checkpoints(folder, "key", every_seconds=1e9)
    left = [steps]

    def due():
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return Checkpoints.due(checkpoints)

    checkpoints.due = due
    with checkpoints:
        checkpoints.open()
        return fit(checkpoints=checkpoints, **what)


@pytest.fixture(scope="module")
def whole():
    """Return what an uninterrupted training gives, each made once."""
    made = {}

    def get(*what):
        if what not in made:
            made[what] = fit(*what)
        return made[what]

    return get


@pytest.mark.parametrize(("family", "optimizer", "schedule"), EVERY)
def test_a_training_that_is_interrupted_again_and_again_ends_in_the_same_bits(
    whole, tmp_path, family, optimizer, schedule
):
    rng = np.random.default_rng(hash_of(family, optimizer, schedule))
    for _ in range(10):
        try:
            found = interrupted(
                tmp_path / "run", int(rng.integers(1, 12)), family=family, optimizer=optimizer, schedule=schedule
            )
            break
        except TrainingStoppedError:
            assert len(list((tmp_path / "run/key").glob("checkpoint-*"))) in (1, 2)
    assert found == whole(family, optimizer, schedule)
    assert not list(tmp_path.iterdir())


def hash_of(*words):
    return [ord(letter) for letter in "".join(words)]


@given(stops=st.lists(st.integers(1, 30), max_size=3), family=st.sampled_from(list(FAMILIES)))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wherever_the_interruptions_fall(whole, tmp_path_factory, stops, family):
    folder = tmp_path_factory.mktemp("stops") / "run"
    found = None
    for steps in [*stops, 10**6]:
        try:
            found = interrupted(folder, steps, family=family)
            break
        except TrainingStoppedError:
            pass
    assert found == whole(family)


def test_saving_changes_nothing(tmp_path):
    with opened(tmp_path / "run", every_seconds=0) as checkpoints:
        assert fit("cnn", max_epochs=2, checkpoints=checkpoints) == fit("cnn", max_epochs=2)


def test_patience_is_counted_on_from_the_best_epoch(tmp_path):
    uninterrupted = fit("mlp", learning_rate=0.5, max_epochs=60)
    assert len(uninterrupted[1]["epoch"]) // 8 < 60  # else patience decided nothing
    with pytest.raises(TrainingStoppedError):
        interrupted(
            tmp_path / "run",
            len(uninterrupted[1]["epoch"]) // 8 * 5 - 7,  # in the last epoch but one
            family="mlp",
            learning_rate=0.5,
            max_epochs=60,
        )
    with opened(tmp_path / "run") as checkpoints:
        assert fit("mlp", learning_rate=0.5, max_epochs=60, checkpoints=checkpoints) == uninterrupted


def some(step=1, **facts):
    tensors = {"a": torch.arange(200, dtype=torch.float32), "b": torch.tensor(step), "c": torch.zeros(0)}
    return State(step, tensors, {"epoch": 1, "spent": {}, "loss": float("inf")} | facts)


def same(one, other):
    return (
        (one.step, one.facts) == (other.step, other.facts)
        and one.tensors.keys() == other.tensors.keys()
        and all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    )


def test_a_state_comes_back_as_it_was(tmp_path):
    (tmp_path / "checkpoint-1").write_bytes(pack(some()))
    assert same(read(tmp_path / "checkpoint-1"), some())


@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_damaged_is_never_used(tmp_path, data):
    content = bytearray(pack(some()))
    if data.draw(st.booleans(), "truncate"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for bit in data.draw(st.sets(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=9)):
            content[bit // 8] ^= 1 << bit % 8
    path = tmp_path / "checkpoint-1"
    path.write_bytes(content)
    with pytest.raises(DamagedError):
        read(path)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, caplog):
    with opened(tmp_path / "run", every_seconds=0) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(some(step))
        files = sorted(checkpoints.folder.iterdir())
        assert [path.name for path in files] == ["checkpoint-000000000002", "checkpoint-000000000003"]
        files[1].write_bytes(files[1].read_bytes()[:-1])
        assert checkpoints.latest().step == 2
        assert f"{files[1]} is damaged (its" in caplog.text
        # a damaged newer one would be kept instead of the ones to come
        assert not files[1].exists()
        files[0].write_bytes(b"")
        assert checkpoints.latest() is None


def test_a_checkpoint_is_due_after_its_time_at_a_signal_and_before_the_deadline(tmp_path):
    clock = Clock()
    with opened(tmp_path / "run", every_seconds=10, deadline=200, clock=clock) as checkpoints:
        assert not checkpoints.due()
        clock.now = 10
        assert checkpoints.due()
        checkpoints.save(some(1))
        assert not checkpoints.due()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert checkpoints.due()
        checkpoints.save(some(2))  # and goes on
        assert not checkpoints.due()
        checkpoints.every_seconds = 1000
        clock.now = 30
        checkpoints.save(some(3))
        clock.now = 139
        assert not checkpoints.due()
        clock.now = 140  # a minute before the deadline
        assert checkpoints.due()
        checkpoints.save(some(4))
        clock.now = 199
        assert not checkpoints.due()


def test_a_slow_disk_is_written_to_less_often(tmp_path):
    clock = Clock()
    with opened(tmp_path / "run", every_seconds=60, clock=clock) as checkpoints:
        write = checkpoints._write

        def slow(state):
            clock.now += 6
            return write(state)

        checkpoints._write = slow
        checkpoints.save(some())
        clock.now += 299
        assert not checkpoints.due()
        clock.now += 1  # 2 % of 300 s
        assert checkpoints.due()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(tmp_path, number):
    before = signal.getsignal(number)
    with pytest.raises(TrainingStoppedError) as caught, opened(tmp_path / "run") as checkpoints:
        os.kill(os.getpid(), number)
        checkpoints.save(some(7, epoch=2))
    assert str(caught.value) == (
        f"{number.name} stopped the training in epoch 2 after step 7; its state is kept in {tmp_path}/run/key: "
        "run again, and it goes on from there"
    )
    assert signal.getsignal(number) is before
    assert [path.name for path in tmp_path.glob("run/*")] == ["key"]  # no lock stays
    with opened(tmp_path / "run") as checkpoints:
        assert checkpoints.latest().step == 7


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_ends_no_training_and_leaves_no_half_file(whole, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(os, "fsync", full)
    with opened(tmp_path / "run", every_seconds=0) as checkpoints:
        assert fit("mlp", checkpoints=checkpoints) == whole("mlp")
        assert not list(checkpoints.folder.iterdir())
    size = len(pack(some())) / 1e6
    assert size < 0.05
    assert caplog.messages[0] == (
        f"a checkpoint needs 0.0 MB in {tmp_path}/run/key and could not be written: No space left on device. "
        "Training goes on; if it is stopped, the next run starts anew. Free some space there"
    )


def test_a_training_that_is_stopped_on_a_full_disk_says_what_is_lost(tmp_path, monkeypatch):
    with pytest.raises(TrainingStoppedError) as caught, opened(tmp_path / "run") as checkpoints:
        checkpoints.save(some(3))
        monkeypatch.setattr(os, "fsync", full)
        os.kill(os.getpid(), signal.SIGTERM)
        checkpoints.save(some(9))
    assert str(caught.value).endswith(
        f"after step 9; its state could not be kept in {tmp_path}/run/key (No space left on device): "
        "the next run goes on after step 3"
    )


def test_what_a_killed_write_left_is_removed(tmp_path):
    (tmp_path / "run/key").mkdir(parents=True)
    (tmp_path / "run/key/.checkpoint-000000000005.123.part").write_bytes(b"half")
    (tmp_path / "run/lock.abc").write_text("{}")
    with opened(tmp_path / "run"):
        assert [path.name for path in (tmp_path / "run").rglob("*") if path.is_file()] == ["lock"]


def test_a_training_that_fails_for_its_data_leaves_nothing(tmp_path):
    with pytest.raises(DataError), opened(tmp_path / "run", every_seconds=0) as checkpoints:
        fit("mlp", learning_rate=1e30, checkpoints=checkpoints)
    assert not list(tmp_path.iterdir())


def test_another_error_keeps_the_state(tmp_path):
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "run") as checkpoints:
        checkpoints.save(some())
        raise ZeroDivisionError
    assert (tmp_path / "run/key/checkpoint-000000000001").exists()


def test_other_keys_are_left_alone(tmp_path):
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "run", "old") as checkpoints:
        checkpoints.save(some())
        raise ZeroDivisionError
    with opened(tmp_path / "run", "new") as checkpoints:
        assert checkpoints.latest() is None
        checkpoints.save(some())
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == [
        "run/old/checkpoint-000000000001"
    ]


def test_a_second_run_that_waits_need_not_train_from_the_start(tmp_path):
    second, other = Checkpoints(tmp_path / "run", "key"), Checkpoints(tmp_path / "run", "other")
    with opened(tmp_path / "run") as first:
        first.save(some(5))
        second._wait()
    with second:
        second.open()
        assert second.latest().step == 5
        other._wait()  # of another training: its states are of no use to it
    assert not list(tmp_path.rglob("checkpoint-*"))


def test_a_state_of_another_device_is_not_gone_on_from(whole, tmp_path, caplog):
    with pytest.raises(TrainingStoppedError):
        interrupted(tmp_path / "run", 3, family="mlp")
    with opened(tmp_path / "run") as checkpoints:
        state = checkpoints.latest()
        checkpoints.save(State(state.step, state.tensors, state.facts | {"devices": "A GPU"}))
        assert fit("mlp", checkpoints=checkpoints) == whole("mlp")
    assert "training starts anew: they were made on A GPU, this is cpu" in caplog.text


def test_a_state_that_does_not_fit_is_an_error_once(whole, tmp_path):
    with pytest.raises(TrainingStoppedError):
        interrupted(tmp_path / "run", 3, family="cnn")
    with pytest.raises(DataError, match="must fit the network, and does not"), opened(tmp_path / "run") as checkpoints:
        fit("mlp", checkpoints=checkpoints)
    with opened(tmp_path / "run") as checkpoints:
        assert fit("mlp", checkpoints=checkpoints) == whole("mlp")


def test_who_lost_the_lock_writes_nothing(tmp_path):
    with pytest.raises(LockLostError), opened(tmp_path / "run") as checkpoints:
        (tmp_path / "run/lock").write_text("{}")
        checkpoints.save(some())
    assert not (tmp_path / "run/key").exists()
    assert (tmp_path / "run/lock").exists()  # another's


def test_what_earlier_attempts_took_is_known(tmp_path):
    clock = Clock()
    spent = {"heat": 2.0, "noise": None}
    for earlier in ({}, {"seconds": 5.0, "heat": 2.0, "noise": None}, {"seconds": 10.0, "heat": 4.0, "noise": None}):
        with (
            pytest.raises(ZeroDivisionError),
            opened(tmp_path / "run", clock=clock, spent=lambda: spent) as checkpoints,
        ):
            state = checkpoints.latest()
            assert checkpoints.earlier == earlier
            clock.now += 5
            checkpoints.save(some() if state is None else state)
            clock.now += 3  # lost
            raise ZeroDivisionError
