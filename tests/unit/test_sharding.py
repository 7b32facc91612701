"""Networks that are dealt out because one device is too small for them: the result of one process."""

import signal

import pytest
from tests.unit import test_processes
from tests.unit.learners import LEARNERS
from tests.unit.test_processes import assert_same, fit

from serpens import sharding
from serpens.checkpoints import Checkpoints
from serpens.errors import TrainingStoppedError

folder = test_processes.folder
nothing_is_left = test_processes.nothing_is_left


@pytest.mark.parametrize(("n_slots", "least_bytes"), [(1, 2000), (2, 2500)])
def test_a_device_must_hold_parameters_gradients_optimiser_and_best_epoch(n_slots, least_bytes):
    assert not sharding.needed(100, n_slots, least_bytes)
    assert sharding.needed(100, n_slots, least_bytes - 1)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("cnn, weighted classes", 2),
        *(pytest.param(name, 3, marks=pytest.mark.slow) for name in LEARNERS),
    ],
)
def test_a_network_that_is_dealt_out_learns_what_it_would_in_one_piece(name, size, caplog):
    caplog.set_level("INFO")
    assert_same(fit(LEARNERS[name], size, free_bytes=1), fit(LEARNERS[name]))
    assert f"the network is dealt to {size} processes: the memory of one does not hold it" in caplog.messages


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("sgd", marks=pytest.mark.slow)])
def test_it_goes_on_to_the_same_bits(folder, optimizer):
    learner, how = LEARNERS["cnn, weighted classes"], {"free_bytes": 1, "optimizer": optimizer, "max_epochs": 3}
    whole = fit(learner, 2, **how)
    with (
        pytest.raises(TrainingStoppedError, match="in epoch 2 after step 7"),
        Checkpoints(folder / "run", "key", every_seconds=1e9) as checkpoints,
    ):
        checkpoints.open()
        steps = iter(range(100))

        def due():
            if next(steps) == 6:
                checkpoints._heed(signal.SIGTERM, None)
            return Checkpoints.due(checkpoints)

        checkpoints.due = due
        fit(learner, 2, checkpoints, **how)
    with Checkpoints(folder / "run", "key") as checkpoints:
        checkpoints.open()
        resumed = fit(learner, 2, checkpoints, **how)
    assert resumed[1] == whole[1]
    for name, values in whole[0].state_dict().items():
        assert values.numpy().tobytes() == resumed[0].state_dict()[name].numpy().tobytes()
