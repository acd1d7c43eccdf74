"""Which calls remain, worked out by hand. `x` is the network's input; capitals fold."""

import pytest

from edgeseg.report.costs import Step, peak
from edgeseg.report.fusing import Call, fuse

SIZES = dict.fromkeys("xyzabo", 10)
# Calls (name, reads, writes), outputs, what remains, most bytes at once.
CASES = [
    ("a chain", [("conv", "x", "y"), ("RELU", "y", "z"), ("conv", "z", "o")], "o", ["conv", "conv"], 20),
    ("two in a row", [("conv", "x", "y"), ("NORM", "y", "a"), ("RELU", "a", "z")], "z", ["conv"], 20),
    # y and z and their sum
    ("a sum reads it too", [("conv", "x", "y"), ("RELU", "y", "z"), ("add", "zy", "o")], "o", ["conv", "RELU", "add"], 30),
    # the normalisation stays, and the activation behind it is folded into it: y and z and their sum
    (
        "behind one that stays",
        [("conv", "x", "y"), ("NORM", "y", "a"), ("RELU", "a", "z"), ("add", "zy", "o")],
        "o",
        ["conv", "NORM", "add"],
        30,
    ),
    # two activations of one tensor: y, z and a while the second runs
    ("two activations", [("conv", "x", "y"), ("RELU", "y", "z"), ("TANH", "y", "a")], "za", ["conv", "RELU", "TANH"], 30),
    ("given away", [("conv", "x", "y"), ("RELU", "y", "z")], "yz", ["conv", "RELU"], 20),
    ("of the input", [("RELU", "x", "y"), ("conv", "y", "z")], "z", ["RELU", "conv"], 20),
    ("in place", [("conv", "x", "y"), ("RELU", "y", "y"), ("conv", "y", "o")], "o", ["conv", "conv"], 20),
    # x + y before y is overwritten: x, y and a; then y, z and a
    ("in place too late", [("conv", "x", "y"), ("add", "xy", "a"), ("RELU", "y", "y")], "ya", ["conv", "add", "RELU"], 30),
    # the sum is written where z was, which is where y was; only then is it read twice
    ("a sum in place", [("conv", "x", "y"), ("RELU", "y", "z"), ("add", "zx", "z"), ("mul", "zx", "o")], "o", None, 30),
    ("a constant", [("RELU", "", "y"), ("add", "xy", "o")], "o", ["RELU", "add"], 30),
    ("nobody reads the result", [("conv", "x", "y"), ("RELU", "y", "z")], "x", ["conv"], 20),
]


@pytest.mark.parametrize(("given", "outputs", "names", "most"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_remains(given, outputs, names, most):
    calls = [Call(name, tuple(reads), tuple(writes), (0, 10, 10), name.isupper()) for name, reads, writes in given]
    left, sizes, ends = fuse(calls, SIZES, list(outputs))
    assert [call.module for call in left] == (names or ["conv", "add", "mul"])
    assert peak([Step(call.module, call.reads, call.writes) for call in left], sizes, ends)[0] == most
