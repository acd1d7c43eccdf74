"""Liveness and sums, worked out by hand."""

import pytest

from edgeseg.report.costs import Cost, LayerCost, Step, peak, to_json, to_table

SIZES = {"image": 3, "a": 10, "b": 20, "c": 5, "d": 1}
CHAINS = [
    # image -> a -> b -> c: 3 + 10, 10 + 20, 20 + 5
    ("a chain", [("1", "image", "a"), ("2", "a", "b"), ("3", "b", "c")], "c", (30, "2")),
    # a is read again by the last: 3 + 10, 10 + 20, 10 + 20 + 5
    ("a skip", [("1", "image", "a"), ("2", "a", "b"), ("3", "ab", "c")], "c", (35, "3")),
    # the image is read again at the end
    ("the image waits", [("1", ["image"], "a"), ("2", "a", "b"), ("3", ["b", "image"], "c")], "c", (33, "2")),
    # b is an output already: it stays to the end
    ("two outputs", [("1", ["image"], "b"), ("2", ["image"], "a"), ("3", "a", "c")], "bc", (35, "3")),
    # nobody reads b: it is gone after its operator
    ("a dead end", [("1", ["image"], "ab"), ("2", "a", "c")], "c", (33, "1")),
    ("nothing", [], "", (0, "")),
]


def step(name, reads, writes):
    return Step(name, ("image",) if reads == "image" else tuple(reads), tuple(writes))


@pytest.mark.parametrize(("steps", "outputs", "expected"), [c[1:] for c in CHAINS], ids=[c[0] for c in CHAINS])
def test_the_peak(steps, outputs, expected):
    assert peak([step(*s) for s in steps], SIZES, outputs) == expected


def test_sums_and_intensity():
    layers = (
        LayerCost("one", "Conv", params=8, macs=1000, weight_bytes=8, read_bytes=30, written_bytes=12),
        LayerCost("two", "Add", params=0, macs=0, read_bytes=40, written_bytes=10),
    )
    cost = Cost((4, 6), 8, 1000, layers, activations=7, uncounted={"Add": 1}, peak_bytes=50, peak_layer="two")
    assert [layer.moved_bytes for layer in layers] == [50, 50]
    assert [layer.intensity for layer in layers] == [20, 0]
    assert (cost.flops, cost.moved_bytes, cost.intensity) == (2000, 100, 10)
    found = to_json(cost)
    assert (found["size_hw"], found["peak_layer"], found["layers"][0]["intensity"]) == ([4, 6], "two", 20)
    assert "Not counted: Add x 1." in to_table(cost)
    assert "FLOPs = 2 x MACs" in to_table(cost)


def test_what_moves_nothing_has_no_intensity():
    assert LayerCost("x", "Reshape", 0, 0).intensity == Cost((1, 1), 0, 0, (), 0).intensity == 0
    assert "no layer" in to_table(Cost((1, 1), 0, 0, (), 0))
