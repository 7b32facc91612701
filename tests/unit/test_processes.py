"""Processes that train one network together: the result of one, whoever dies ends all, and nothing is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.learners import LEARNERS, NET, TRAINING, VALUES, Learner, data

from serpens import companions, processes, training
from serpens.checkpoints import Checkpoints
from serpens.errors import ConfigurationError, EnvironmentFaultError, TrainingStoppedError
from serpens.families import FAMILIES

# What the order of float32 sums may change in four epochs; a gradient that is off by a factor changes far more.
LOSSES = {"rtol": 1e-5, "atol": 1e-7}
WEIGHTS = {"rtol": 1e-3, "atol": 1e-5}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def fit(learner, size=1, checkpoints=None, progress=None, nodes=1, free_bytes=None, **changes):
    train, validation = data(learner)
    arguments = FAMILIES[learner.family].load().build, learner.problem, learner.settings, train, validation
    made_of = {"training": TRAINING | learner.training | changes, "seed": 3, "device": "cpu"}
    own = {"checkpoints": checkpoints, "progress": progress}
    if size == 1:
        return training.fit_network(*arguments, **made_of, **own)
    with processes.together(*arguments, **made_of, size=size, nodes=nodes, threads=1, free_bytes=free_bytes) as team:
        return training.fit_network(*arguments, **made_of, **own, team=team)


def assert_same(one, other):
    np.testing.assert_allclose(one[1].train_loss, other[1].train_loss, **LOSSES)
    np.testing.assert_allclose(one[1].validation_loss, other[1].validation_loss, **LOSSES)
    expected = other[0].state_dict()
    for name, values in one[0].state_dict().items():
        torch.testing.assert_close(values, expected[name], **WEIGHTS, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mlp, weighted values", 2),
        ("mlp, balanced classes", 2),
        ("cnn, weighted classes", 2),
        ("custom", 2),
        ("cnn, weighted classes", 4),  # the last batch has three rows
        *(pytest.param(name, size, marks=pytest.mark.slow) for name in LEARNERS for size in (3, 4)),
    ],
)
def test_the_result_is_that_of_one_process(name, size):
    one = fit(LEARNERS[name])
    assert_same(fit(LEARNERS[name], size), one)
    assert abs(one[1].train_loss[0] / one[1].train_loss[-1] - 1) > 0.01  # else any gradient would do


# A network of the user's that writes down which rows it is given, or fails, in the first process or in another.
ODD = """
import os

import torch
from torch import nn


class Odd(nn.Module):
    def __init__(self, *, input_shape, n_outputs, first, seen=None, fails=None, fit=None, remembers=False):
        super().__init__()
        self.layer = nn.Linear(*input_shape, n_outputs)
        self.first, self.seen, self.fails, self.fit = first, seen, fails, fit
        if remembers:
            self.register_buffer("mean", torch.zeros(input_shape))

    def forward(self, x):
        if self.training:
            number = int(os.getpid() != self.first)
            if self.seen:
                with open(f"{self.seen}/{os.getpid()}", "a") as file:
                    print(*x[:, 0].tolist(), file=file)
            if self.fit is not None and number and len(x) > self.fit:
                raise torch.OutOfMemoryError
            if self.fails == number:
                raise ValueError(f"no {x.shape[1]}")
            if hasattr(self, "mean"):
                self.mean.lerp_(x.mean(0), 0.1)
        return self.layer(x.reshape(x.shape[0], -1))
"""


@pytest.fixture
def odd(folder):
    (folder / "odd.py").write_text(ODD)

    def learner(problem=VALUES, **arguments):
        return Learner("custom", {"path": "odd.py:Odd", "arguments": {"first": os.getpid()} | arguments}, problem)

    return learner


def children(pid="self"):
    """Return the processes that one has started, dead ones not."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in path.read_text().split() if state(child) not in (None, "Z")]
    return found


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    wait_for(lambda: not children())


