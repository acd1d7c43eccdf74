"""Every expected number is written as the arithmetic that gives it. One multiply-add is one MAC."""

import onnx
import pytest
import torch
from torch import nn

from edgeseg import assets
from edgeseg.export.channels_last import channels_last
from edgeseg.export.rewrites import rewrite
from edgeseg.export.to_onnx import to_onnx
from edgeseg.export.to_tflite import to_tflite
from edgeseg.models import DeepLabV3Plus, ENet
from edgeseg.models.checkpoint import load_model
from edgeseg.models.deeplabv3plus import ASPP
from edgeseg.models.layers import separable
from edgeseg.models.mobilenet import InvertedResidual
from edgeseg.report.cost import count
from edgeseg.report.cost_file import count_file

# A module, its input channels and (height, width), its weights with biases, its MACs.
PIECES = [
    # Output 5x7 pixels, each 8 channels of 3x3x3 products; the bias is not counted as MACs.
    ("conv", nn.Conv2d(3, 8, 3, padding=1), 3, (5, 7), 3 * 9 * 8 + 8, 5 * 7 * 3 * 9 * 8),
    ("strided conv", nn.Conv2d(3, 8, 3, 2, 1, bias=False), 3, (8, 8), 3 * 9 * 8, 4 * 4 * 3 * 9 * 8),
    ("dilated conv", nn.Conv2d(4, 4, 3, padding=2, dilation=2, bias=False), 4, (6, 6), 4 * 9 * 4, 36 * 4 * 9 * 4),
    ("depthwise conv", nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), 16, (6, 6), 9 * 16, 36 * 9 * 16),
    ("grouped conv", nn.Conv2d(16, 32, 3, padding=1, groups=4, bias=False), 16, (6, 6), 4 * 9 * 32, 36 * 4 * 9 * 32),
    # Each of the 6x6 INPUT pixels is multiplied with the whole kernel.
    ("transposed conv k2", nn.ConvTranspose2d(16, 19, 2, 2), 16, (6, 6), 16 * 4 * 19 + 19, 36 * 16 * 4 * 19),
    ("transposed conv k3", nn.ConvTranspose2d(4, 4, 3, 2, 1, 1, bias=False), 4, (6, 6), 4 * 9 * 4, 36 * 4 * 9 * 4),
    ("linear", nn.Linear(10, 4), 3, (2, 10), 10 * 4 + 4, 3 * 2 * 10 * 4),
    ("nothing to multiply", nn.ReLU(), 3, (4, 4), 0, 0),
    # DeepLabv3+: the decoder's atrous separable convolution, with 2 parameters of batch norm for each channel.
    (
        "separable 304 -> 256",
        separable(304, 256),
        304,
        (16, 16),
        304 * 9 + 2 * 304 + 304 * 256 + 2 * 256,
        256 * (304 * 9 + 304 * 256),
    ),
    (
        "inverted residual 24 -> 24, t = 6",
        InvertedResidual(24, 24, 6, 1, 1),
        24,
        (14, 14),
        24 * 144 + 9 * 144 + 144 * 24 + 2 * (144 + 144 + 24),
        14 * 14 * (24 * 144 + 9 * 144 + 144 * 24),
    ),
    (
        "ASPP 320 -> 256 at rates 6, 12, 18",
        ASPP(320, 256, (6, 12, 18)),
        320,
        (16, 16),
        # 1x1 branch; three separable branches; projection of the four; the pooled branch and its own projection
        (320 * 256 + 512) + 3 * (320 * 9 + 640 + 320 * 256 + 512) + (1024 * 256 + 512) + (320 * 256 + 512) + 256 * 256,
        # the pooled branch is one pixel
        256 * (320 * 256 + 3 * (320 * 9 + 320 * 256) + 1024 * 256) + 320 * 256 + 256 * 256,
    ),
]


