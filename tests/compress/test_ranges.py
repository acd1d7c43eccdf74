import subprocess
import sys

import pytest
import torch
from torch import nn
from torchao.quantization.pt2e.observer import FixedQParamsObserver

from edgeseg.errors import ModelError
from edgeseg.export.quiet import quiet
from edgeseg.export.rewrites import rewrite
from edgeseg.models import MODELS

with quiet():
    from edgeseg.calib.observers import MinMax
    from edgeseg.compress import quantize
    from edgeseg.compress.ranges import Fixed, apply_ranges, observers, ranges_of, symmetrised

from tests.compress.test_quantize import Joined, ranges


def measured(network, size=(8, 8), **options):
    with quiet(), torch.no_grad():
        prepared = quantize.prepare(network.eval(), size, MinMax, **options)
        prepared(torch.rand(2 if options else 1, 3, *size, generator=torch.Generator().manual_seed(0)))
    return prepared


def test_a_table_stands_for_calibration():
    torch.manual_seed(0)
    network = Joined()
    prepared = measured(network)
    table = ranges_of(prepared)
    with quiet(), torch.no_grad():
        given = quantize.prepare(network, (8, 8), Fixed)
        apply_ranges(given, table)
        image = torch.rand(1, 3, 8, 8)
        expected, got = quantize.convert(prepared), quantize.convert(given)
        assert ranges(got) == ranges(expected)
        assert torch.equal(got(image), expected(image))


def test_symmetric_ranges_reach_as_far():
    table = {"image": (1 / 255, -128), "down": (0.5, 127), "even": (1.0, 0), "up": (0.5, -28)}
    expected = {"image": 1 / 127, "down": 0.5 * 255 / 127, "even": 128 / 127, "up": 0.5 * 155 / 127}
    assert symmetrised(table) == {name: (pytest.approx(scale), 0) for name, scale in expected.items()}


def test_names_are_those_of_the_tensors():
    assert set(ranges_of(measured(Joined()))) == {"image", "relu", "conv2d_2", "relu_1"}


def test_a_range_is_named_by_the_tensor_that_is_born_with_it():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)

        def forward(self, image):
            return torch.cat([self.conv(image), image], 1)

    table = ranges_of(measured(Skip()))
    assert set(table) == {"image", "conv2d"}  # the image is brought to the range of the convolution
    assert table["image"] == (pytest.approx(1 / 255), -128)


@pytest.mark.parametrize(
    ("name", "arguments"), [("enet", {"activation": "relu"}), ("deeplabv3plus-mobilenetv2", {"width": 0.25})]
)
def test_names_are_the_same_at_every_size_and_for_batches(name, arguments):
    with quiet():
        network = rewrite(MODELS[name](1, **arguments))
        names = [list(observers(quantize.prepare(network, size, MinMax))) for size in ((32, 32), (64, 96))]
        assert names[0] == names[1] == list(observers(quantize.prepare(network, (32, 32), MinMax, batches=True)))
    assert len(names[0]) > 50


CODE = """
from tests.compress.test_ranges import measured, ranges_of, Joined
import torch
torch.manual_seed(0)
print(sorted(ranges_of(measured(Joined()))))
"""


@pytest.mark.slow
def test_names_are_the_same_in_another_process():
    shown = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == str(sorted(ranges_of(measured(Joined()))))


def test_every_range_of_a_network_has_a_name():
    with quiet():
        prepared = quantize.prepare(rewrite(MODELS["enet"](1, activation="relu")), (32, 32), MinMax)
    assert set(observers(prepared).values()) == {m for m in prepared.modules() if isinstance(m, MinMax | FixedQParamsObserver)}


def test_a_table_of_another_network_is_refused():
    with quiet():
        prepared = quantize.prepare(Joined().eval(), (8, 8), Fixed)
    with pytest.raises(ModelError, match=r"do not fit its network: 2 of 4 differ, the first is 'conv2d_2'"):
        apply_ranges(prepared, {"image": (1.0, 0), "relu": (1.0, 0), "relu_1": (1.0, 0), "relu_9": (1.0, 0)})