def test_every_row_is_seen_once_an_epoch_by_one_process(odd, folder):
    (folder / "seen").mkdir()
    found = fit(odd(seen="seen"), 4, max_epochs=2)
    seen = [
        [list(map(float, line.split())) for line in path.read_text().splitlines()]
        for path in (folder / "seen").iterdir()
    ]
    assert [len(batches) for batches in seen] == [10] * 4  # five batches an epoch, the fifth of three rows
    train, _ = data(odd())
    for epoch in (0, 5):
        rows = sorted(row for batches in seen for batch in batches[epoch : epoch + 5] for row in batch)
        last = sorted(row for batches in seen for row in batches[epoch + 4])
        assert sorted(set(rows)) == sorted(train.X[:, 0].tolist())
        # who got none of the three does one of them again, which counts for nothing
        assert len(rows) - len(train) == len(last) - len(set(last)) == 1
    assert_same(found, fit(odd(), max_epochs=2))


def test_a_process_whose_memory_runs_out_makes_all_do_passes(odd, caplog):
    one = fit(odd())
    assert_same(fit(odd(fit=3), 2), one)
    assert [message.partition(" rows at once")[0] for message in caplog.messages if "passes" in message] == ["8", "4"]


def test_a_network_that_remembers_its_batches_is_refused(odd):
    with pytest.raises(ConfigurationError, match="must remember nothing of its batches"):
        fit(odd(remembers=True), 2)


def test_what_another_process_cannot_mend_is_raised_here(odd):
    with pytest.raises(EnvironmentFaultError, match="must hold the network and a pass through it, and does not"):
        fit(odd(fit=0), 2)


def test_memory_that_runs_out_where_a_network_is_dealt_out_is_an_error(odd):
    with pytest.raises(EnvironmentFaultError) as caught:
        fit(odd(fit=3), 2, free_bytes=1)
    assert str(caught.value) == (
        "a batch of 16 rows must fit the memory of this machine, and does not: it cannot be done in passes, since "
        "others wait for each of its layers. Lower training.batch_size, or train on more GPUs (resources.gpu)"
    )


def test_an_error_of_another_process_is_shown_with_its_place(odd):
    with pytest.raises(RuntimeError) as caught:
        fit(odd(fails=1), 2)
    assert str(caught.value).startswith("process 2 of 2 failed:\nTraceback")
    assert "no 6" in str(caught.value)
    assert "odd.py" in str(caught.value)


def test_an_error_here_is_this_processs(odd):
    with pytest.raises(ValueError, match="no 6"):
        fit(odd(fails=0), 3)


def test_when_a_process_is_killed_all_end(odd):
    def kill(epoch, *_):
        if epoch == 2:
            os.kill(children()[0], signal.SIGKILL)

    begun = time.monotonic()
    with pytest.raises(TrainingStoppedError) as caught:
        fit(odd(), 3, progress=kill, max_epochs=10_000)
    assert time.monotonic() - begun < 30
    assert str(caught.value) == (
        "process 2 of 3 of this training was killed by SIGKILL, and all ended with it: run again, and the training "
        "goes on from its last checkpoint"
    )