@pytest.mark.parametrize(("module", "channels", "size", "params", "macs"), [c[1:] for c in PIECES], ids=[c[0] for c in PIECES])
def test_pieces(module, channels, size, params, macs):
    cost = count(module, size, channels)
    assert (cost.params, cost.macs, cost.flops) == (params, macs, 2 * macs)
    assert sum(layer.macs for layer in cost.layers) == macs
    assert sum(layer.params for layer in cost.layers) == params


# ENet at 640x360 with 19 classes, PReLU. (stage, pixels, weights of the kernels, channels that are normalised,
# PReLU slopes); MACs = pixels x weights. Pixels are 57600 at half, 14400 at a quarter, 3600 at an eighth of the size;
# those of a transposed convolution are its input's.
P2, P4, P8 = 180 * 320, 90 * 160, 45 * 80
ENET = [
    ("initial", P2, 3 * 9 * 13, 16, 16),
    ("down1", P4, 4 * 16 * 16 + 9 * 16 * 16 + 16 * 64, 16 + 16 + 64, 16 + 16 + 64),
    *[("stage1", P4, 64 * 16 + 9 * 16 * 16 + 16 * 64, 16 + 16 + 64, 16 + 16 + 64)] * 4,
    ("down2", P8, 4 * 64 * 32 + 9 * 32 * 32 + 32 * 128, 32 + 32 + 128, 32 + 32 + 128),
    *[("stages 2, 3: plain and dilated", P8, 128 * 32 + 9 * 32 * 32 + 32 * 128, 32 + 32 + 128, 32 + 32 + 128)] * 12,
    *[("stages 2, 3: asymmetric", P8, 128 * 32 + 10 * 32 * 32 + 32 * 128, 32 + 32 + 128, 32 + 32 + 128)] * 4,
    ("up4: identity, project, transposed", P8, 128 * 64 + 128 * 16 + 9 * 16 * 16, 64 + 16 + 16, 0),
    ("up4: expand", P4, 16 * 64, 64, 0),
    *[("stage4", P4, 64 * 16 + 9 * 16 * 16 + 16 * 64, 16 + 16 + 64, 0)] * 2,
    ("up5: identity, project, transposed", P4, 64 * 16 + 64 * 4 + 9 * 4 * 4, 16 + 4 + 4, 0),
    ("up5: expand", P2, 4 * 16, 16, 0),
    ("stage5", P2, 16 * 4 + 9 * 4 * 4 + 4 * 16, 4 + 4 + 16, 0),
    ("head 2x2", P2, 4 * 16 * 19, 0, 0),
]


def test_enet_by_its_table():
    """1.724 GMAC. With a 3x3 kernel in the last layer, as some versions have it, 57600 x 5 x 16 x 19 = 0.088 GMAC more: 1.81.

    The paper says 3.83 GFLOPs, which is 1.92 GMAC counted as 2 per multiply-add; it does not say how it was counted.
    """
    macs = sum(pixels * weights for _, pixels, weights, _, _ in ENET)
    params = sum(weights + 2 * normalised + slopes for _, _, weights, normalised, slopes in ENET) + 19  # the head's bias
    assert macs == 1_723_564_800
    assert params == 363_618  # 0.36 M; the paper says 0.37 M
    cost = count(ENet(19), (360, 640))
    assert (cost.macs, cost.params) == (macs, params)


def test_enet_with_the_other_last_kernel():
    network = ENet(19)
    network.head = nn.ConvTranspose2d(16, 19, 3, 2, 1, 1)
    assert count(network, (360, 640)).macs == 1_723_564_800 + P2 * 5 * 16 * 19


def test_layers_are_named_by_their_path():
    layers = {layer.name: layer for layer in count(DeepLabV3Plus(1), (64, 64)).layers}
    assert layers["head"].kind == "Conv2d"
    assert (layers["head"].macs, layers["head"].params) == (16 * 16 * 256, 256 + 1)
    assert layers["backbone.stem.0"].macs == 32 * 32 * 27 * 32


def test_what_is_not_counted_is_listed():
    cost = count(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.ReLU()), (4, 4))
    assert cost.uncounted["relu"] == 2
    assert any("batch_norm" in name for name in cost.uncounted)
    assert "convolution" not in cost.uncounted


