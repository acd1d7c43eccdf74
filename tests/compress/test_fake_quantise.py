import pytest
import torch

from edgeseg.export.quiet import quiet

with quiet():
    from edgeseg.compress.fake_quantise import Activation, Weight, _dot

# scale 1/2, zero point -2: from -63 to 64.5
CASES = [
    # x, value, gradient of x, gradient of the logarithm of the scale (value outside, value - x inside)
    (0.0, 0.0, 1, 0.0),
    (0.3, 0.5, 1, 0.2),
    (-0.7, -0.5, 1, 0.2),
    (64.4, 64.5, 1, 0.1),
    (70.0, 64.5, 0, 64.5),
    (-80.0, -63.0, 0, -63.0),
]


@pytest.mark.parametrize(("x", "value", "slope", "of_scale"), CASES)
def test_values_and_gradients_by_hand(x, value, slope, of_scale):
    module = Activation(0.5, -2, greatest=1.0)
    module.log_scale.requires_grad_(True)
    tensor = torch.tensor([x], requires_grad=True)
    out = module(tensor)
    out.backward()
    assert out.item() == pytest.approx(value, rel=1e-6)
    assert tensor.grad.item() == slope
    assert module.log_scale.grad.item() == pytest.approx(of_scale, rel=1e-5, abs=1e-4)


def test_a_scale_does_not_grow_beyond_what_was_seen():
    module = Activation(0.5, 0, greatest=0.6)
    for log_scale, expected in ((0.0, 0.6), (-2.0, 0.1353353)):
        module.log_scale.data.fill_(log_scale)
        module.limit()
        assert module.range() == (pytest.approx(expected, rel=1e-6), 0)


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_have_a_scale_for_each_channel(axis):
    weight = torch.tensor([[1.27, 0.014], [-127.0, 63.6]], requires_grad=True)  # channels along axis 0: steps 0.01 and 1
    expected = torch.tensor([[1.27, 0.01], [-127.0, 64.0]])
    given = weight if axis == 0 else weight.T
    out = Weight(axis)(given)
    torch.testing.assert_close(out, expected if axis == 0 else expected.T)
    (out * 3).sum().backward()
    assert (weight.grad == 3).all()


def test_a_channel_of_zeros_stays_zero():
    assert (Weight(0)(torch.zeros(2, 3)) == 0).all()


@pytest.mark.parametrize(
    "formats", [("contiguous_format",) * 2, ("channels_last",) * 2, ("channels_last", "contiguous_format")]
)
def test_sums_of_products_in_any_memory_format(formats):
    a, b = (torch.arange(24.0).reshape(2, 3, 2, 2).to(memory_format=getattr(torch, f)) for f in formats)
    assert _dot(a, b).item() == sum(i * i for i in range(24))
