"""Noise and lost pixels of a network of two layers, worked out by hand.

Four pixels; layer `a` gives 127 R + G, layer `b` gives 5 - x / 2, and all weights are exact in int8.

    a, in float   255    0    9.75  20.5     range 0..255: steps of 1          error 0 0 0.25 0.5 (20.5 is rounded to even)
    b, in float  -122.5  5    0.125 -5.25    range -122.5..5: steps of 0.5     error 0 0 0.125 0.25
    b where a rounds   -122.5  5  0  -5      the same error; the third pixel is no longer above 0
"""

import csv
import io
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from edgeseg.export.quiet import quiet

with quiet():
    from edgeseg.calib.observers import MinMax
    from edgeseg.calib.sensitivity import Images, Simulation, measure, worst_first
    from edgeseg.calib.sensitivity_report import to_csv, to_json, to_table, write_report
    from edgeseg.calib.switches import Switched, float_layers
    from edgeseg.compress import quantize

SIGNAL_A = 255**2 + 9.75**2 + 20.5**2
NOISE_A = 0.25**2 + 0.5**2
SIGNAL_B = 122.5**2 + 5**2 + 0.125**2 + 5.25**2
NOISE_B = 0.125**2 + 0.25**2
# The network finds class 1 in two pixels of four, the rounded one in one of them: IoU 2/3 and 1/2.
MIOU = (2 / 3 + 1 / 2) / 2


def db(signal, noise):
    return 10 * math.log10(signal / noise)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 1, 1), nn.Conv2d(1, 1, 1)
        with torch.no_grad():
            self.a.weight.copy_(torch.tensor([127.0, 1.0, 0.0]).reshape(1, 3, 1, 1))
            self.a.bias.zero_()
            self.b.weight.fill_(-0.5)
            self.b.bias.fill_(5.0)

    def forward(self, image):
        return self.b(self.a(image))


def image():
    values = torch.zeros(1, 3, 2, 2)
    values[0, 0].flatten()[0] = 2.0
    values[0, 1] = torch.tensor([[1.0, 0.0], [9.75, 20.5]])
    return values


def pictures(copies=1, truth=None):
    return Images(image().repeat(copies, 1, 1, 1), [truth] * copies, 2)


def converted(network=None, images=None, keep_float=()):
    with quiet(), torch.no_grad():
        network = (network or Two()).eval()
        prepared = quantize.prepare(network, (2, 2), MinMax, keep_float)
        prepared(image() if images is None else images)
        return quantize.convert(prepared)


@pytest.fixture(scope="module")
def graph():
    return converted()


@pytest.mark.parametrize("copies", [1, 6])  # more than one batch
def test_two_layers_by_hand(graph, copies):
    done = []
    a, b = measure(graph, pictures(copies), done.append)
    assert [(row.layer, row.operator) for row in (a, b)] == [("a", "conv2d"), ("b", "conv2d")]
    assert a.own_db == a.accumulated_db == pytest.approx(db(SIGNAL_A, NOISE_A), abs=1e-4)
    assert a.logits_db == pytest.approx(db(SIGNAL_B, NOISE_A / 4), abs=1e-4)
    assert b.own_db == b.accumulated_db == b.logits_db == pytest.approx(db(SIGNAL_B, NOISE_B), abs=1e-4)
    for row in (a, b):
        assert row.agreement == 0.75
        assert row.miou_lost == pytest.approx(100 * (1 - MIOU))
    assert done[-1] == 1.0
    assert done == sorted(done)


def test_truth_decides_where_there_is_one(graph):
    """Where the third pixel is of class 0 in truth, the network in float is wrong there and rounding mends it."""
    truth = np.array([[0, 1], [0, 0]], np.int32)
    a, _ = measure(graph, pictures(truth=truth))
    assert a.agreement == 0.75
    assert a.miou_lost == pytest.approx(100 * ((2 / 3 + 1 / 2) / 2 - 1))


