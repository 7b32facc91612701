"""Parts of batches: every row once, shares that add up, and the chance of the whole batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from serpens import parts
from serpens.models.cnn import RandomShift
from serpens.parts import Part


@given(n=st.integers(0, 60), size=st.integers(1, 9), most=st.integers(1, 20))
def test_each_row_is_in_one_part_and_in_one_pass(n, size, most):
    dealt = [Part.dealt(n, number, size) for number in range(size)]
    passes = [each for part in dealt for each in part.passes(most)]
    assert [row for part in dealt for row in range(n)[part.rows]] == list(range(n))
    assert [row for each in passes for row in range(n)[each.rows]] == list(range(n))
    assert all(0 < each.n_rows <= most and each.of == n for each in passes)
    assert max(part.n_rows for part in dealt) - min(part.n_rows for part in dealt) <= 1
    filled = [torch.arange(n)[part.filled(size)].tolist() for part in dealt] if n else []
    assert {len(rows) for rows in filled} <= {dealt[0].n_rows}
    assert all(rows[: part.n_rows] == list(range(n))[part.rows] for part, rows in zip(dealt, filled, strict=False))
    assert [part.is_whole for part in dealt] == [part.n_rows == n for part in dealt]


@pytest.mark.parametrize("weighted", [False, True])
def test_shares_are_of_the_weight(weighted):
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0]) if weighted else None
    assert [float(Part(0, 1, 4).share(weight)), float(Part(1, 4, 4).share(weight))] == pytest.approx(
        [0.1, 0.9] if weighted else [0.25, 0.75]
    )


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Dropout(0.4), (7,)),
        (lambda: nn.Dropout(0.4, inplace=True), (3, 4)),
        (lambda: nn.Dropout1d(0.4), (5, 2)),
        (lambda: nn.Dropout2d(0.4), (5, 2, 2)),
        (lambda: nn.Dropout3d(0.4), (5, 2, 2, 2)),
        (lambda: RandomShift(1), (1, 4, 4)),
    ],
)
def test_parts_draw_what_the_whole_batch_does_to_the_bit(make, shape):
    x = torch.arange(10 * torch.Size(shape).numel(), dtype=torch.float32).reshape(10, *shape)
    torch.manual_seed(3)
    whole, after = make()(x.clone()), torch.rand(1)
    network = nn.Sequential(make())
    (drawing,) = parts.drawing_by_row(network)
    for size in (1, 2, 3, 12):  # with twelve, two have no rows
        found = []
        for number in range(size):
            torch.manual_seed(3)
            drawing.part = Part.dealt(10, number, size)
            found.append(network(x[drawing.part.rows].clone()))
            assert torch.equal(torch.rand(1), after)  # and leave chance where the whole batch does
        assert torch.equal(torch.cat(found), whole)
    assert not torch.equal(whole, x)
    drawing.part = Part(0, 4, 10)
    assert torch.equal(network.eval()(x), x)


def test_dropout_stays_the_module_that_it_was():
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.25)))
    dropout, state = network[1][0], network.state_dict().keys()
    assert parts.drawing_by_row(network) == [dropout]
    assert network[1][0] is dropout
    assert (dropout.p, network.state_dict().keys()) == (0.25, state)


def test_who_normalises_by_the_batch_and_who_remembers_it():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(2))

    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.GroupNorm(1, 2), nn.InstanceNorm1d(2), Own())
    assert parts.coupling(network) == ["1"]
    before = parts.remembering(network)
    assert list(before) == ["4.mean"]
    network[4].mean.add_(1)
    assert parts.remembering(network) != before
