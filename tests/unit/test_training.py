"""The training loop and its parts, against torch's own and against formulas."""

import random

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from serpens import losses, optimizers, training, trainingstate
from serpens.data import Examples, Problem
from serpens.errors import DataError
from serpens.models.cnn import RandomShift
from serpens.optimizers import Flat, Optimizer, learning_rate_at

PROBLEM = Problem("regression", (4,), 1)
SETTINGS = {
    "max_epochs": 5,
    "batch_size": 8,
    "learning_rate": 0.01,
    "patience": 20,
    "optimizer": "adamw",
    "schedule": "constant",
    "weight_decay": 0.0,
    "momentum": 0.9,
    "class_weights": "none",
    "precision": "auto",
    "compile": False,
    "deterministic": True,
}


def build(problem, *, dropout=0.0):
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, problem.n_outputs))


def rows(n=50, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    return Examples(X, (X[:, :1] - X[:, 1:2] ** 2).astype(np.float32))


def fit(train=None, validation=None, problem=PROBLEM, settings=None, build=build, seed=0, **changes):
    train = rows() if train is None else train
    validation = rows(20, seed=1) if validation is None else validation
    return training.fit_network(
        build, problem, settings or {}, train, validation, training=SETTINGS | changes, seed=seed
    )


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1)),
        ("adam", lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1)),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1)),
        ("adadelta", lambda p: torch.optim.Adadelta(p, lr=0.01, weight_decay=0.1)),
    ],
)
def test_an_optimiser_steps_as_torchs(name, make):
    ours, theirs = build(PROBLEM), build(PROBLEM)
    theirs.load_state_dict(ours.state_dict())
    flat = Flat(ours)
    optimizer, reference = Optimizer(name, flat, weight_decay=0.1, momentum=0.9), make(theirs.parameters())
    X, y = torch.from_numpy(rows().X), torch.from_numpy(rows().y)
    for _ in range(20):
        flat.gradient.zero_()
        nn.functional.mse_loss(ours(X), y).backward()
        optimizer.step(0.01)
        reference.zero_grad()
        nn.functional.mse_loss(theirs(X), y).backward()
        reference.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adadelta"])