def test_switched_on_it_is_the_converted_graph(graph):
    switched = Switched(graph)
    values = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(3)).mul(255).round() / 255  # exact as an image
    with torch.no_grad():
        torch.testing.assert_close(switched.logits(values, switched.all_places)[0], graph(values), rtol=0, atol=0)
        torch.testing.assert_close(switched.logits(values, ())[0], Two()(values))


@pytest.mark.parametrize(
    ("in_float", "sqnr_db", "agreement"),
    [((), db(SIGNAL_B, NOISE_B), 0.75), (("a",), db(SIGNAL_B, NOISE_B), 0.75)],
)
def test_simulation(graph, in_float, sqnr_db, agreement):
    """With `a` in float, `b` still rounds the logits, which files give as integers."""
    score = Simulation(graph, pictures()).score(in_float)
    assert score.agreement == agreement
    assert score.sqnr_db == pytest.approx(sqnr_db, abs=1e-4)
    assert score.miou_delta == pytest.approx(MIOU - 1)


class Branches(nn.Module):
    """A large and a small branch, joined in one range that only the large one needs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.large, self.small = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.large.weight.mul_(2000)
            self.large.bias.add_(900.0)
        self.pool = nn.MaxPool2d(2, stride=1, padding=1)
        self.mix = nn.Conv2d(4, 2, 1)
        with torch.no_grad():
            self.mix.weight[:, :2].mul_(1e-3)
        self.head = nn.Conv2d(2, 1, 1)

    def forward(self, image):
        return self.head(torch.relu(self.mix(torch.cat([self.large(image), self.small(self.pool(image)[..., :2, :2])], 1))))


def test_what_is_left_in_float_is_what_was_simulated():
    """A result in float makes the concatenation behind it float, what that joins with it, and the convolution that reads it."""
    images = torch.rand(8, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    base = converted(Branches(), images[:1])
    with_float = converted(Branches(), images[:1], ["small"])
    assert float_layers(base) == []
    assert float_layers(with_float) == ["large", "small", "cat", "mix"]
    some = Images(images, [None] * 8, 2)
    simulation = Simulation(base, some)
    simulated, real = simulation.score(["small"]), Simulation(with_float, some).score()
    assert real.sqnr_db == pytest.approx(simulated.sqnr_db, abs=0.1)
    assert real.sqnr_db > simulation.score().sqnr_db + 3


def test_the_last_layer_stays_integer():
    from edgeseg.errors import UsageError

    with pytest.raises(UsageError, match="b gives the logits"):
        converted(keep_float=["b"])


def test_a_float_layer_has_no_integer_weights():
    graph = converted(keep_float=["a"])
    assert float_layers(graph) == ["a", "b"]
    assert not [node for node in graph.graph.nodes if "per_channel" in str(node.target)]
    assert len([node for node in graph.graph.nodes if "dequantize_per_tensor" in str(node.target)]) >= 2  # image and logits


def test_worst_first_and_the_report(graph, tmp_path):
    layers = measure(graph, pictures())
    worst = worst_first(layers)
    assert [row.layer for row in worst] == sorted(
        ["a", "b"], key=lambda name: next(r.logits_db for r in layers if r.layer == name)
    )
    lines = to_table(layers).splitlines()
    assert [line.split()[0] for line in lines] == ["layer", *(row.layer for row in worst)]
    assert "25.000%" in lines[1]
    assert len(to_table(layers, 1).splitlines()) == 2
    about = {"model": "two", "images": 1}
    document = json.loads(to_json(layers, about))
    assert (document["model"], document["layers"][0]["layer"]) == ("two", "a")
    assert set(document["layers"][0]) >= {"own_db", "accumulated_db", "agreement", "miou_lost"}
    rows = list(csv.DictReader(io.StringIO(to_csv(layers))))
    assert [row["layer"] for row in rows] == ["a", "b"]
    assert float(rows[0]["own_db"]) == layers[0].own_db
    write_report(tmp_path, layers, about)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".json", ".png", ".txt"]
    assert (tmp_path / "sensitivity.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