def test_a_process_that_does_not_come_is_an_error(monkeypatch, odd):
    monkeypatch.setattr(processes, "_command", lambda place: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(EnvironmentFaultError) as caught:
        fit(odd(), 2)
    assert str(caught.value) == (
        "process 2 of 2 of this training ended with exit status 3 before the training began: the lines of the log "
        "above this one say why"
    )


@pytest.mark.parametrize(("threads", "each"), [(7, 2), (2, 1)])
def test_cores_are_shared(monkeypatch, threads, each):
    given = []
    monkeypatch.setattr(processes, "_command", lambda place: given.append(place) or ["false"])
    with pytest.raises(EnvironmentFaultError), processes._led(3, 1, threads, "cpu", None):
        pass
    assert [(place.number, place.local, place.threads) for place in given] == [(1, 1, each), (2, 2, each)]


def test_processes_that_do_not_find_each_other_are_an_error(monkeypatch, odd):
    monkeypatch.setattr(processes, "_command", lambda place: ["sleep", "60"])
    monkeypatch.setattr(processes, "START_SECONDS", 0.5)
    monkeypatch.setattr(companions, "END_SECONDS", 0.1)
    with pytest.raises(EnvironmentFaultError) as caught:
        fit(odd(), 2)
    assert str(caught.value) == (
        "the 2 processes of a training must find each other within 0 s, and did not: nodes must reach each other by "
        "their host names on any port, and have cores and memory for all"
    )


def test_who_waits_for_a_dead_process_does_not_wait_for_ever():
    """On a GPU the loss of another process shows nowhere: who is still busy after a while is ended."""
    program = (
        "import logging, time; from serpens import companions; companions.GRACE_SECONDS = 0.1\n"
        "logging.getLogger('serpens').addHandler(logging.NullHandler())\n"
        "with companions.Companions(2, dict) as others:\n"
        "    others.start(['false'], range(1, 2))\n"
        "    time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(companions.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "TrainingStoppedError: process 2 of 2 of this training ended with exit status 1, and all ended with it: run "
        "again, and the training goes on from its last checkpoint\n"
    )


# --- going on where a training was stopped ----------------------------------------------------------------------------

TRAIN = """
import hashlib, sys

from tests.unit.learners import LEARNERS
from tests.unit.test_processes import fit
from serpens.checkpoints import Checkpoints

with Checkpoints(sys.argv[1], "key", every_seconds=0) as checkpoints:
    checkpoints.open()
    network, history = fit(LEARNERS["cnn, weighted classes"], int(sys.argv[2]), checkpoints, max_epochs=12)
weights = b"".join(values.numpy().tobytes() for values in network.state_dict().values())
print(hashlib.sha256(weights + repr(history).encode()).hexdigest())
"""


@contextlib.contextmanager
def training_in(folder, size):
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'workflow'}"}
    command = [sys.executable, "-c", TRAIN, str(folder / "run"), str(size)]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        if process.poll() is None:
            process.kill()


def steps(folder):
    return [int(path.name.rpartition("-")[2]) for path in folder.glob("run/key/checkpoint-*")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function that tells what a training by so many processes ends in, each made once."""
    made = {}

    def get(size):
        if size not in made:
            with training_in(tmp_path_factory.mktemp("undisturbed"), size) as process:
                made[size], said = process.communicate(timeout=100)
            assert process.returncode == 0, said
        return made[size]

    return get


@pytest.mark.parametrize(
    ("size", "number", "whom"),
    [
        (2, "SIGKILL", "first"),
        (2, "SIGKILL", "other"),
        pytest.param(2, "SIGTERM", "first", marks=pytest.mark.slow),
        # from three on the order matters in which they are added up
        pytest.param(3, "SIGKILL", "first", marks=pytest.mark.slow),
    ],
)
def test_a_training_goes_on_to_the_same_bits(folder, undisturbed, size, number, whom):
    with training_in(folder, size) as process:
        wait_for(lambda: max(steps(folder), default=0) > 17)
        others = children(process.pid)
        os.kill(process.pid if whom == "first" else others[0], signal.Signals[number])
        said = process.communicate(timeout=30)[1]
        assert process.returncode != 0
        assert ("TrainingStoppedError" in said) is ((number, whom) != ("SIGKILL", "first")), said
        wait_for(lambda: all(state(other) in (None, "Z") for other in others), 10)
        assert max(steps(folder)) < 5 * 12
    with training_in(folder, size) as process:
        digest, said = process.communicate(timeout=100)
    assert digest == undisturbed(size), said


@pytest.mark.slow
def test_other_processes_heed_no_signal_that_stops(folder, undisturbed):
    with training_in(folder, 2) as process:
        wait_for(lambda: max(steps(folder), default=0) > 17)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            os.kill(children(process.pid)[0], number)
        assert process.communicate(timeout=100)[0] == undisturbed(2)


def test_another_number_of_processes_starts_anew(folder, caplog):
    learner = LEARNERS["mlp, values"]
    with pytest.raises(TrainingStoppedError), Checkpoints(folder / "run", "key", every_seconds=0) as checkpoints:
        checkpoints.open()
        checkpoints._heed(signal.SIGTERM, None)
        fit(learner, 2, checkpoints)
    with Checkpoints(folder / "run", "key") as checkpoints:
        checkpoints.open()
        one = fit(learner, 1, checkpoints)
    assert "training starts anew: they were made on 2 x cpu, this is cpu, and the two round differently" in caplog.text
    assert one[1] == fit(learner)[1]