def test_a_formula_may_be_added():
    class Square(nn.Module):
        def forward(self, x):
            return x * x

    assert count(Square(), (4, 5)).macs == 0
    cost = count(Square(), (4, 5), formulas={torch.ops.aten.mul: lambda a, b, out_shape: out_shape.numel()})
    assert (cost.macs, cost.uncounted) == (3 * 4 * 5, {})


def test_activations_are_those_of_the_hungriest_operator():
    # 1x1 convolution from 3 to 4 channels: it reads 3 x 16 and writes 4 x 16 elements; the weights are not activations.
    assert count(nn.Conv2d(3, 4, 1), (4, 4)).activations == 3 * 16 + 4 * 16


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    count(network, (4, 4))
    assert network.training
    assert all(torch.equal(v, before[k]) and v.device.type == "cpu" for k, v in network.state_dict().items())


def test_a_functional_convolution_is_charged_to_its_module():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 3, 1, 1))

        def forward(self, x):
            return nn.functional.conv2d(x, self.weight)

    (layer,) = count(nn.Sequential(Functional()), (2, 2)).layers
    assert (layer.name, layer.kind, layer.params, layer.macs) == ("0", "Functional", 12, 12 * 4)


def weights(network):
    """Of convolutions, but for 1x1 ones of each channel alone: such is a batch norm with no convolution to be folded into."""
    found = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    return sum(m.weight.numel() for m in found if m.weight.numel() > m.in_channels)


@pytest.mark.parametrize("name", ["person", "person-large", "person-small", "enet-person", "enet-camvid", "enet-camvid-small"])
def test_network_and_files_agree(name):
    """The files that ship against the network as it is exported; `report/cost.py` says where it differs from the trained."""
    model = load_model(name)
    network, size = model.network, model.card.size
    trained, exported = count(network, size), count(rewrite(network), size)
    tflite, other = (count_file(assets.find(name, format)) for format in ("tflite", "onnx"))
    assert tflite.macs == other.macs == exported.macs
    assert tflite.params == other.params == exported.params
    # A 3x3 kernel of a transposed convolution becomes one of 3x3 to four times the channels, a 2x2 one one of 1x1.
    wider = [m for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    added = sum(3 * m.weight.numel() for m in wider if m.kernel_size == (3, 3))
    assert weights(rewrite(network)) == weights(network) + added
    extra = 3 * sum(layer.macs for layer in trained.layers if layer.kind == "ConvTranspose2d" and layer.name != "head")
    extra += sum(layer.macs for layer in exported.layers if layer.name == "initial.norm")
    assert exported.macs == trained.macs + extra
    # Bytes where torch has float32. A file has steps that torch does inside an operator: paddings and pixel shuffles.
    assert exported.peak_bytes / 4 <= other.peak_bytes <= tflite.peak_bytes <= 1.7 * exported.peak_bytes / 4


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 2, 3, padding=1, bias=False)

    def forward(self, a, b):
        return self.left(a), self.right(b) + a


class Pairs(nn.Module):
    """Lists of modules, modules that take and give two tensors, one that is used twice, and answers by name."""

    def __init__(self):
        super().__init__()
        self.first, self.twice = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 4, 1, bias=False)
        self.steps = nn.ModuleList([Pair(), Pair()])
        self.heads = nn.ModuleDict({"mask": nn.Conv2d(4, 1, 1, bias=False)})

    def forward(self, x):
        a, b = self.twice(self.twice(self.first(x))).chunk(2, 1)
        for step in self.steps:
            a, b = step(a, b)
        return {"mask": self.heads["mask"](torch.cat([a, b], 1)), "left": a}


