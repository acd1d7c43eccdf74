"""What can go wrong with an export ends in one line, and in no file at all."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeseg.errors import ExportError, UsageError
from edgeseg.export.choices import FLOAT32, INT8
from edgeseg.export.files import Accuracy, export
from edgeseg.models.checkpoint import Model, weights_sha256
from edgeseg.models.layers import SegmentationNetwork
from tests.export.test_files import CARDS, pictures

ROOT = Path(__file__).parent.parent.parent
# A disk that fills while the file is written: the kernel refuses to let any file grow beyond the limit.
ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from edgeseg.errors import OutputError
from edgeseg.export.files import Accuracy, export
from tests.export.test_files import pictures, CARDS
from edgeseg.models.checkpoint import Model
network = CARDS["deeplab"].build().eval()
formats, limit = sys.argv[2].split(","), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    export(Model(network, CARDS["deeplab"], ""), pictures(4), Path(sys.argv[1]), formats=formats, accuracy=Accuracy(force=True))
except OutputError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_full_disk(format, tmp_path):
    command = [sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path), format, "100000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"small-64x64-float32.{format} cannot be written: File too large; make room, or choose another place" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100000  # only the subprocess was limited


class Foreign(SegmentationNetwork):
    """One operator that no runtime has, in a layer with a name."""

    size_divisor, output_stride = 8, 1

    def __init__(self, activation):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 1), activation)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, image):
        return self.head(self.stem(image))


class Bessel(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)


class Undecided(nn.Module):
    """Its graph depends on what is in the picture."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.slow
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize(
    ("activation", "said"),
    [(Bessel(), r"operator special_bessel_j0 in layer stem\.1"), (Undecided(), r"data-dependent|depend on a tensor's values")],
    ids=["operator", "control-flow"],
)
def test_what_cannot_be_lowered(activation, said, format, int8, tmp_path):
    network = Foreign(activation).eval()
    model = Model(network, CARDS["deeplab"], weights_sha256(network.state_dict()))
    with pytest.raises(ExportError, match=said) as caught:
        export(model, pictures(4), tmp_path, formats=[format], choices=INT8 if int8 else FLOAT32)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def network_of(card):
    network = card.build().eval()
    return Model(network, card, weights_sha256(network.state_dict()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"choices": INT8, "accuracy": Accuracy(keep_float=("decoder.0.0.1",))},
            "no layer is named 'decoder.0.0.1'; near it: .*decoder.0.0.0",
        ),
        ({"choices": INT8, "accuracy": Accuracy(keep_float=("head",))}, "head gives the logits"),
        ({"accuracy": Accuracy(keep_float=("head",))}, "add --int8"),
        ({"sensitivity": Path("report")}, "add --int8"),
    ],
)
def test_options_that_cannot_be_right(arguments, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        export(network_of(CARDS["deeplab"]), pictures(4), tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []
