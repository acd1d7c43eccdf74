"""Errors of converters say which operator of which layer they are about."""

import pytest
import torch
from torch import nn

from edgeseg.errors import ExportError
from edgeseg.export.channels_last import channels_last
from edgeseg.export.rewrites import rewrite
from edgeseg.export.to_onnx import to_onnx
from edgeseg.export.to_tflite import to_tflite

SIZE = (8, 8)


class Odd(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def network(function):
    return rewrite(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Sequential(nn.ReLU(), Odd(function)), nn.Conv2d(2, 1, 1)))


def as_onnx(net):
    to_onnx(net, SIZE)


def as_tflite(net):
    to_tflite(channels_last(net, SIZE), SIZE, int8=False)


@pytest.mark.slow
@pytest.mark.parametrize("lower", [as_onnx, as_tflite])
@pytest.mark.parametrize(
    ("function", "name"), [(torch.special.bessel_j0, "special_bessel_j0"), (lambda x: torch.igamma(x.abs(), x.abs()), "igamma")]
)
def test_operator_and_layer(lower, function, name):
    with pytest.raises(ExportError, match=rf"operator {name} in layer 1\.1; replace it") as caught:
        lower(network(function))
    assert "\n" not in str(caught.value)
