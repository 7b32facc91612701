import pytest
import torch
from torch import nn

from serpens.models import dense
from serpens.models.dense import Linear, is_wide_amd


@pytest.fixture(autouse=True)
def by_onednn(monkeypatch):
    """Compute by oneDNN whatever this machine is."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(dense, "_is_faster", lambda: True)


@pytest.mark.parametrize(
    ("text", "wide"),
    [
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t: 2\n", True),
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t: 17\n", False),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 26\n", False),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", False),
    ],
)
def test_the_cpu_is_known_by_its_family(tmp_path, text, wide):
    (tmp_path / "cpuinfo").write_text(text)
    assert is_wide_amd(tmp_path / "cpuinfo") is wide
    assert not is_wide_amd(tmp_path / "none")


@pytest.mark.parametrize(("n", "d_in", "d_out"), [(1, 1, 1), (7, 28, 16), (64, 5, 1), (256, 256, 256)])
def test_outputs_and_gradients_are_those_of_torchs_layer(n, d_in, d_out):
    torch.manual_seed(0)
    ours, theirs = Linear(d_in, d_out), nn.Linear(d_in, d_out)
    theirs.load_state_dict(ours.state_dict())
    x, gradient = torch.randn(n, d_in), torch.randn(n, d_out)
    found = []
    for layer in (ours, theirs):
        inputs = x.clone().requires_grad_()
        out = layer(inputs)
        out.backward(gradient)
        found.append((out.detach(), inputs.grad, layer.weight.grad, layer.bias.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_what_is_not_learned_is_torchs_layer_to_the_bit():
    torch.manual_seed(0)
    layer, x = Linear(5, 3), torch.randn(7, 5)
    with torch.no_grad():
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
    double = Linear(5, 3).double()
    assert double(x.double()).dtype == torch.float64


def test_the_same_inputs_give_the_same_bits():
    torch.manual_seed(0)
    layer, x = Linear(64, 32), torch.randn(128, 64)
    results = []
    for _ in range(5):
        layer.zero_grad()
        layer(x).square().sum().backward()
        results.append(layer.weight.grad.clone())
    assert all(torch.equal(results[0], other) for other in results[1:])
