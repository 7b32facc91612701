"""Where rows lie: the same batches from wherever."""

import numpy as np
import pytest
import torch

from serpens import placement, training
from serpens.data import Examples, Problem
from serpens.modelconfig import Training
from serpens.models import mlp
from serpens.placement import Resident, Streamed

CPU = torch.device("cpu")
N, SIZE = 50, 16


class Sent:
    """A copy on its way: what it is made of may not change before it has arrived."""

    def __init__(self, host):
        self.host, self.expected, self.arrived = host, host.clone(), False

    def synchronize(self):
        assert torch.equal(self.host, self.expected), "the next batch was written over one that had not left"
        self.arrived = True


class Courier:
    """Stands in for the GPU's: copies at once, and says later whether that was early enough."""

    def __init__(self):
        self.rooms, self.sent = [], []

    def room(self, like, n_rows):
        self.rooms.append(torch.empty(n_rows, *like.shape[1:]))
        return self.rooms[-1]

    def send(self, rows):
        waiting = [sent for sent in self.sent if not sent.arrived]
        assert len(waiting) < placement.SLOTS
        self.sent.append(Sent(rows))
        return rows.clone(), self.sent[-1]


def examples(weighted=True):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    return Examples(X, X[:, :1] ** 2, rng.uniform(size=N).astype(np.float32) if weighted else None)


def of(kind, weighted=True):
    given = examples(weighted)
    X, y = torch.from_numpy(given.X), torch.from_numpy(given.y)
    weight = torch.from_numpy(given.weight) if weighted else None
    if kind == "streamed":
        return Streamed(X, y, weight, Courier())
    return Resident(X, y, weight, same_memory=kind == "same memory")


def taken(placed, first=0, epochs=1):
    parts = [slice(k, k + SIZE) for k in range(first, N, SIZE)]
    order = placed.order(torch.randperm(N, generator=torch.Generator().manual_seed(0)))
    for part in parts * epochs:
        yield [None if values is None else values.clone() for values in placed.take(order[part])]


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("first", [0, 2 * SIZE, 3 * SIZE, 4 * SIZE])
@pytest.mark.parametrize("kind", ["same memory", "streamed"])
def test_batches_are_the_same_from_wherever(kind, first, weighted):
    expected = list(taken(of("resident", weighted), first, epochs=2))
    found = list(taken(of(kind, weighted), first, epochs=2))
    assert len(found) == len(expected) == 2 * len(range(first, N, SIZE))
    for batch, other in zip(found, expected, strict=True):
        for one, another in zip(batch, other, strict=True):
            assert (one is None and another is None) or torch.equal(one, another)


def test_a_streamed_epoch_needs_two_rooms():
    placed = of("streamed")
    list(taken(placed))
    assert [len(room) for room in placed.courier.rooms] == [SIZE, SIZE]


def test_full_batches_lie_where_the_one_before_lay():
    order, parts = torch.arange(N), [slice(k, k + SIZE) for k in range(0, N, SIZE)] * 2
    placed = of("same memory")
    places = [{part.data_ptr() for part in placed.take(order[part])} for part in parts]
    assert all(place == places[0] for place in places)
    plain = of("resident")
    one, two = (plain.take(order[part])[0] for part in parts[:2])
    assert one.data_ptr() != two.data_ptr()


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_chunks_are_all_rows_in_their_order(kind):
    chunks = list(of(kind).chunks(SIZE))
    assert [len(chunk) for chunk in chunks] == [16, 16, 16, 2]
    assert torch.equal(torch.cat(chunks), torch.from_numpy(examples().X))


def test_rows_on_a_cpu_are_not_copied():
    given = examples()
    placed = placement.place(given, CPU)
    assert placed.X.data_ptr() == given.X.ctypes.data
    assert placed.y.data_ptr() == given.y.ctypes.data


@pytest.mark.parametrize(("free", "fit"), [(2001, True), (1999, False)])
def test_rows_lie_on_the_gpu_when_they_take_little_of_what_is_free(monkeypatch, caplog, free, fit):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * 10**6, 10**12))
    caplog.set_level("INFO", "serpens")
    table = torch.empty(2 * 10**8, device="meta")
    assert placement.fits(table, torch.device("cuda")) is fit
    said = [record.message for record in caplog.records]
    assert said == ([] if fit else ["0.8 GB of rows stay in the host's memory: the GPU has 2.0 GB free"])
    assert placement.fits(table, CPU)


def test_a_training_from_streamed_rows_ends_in_the_same_bits(monkeypatch):
    given, how = examples(), Training(max_epochs=3, batch_size=SIZE).model_dump()
    build, problem = mlp.build, Problem("regression", (4,), 1)
    settings = {"width": 8, "n_blocks": 1, "activation": "relu", "dropout": 0.2}

    def losses():
        fitted = training.fit_network(build, problem, settings, given, given, training=how, seed=0)
        return fitted[1].columns()["train_loss"].tolist(), fitted[1].columns()["validation_loss"].tolist()

    resident = losses()
    monkeypatch.setattr(placement, "fits", lambda X, device: False)
    monkeypatch.setattr(placement, "Courier", lambda device: Courier())
    assert losses() == resident
