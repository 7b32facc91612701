"""The same bits each time: what torch is told, and what a network that cannot is told."""

import os

import pytest
import torch

from serpens.determinism import CUBLAS, deterministic
from serpens.errors import ConfigurationError

CUDA = torch.device("cuda")


def state():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,
    )


@pytest.fixture(autouse=True)
def cublas(monkeypatch):
    monkeypatch.setenv(CUBLAS, "")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)


def test_a_gpu_is_told_within_a_block_alone():
    before = state()
    with pytest.raises(KeyError), deterministic(CUDA, wanted=True):
        assert state() == (True, True, False, False)
        assert os.environ[CUBLAS] == ":4096:8"
        raise KeyError
    assert state() == before


def test_a_choice_of_the_users_that_is_as_good_stays(monkeypatch):
    monkeypatch.setenv(CUBLAS, ":16:8")
    with deterministic(CUDA, wanted=True):
        assert os.environ[CUBLAS] == ":16:8"


@pytest.mark.parametrize(("device", "wanted"), [("cpu", True), ("cuda", False), ("mps", True)])
def test_else_nothing_is_told(device, wanted):
    before = state()
    with deterministic(torch.device(device), wanted=wanted):
        assert state() == before
        # but this, which torch reads once: another training in the same process may want it
        assert os.environ[CUBLAS] == (":4096:8" if device == "cuda" else "")


def test_an_operation_that_cannot_is_named_with_the_cure():
    message = (
        r"^the network must use operations that give the same bits each time, and put_ does not on a GPU: use another "
        r"operation, train on the CPU \(resources\.gpu: 0\), or set training\.deterministic: false, after which this "
        r"training cannot be made again exactly$"
    )
    with pytest.raises(ConfigurationError, match=message), deterministic(CUDA, wanted=True):
        torch.zeros(3).put_(torch.tensor([1]), torch.ones(1))
    with pytest.raises(RuntimeError, match="something else"), deterministic(CUDA, wanted=True):
        raise RuntimeError("something else")