def test_lists_pairs_and_what_is_used_twice():
    cost = count(Pairs(), (4, 4))
    # Of 16 pixels each: 1x1 from 3 to 4 channels; 4 to 4 twice, with one set of weights; two pairs; 1x1 from 4 to 1.
    wanted = {"first": 12, "twice": 2 * 16, "steps.0.left": 4, "steps.0.right": 36, "steps.1.left": 4, "steps.1.right": 36}
    layers = {layer.name: layer for layer in cost.layers}
    assert {name: layer.macs // 16 for name, layer in layers.items() if layer.macs} == wanted | {"heads.mask": 4}
    assert cost.macs == 16 * (sum(wanted.values()) + 4)
    assert (cost.params, layers["twice"].params) == (12 + 16 + 2 * 40 + 4, 16)
    assert cost.uncounted == {"add": 2}
    # The two halves share 64 elements of memory, which `a` needs until the sum is made; left, right and the sum have 32 each.
    assert (cost.peak_bytes, cost.peak_layer) == (640, "steps.0")


def test_memory_of_a_chain():
    """4 channels of 8x8 float32 are 1024 bytes, 3 are 768. The second convolution reads 1024 and writes 1024."""
    chain = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1, bias=False))
    cost = count(chain, (8, 8))
    assert (cost.peak_bytes, cost.peak_layer) == (2048, "3")
    assert {layer.name: layer.moved_bytes for layer in cost.layers} == {"0": 768 + 48 + 1024, "1": 0, "3": 1024 + 64 + 1024}
    assert cost.layers[0].intensity == 64 * 12 / (768 + 48 + 1024)


def test_memory_of_a_skip():
    """The block's input, 768 bytes, waits until it is added: 768 + 1024 + 768 while the second convolution runs."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.out, self.back = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)

        def forward(self, x):
            return x + self.back(torch.relu(self.out(x)))

    cost = count(Block(), (8, 8))
    assert (cost.peak_bytes, cost.peak_layer) == (768 + 1024 + 768, "back")


def test_what_a_linear_layer_moves():
    """3 rows of 10 numbers read, 3 of 4 written, 10 x 4 weights and 4 biases, of four bytes each."""
    (layer,) = count(nn.Linear(10, 4), (1, 10)).layers
    assert (layer.weight_bytes, layer.read_bytes, layer.written_bytes) == (4 * 44, 4 * 30, 4 * 12)


class Rectified(nn.Module):
    """y = conv(x), z = relu(y), z + y."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 3, 1, bias=False), nn.ReLU()

    def forward(self, x):
        y = self.conv(x)
        return self.relu(y) + y


def test_memory_where_the_sum_reads_what_the_activation_read():
    """A plane of 3 channels of 8x8 float32 has 768 bytes: x and y, then y and z, then y and z and their sum."""
    cost = count(Rectified(), (8, 8))
    assert (cost.peak_bytes, cost.peak_layer) == (3 * 768, "Rectified")
    moved = {layer.name: (layer.read_bytes, layer.written_bytes) for layer in cost.layers}
    assert moved == {"Rectified": (2 * 768, 768), "conv": (768, 768), "relu": (768, 768)}


class Before(nn.Module):
    """y = conv(x), a = y + x, then y is rectified in place."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 3, 1, bias=False), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.conv(x)
        return y + x, self.relu(y), y


def test_memory_of_an_activation_in_place_after_another_reader():
    """x, y and a; then a, y and z, since an exported graph does not work in place. Both names of z are one output."""
    cost = count(Before(), (8, 8))
    assert (cost.peak_bytes, cost.peak_layer) == (3 * 768, "Before")
    assert {layer.name: layer.written_bytes for layer in cost.layers} == {"Before": 768, "conv": 768, "relu": 768}


@pytest.mark.slow
def test_files_of_one_network_hold_as_much(tmp_path):
    """The three planes of y, z and their sum, in float32 too."""
    network = Rectified().eval()
    onnx.save(to_onnx(network, (8, 8)), tmp_path / "m.onnx")
    (tmp_path / "m.tflite").write_bytes(to_tflite(channels_last(network, (8, 8)), (8, 8), int8=False))
    assert [count_file(tmp_path / f"m.{kind}").peak_bytes for kind in ("onnx", "tflite")] == [3 * 768, 3 * 768]
