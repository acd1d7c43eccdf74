"""Two convolutions for one go into both formats as such, none of them in float."""

import pytest
import torch
from torch import nn

from edgeseg.export.choices import INT8
from edgeseg.export.files import Accuracy, export
from edgeseg.models.checkpoint import Model, ModelCard, weights_sha256
from edgeseg.models.layers import SegmentationNetwork, conv_bn
from edgeseg.models.rewrites import rewrite
from tests.export.test_files import QUICK, SIZE, pictures
from tests.networks import seeded

FORMS = {
    "dilated.0": {"kind": "separable", "multiplier": 2},
    "asymmetric.0": {"kind": "separable", "multiplier": 1},
    "strided.0": {"kind": "separable", "multiplier": 1},
    "wide.0": {"kind": "low_rank", "rank": 4},
}


class Small(SegmentationNetwork):
    size_divisor, output_stride = 4, 4

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 8, 3, stride=2, activation=nn.ReLU())
        self.dilated = conv_bn(8, 8, 3, dilation=2, activation=nn.ReLU())
        self.asymmetric = conv_bn(8, 8, (5, 1), activation=nn.ReLU())
        self.strided = conv_bn(8, 16, 3, stride=2, activation=nn.ReLU())
        self.wide = conv_bn(16, 32, activation=nn.ReLU())
        self.head = nn.Conv2d(32, 1, 1)

    def forward(self, image):
        return self.head(self.wide(self.strided(self.asymmetric(self.dilated(self.stem(image))))))


@pytest.mark.slow
def test_both_formats(tmp_path):
    torch.manual_seed(0)
    network = Small()
    rewrite(network, FORMS)
    seeded(network)
    model = Model(network, ModelCard("enet", name="small", size=SIZE), weights_sha256(network.state_dict()))
    for file in export(model, pictures(), tmp_path, choices=INT8, calibration=QUICK, accuracy=Accuracy(force=True)):
        assert file.parity.sqnr_db > 15
        assert file.ops["float"] == 0
        pads = {"tflite": 2, "onnx": 0}[file.format]  # before a stride of 2, as for dense convolutions
        copies = 1  # of the input of two kernels a channel, side by side
        assert file.ops["int8"] == 2 + 2 * len(FORMS) + pads + copies  # the stem, the head, and two for each of them