def test_parameters_that_start_at_even_addresses_are_stepped_as_others(monkeypatch, name):
    def stepped():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 5), nn.Linear(5, 1))
        flat = Flat(network)
        optimizer = Optimizer(name, flat, weight_decay=0.1, momentum=0.9)
        for _ in range(5):
            flat.gradient.zero_()
            network(torch.ones(7, 4)).sum().backward()
            optimizer.step(0.01)
        return network, flat

    dense, _ = stepped()
    monkeypatch.setattr(optimizers, "_grain", lambda device: optimizers.GPU_GRAIN)
    padded, flat = stepped()
    places = [p.storage_offset() for p in padded.parameters()]
    assert places == [optimizers.GPU_GRAIN * k for k in range(6)]
    assert len(flat.vector) == 6 * optimizers.GPU_GRAIN
    assert sum(p.numel() for p in padded.parameters()) == flat.vector.count_nonzero()
    for one, other in zip(padded.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adadelta"])
def test_what_an_optimiser_remembers_lies_where_the_parameters_are(name):
    optimizer = Optimizer(name, Flat(build(PROBLEM).to("meta")), weight_decay=0.1, momentum=0.9)
    assert {tensor.device.type for tensor in optimizer.state_dict().values()} == {"meta"}


def test_one_cycle_is_torchs():
    optimizer = torch.optim.SGD(build(PROBLEM).parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=50)
    for step in range(50):
        expected = optimizer.param_groups[0]["lr"]
        assert learning_rate_at(step, 50, peak=0.3, schedule="one_cycle") == pytest.approx(expected, rel=1e-9)
        optimizer.step()
        if step < 49:
            schedule.step()


@pytest.mark.parametrize("n_steps", [1, 2, 3, 4, 10])
def test_one_cycle_stays_within_its_peak_however_short(n_steps):
    rates = [learning_rate_at(step, n_steps, peak=0.1, schedule="one_cycle") for step in range(n_steps)]
    assert all(0 < rate <= 0.1 for rate in rates)


def test_a_network_comes_back_as_it_was_in_its_best_epoch():
    validation = rows(20, seed=1)
    network, history = fit(validation=validation, learning_rate=0.3, max_epochs=29)
    losses_seen = history.columns()["validation_loss"]
    predicted = training.predict(network, validation.X)
    assert np.mean((predicted - validation.y) ** 2) == pytest.approx(losses_seen.min(), rel=1e-5)
    assert losses_seen.argmin() < len(losses_seen) - 1  # else the last epoch would do as well


def test_training_stops_when_validation_has_not_fallen_for_patience_epochs():
    seen = fit(learning_rate=0.3, patience=4, max_epochs=200)[1].columns()["validation_loss"]
    assert len(seen) < 200
    assert len(seen) - 1 - seen.argmin() == 4


def test_a_cycle_is_finished():
    history = fit(learning_rate=0.3, patience=1, max_epochs=30, schedule="one_cycle")[1].columns()
    assert len(history["epoch"]) == 30
    assert history["learning_rate"][-1] < 1e-3 * history["learning_rate"].max()


def test_each_row_is_seen_once_an_epoch_the_last_batch_too():
    seen = []

    class Watch(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x):
            if self.training:
                seen.append(x[:, 0].tolist())
            return self.layer(x)

    train = rows(21)
    fit(train=train, build=lambda problem: Watch(), max_epochs=2)
    assert [len(batch) for batch in seen] == [8, 8, 5] * 2
    for epoch in (seen[:3], seen[3:]):
        assert sorted(value for batch in epoch for value in batch) == sorted(train.X[:, 0].tolist())
    assert seen[:3] != seen[3:]


def test_more_dropout_sees_the_same_batches():
    orders = []
    for dropout in (0.0, 0.5):
        order = []

        class Watch(nn.Module):
            def __init__(self, order=order, dropout=dropout):
                super().__init__()
                self.layers, self.order = nn.Sequential(nn.Dropout(dropout), nn.Linear(4, 1)), order

            def forward(self, x):
                if self.training:
                    self.order.append(x[:, 0].tolist())
                return self.layers(x)

        fit(build=lambda problem, made=Watch: made())
        orders.append(order)
    assert orders[0] == orders[1]


def test_the_worlds_chance_is_left_alone():
    def draws():
        return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002 - old code draws so

    def seeded():
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002 - old code draws so
        random.seed(3)

    seeded()
    expected = draws()
    seeded()
    fit(settings={"dropout": 0.5})
    assert draws() == expected


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpus_chance_is_its_own_kept_and_taken_up(monkeypatch, device):
    there, module = {"state": torch.tensor([7])}, getattr(torch, device)
    monkeypatch.setattr(module, "get_rng_state", lambda device: there["state"])
    monkeypatch.setattr(module, "set_rng_state", lambda state, device: there.update(state=state))
    with trainingstate.own_chance(0, torch.device(device)):
        there["state"] = torch.tensor([8])
        tensors, facts = trainingstate._chance(torch.device(device))
        there["state"] = torch.tensor([9])
        trainingstate._take_chance(tensors, facts, torch.device(device))
        assert there["state"] == torch.tensor([8])
    assert there["state"] == torch.tensor([7])


def test_trial_steps_are_undone():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    flat = Flat(network)
    optimizer = Optimizer("adamw", flat, weight_decay=0.1, momentum=0.9)
    now = trainingstate.TrainingState(network, optimizer, torch.Generator().manual_seed(0), n_batches=3)
    now.shuffle(10)

    def all_there_is():
        parts = [*network.state_dict().values(), *optimizer.state_dict().values(), now.total, now.order.get_state()]
        return [part.clone() for part in (*parts, torch.get_rng_state())]

    def step():
        network(torch.randn(10, 4)).sum().backward()
        optimizer.step(0.1)
        now.total += 1
        now.shuffle(10)

    step()
    before, place = all_there_is(), now.total.data_ptr()
    with pytest.raises(KeyError), now.undone():
        step()
        raise KeyError
    assert all(torch.equal(one, other) for one, other in zip(all_there_is(), before, strict=True))
    assert now.total.data_ptr() == place
    step()
    assert not any(torch.equal(one, other) for one, other in zip(all_there_is(), before, strict=True))


def test_an_order_drawn_ahead_is_the_order():
    def orders(ahead):
        now = trainingstate.TrainingState(nn.Linear(1, 1), None, torch.Generator().manual_seed(0), n_batches=1)
        for epoch in range(4):
            shuffled = now.shuffle(9)
            kept = now._before_shuffle.clone()
            if ahead and epoch != 1:
                now.shuffle_ahead(9)
            assert torch.equal(now._before_shuffle, kept)
            yield [*shuffled.tolist(), *kept.tolist()]

    assert list(orders(ahead=True)) == list(orders(ahead=False))


def test_a_network_of_ones_own_may_draw_from_numpy_and_python():
    class Noisy(nn.Linear):
        def forward(self, x):
            return super().forward(x + np.random.normal() + random.random())  # noqa: NPY002 - old code draws so

    one, other = (fit(build=lambda problem: Noisy(4, 1))[1] for _ in range(2))
    assert one.train_loss == other.train_loss


def test_a_loss_that_is_not_finite_stops_training():
    wild = Examples(np.full((10, 4), 1e30, np.float32), np.full((10, 1), 1e30, np.float32))
    with pytest.raises(DataError, match="loss") as caught:
        fit(train=wild)
    assert "epoch 1" in str(caught.value)
    assert "learning_rate" in str(caught.value)


def test_losses_are_weighted_means():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(6, 3)))
    codes, weight = torch.tensor([0, 1, 2, 2, 1, 0]), torch.tensor([1.0, 2, 3, 4, 5, 6], dtype=torch.float64)
    each = -torch.log_softmax(logits, dim=1)[torch.arange(6), codes]
    of_classes = losses.for_task("classification")
    assert of_classes(logits, codes, None).item() == pytest.approx(each.mean().item())
    assert of_classes(logits, codes, weight).item() == pytest.approx(((each * weight).sum() / weight.sum()).item())
    outputs, y = torch.from_numpy(rng.normal(size=(6, 2))), torch.from_numpy(rng.normal(size=(6, 2)))
    squared = ((outputs - y) ** 2).mean(dim=1)
    of_values = losses.for_task("regression")
    assert of_values(outputs, y, None).item() == pytest.approx(squared.mean().item())
    assert of_values(outputs, y, weight).item() == pytest.approx(((squared * weight).sum() / weight.sum()).item())


def test_balanced_class_weights_are_scikit_learns():
    y = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    assert losses.balanced(torch.from_numpy(y), 3).numpy() == pytest.approx(expected[y], rel=1e-6)


def test_balanced_weights_find_the_rare_class():
    rng = np.random.default_rng(0)
    y = (rng.random(600) < 0.1).astype(np.int64)
    X = (rng.normal(size=(600, 4)) + y[:, None] * 0.7).astype(np.float32)
    train, problem = Examples(X, y), Problem("classification", (4,), 2)
    found = {}
    for weights in ("none", "balanced"):
        network, _ = fit(train=train, validation=train, problem=problem, class_weights=weights, max_epochs=20)
        found[weights] = (training.predict(network, X).argmax(axis=1)[y == 1] == 1).mean()
    assert found["balanced"] > found["none"] + 0.2


def test_predictions_in_parts_are_predictions_at_once(monkeypatch):
    network, _ = fit()
    X = rows(100).X
    whole = training.predict(network, X)
    monkeypatch.setattr(training, "PREDICT_ROWS", 7)
    assert training.predict(network, X) == pytest.approx(whole, abs=1e-6)


def test_a_shift_moves_each_image_and_repeats_its_border():
    torch.manual_seed(0)
    images = torch.arange(2 * 1 * 4 * 5, dtype=torch.float32).reshape(2, 1, 4, 5)
    shift = RandomShift(1)
    assert torch.equal(shift.eval()(images), images)
    assert torch.equal(RandomShift(0).train()(images), images)
    seen = set()
    for _ in range(60):
        shifted = shift.train()(images)
        for image, moved in zip(images, shifted, strict=True):
            padded = np.pad(image[0].numpy(), 1, mode="edge")
            windows = {
                (down, right): padded[down : down + 4, right : right + 5] for down in range(3) for right in range(3)
            }
            matches = [place for place, window in windows.items() if (window == moved[0].numpy()).all()]
            assert len(matches) == 1
            seen.add(matches[0])
    assert len(seen) == 9


def test_a_saved_optimiser_goes_on_as_if_never_stopped():
    torch.manual_seed(0)
    gradients = [torch.randn(sum(p.numel() for p in build(PROBLEM).parameters())) for _ in range(6)]

    def steps(optimizer, some):
        for gradient in some:
            optimizer.flat.gradient.copy_(gradient)
            optimizer.step(0.01)

    whole = Optimizer("adamw", Flat(build(PROBLEM)), weight_decay=0.1, momentum=0.9)
    start = whole.flat.vector.clone()
    steps(whole, gradients[:3])
    saved = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    middle = whole.flat.vector.clone()
    steps(whole, gradients[3:])
    resumed = Optimizer("adamw", Flat(build(PROBLEM)), weight_decay=0.1, momentum=0.9)
    resumed.flat.vector.copy_(middle)
    resumed.load_state_dict(saved)
    steps(resumed, gradients[3:])
    assert torch.equal(resumed.flat.vector, whole.flat.vector)
    assert not torch.equal(start, middle)


def test_without_a_gpu_training_runs_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.choose_device(1) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training.choose_device(0) == "cpu"
    assert training.choose_device(1) == "cuda"
