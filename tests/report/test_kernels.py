"""Kernels find their layers, by names and by order."""

import pytest

from edgeseg.report.costs import LayerCost
from edgeseg.report.kernels import Kernel, assign, by_operator


def layer(name, kind="Conv", aliases=()):
    return LayerCost(name, kind, 0, 0, aliases=aliases)


def test_by_operator_by_hand():
    kernels = [
        Kernel("QLinearConv", 3, dtype="uint8"),
        Kernel("Add", 15, dtype="float"),
        Kernel("QLinearConv", 2, dtype="uint8"),
    ]
    assert by_operator(kernels) == [
        {"op": "Add", "dtype": "float", "nodes": 1, "ms": 15, "share": 0.75},
        {"op": "QLinearConv", "dtype": "uint8", "nodes": 2, "ms": 5, "share": 0.25},
    ]
    assert by_operator([]) == []


NAMES = [
    ("as it is", "stem.0", "stem.0"),
    ("rewritten for a layout", "stem.0_token_4", "stem.0"),
    ("rewritten twice", "stem.0_quant_token_17", "stem.0"),
    ("by what it gives", "v1_nchwc", "stem.0"),
    ("by what its activation gives", "v2_nchwc", "stem.0"),
    ("a layer whose own name ends so", "add_token_1", "add_token_1"),
]


@pytest.mark.parametrize(("name", "expected"), [c[1:] for c in NAMES], ids=[c[0] for c in NAMES])
def test_names(name, expected):
    layers = [layer("stem.0", aliases=("v1", "v2")), layer("add_token_1"), layer("add")]
    assert assign([Kernel("Conv", 1, name)], layers).ms == {expected: 1}


def test_what_the_runtime_added_is_nobodys():
    times = assign([Kernel("Conv", 2, "a"), Kernel("Transpose", 1, "Transpose"), Kernel("Transpose", 3, "T_2")], [layer("a")])
    assert (times.ms, times.other, times.total_ms) == ({"a": 2}, {"Transpose": 4}, 6)


CONV, FULL, DEPTH, CLAMP = (
    "Convolution (NHWC, QC8) IGEMM",
    "Fully Connected (NC, QS8, QC8W) GEMM",
    "Convolution DWConv",
    "Clamp (NC)",
)
ORDERS = [
    # operators, kernels -> the operator of each kernel
    ("one to one", ["CONV_2D", "ADD"], [CONV, "Add (ND)"], [0, 1]),
    ("a padding inside", ["PAD", "CONV_2D", "CONV_2D"], [CONV, FULL], [1, 2]),
    ("a padding of its own", ["PAD", "CONV_2D"], ["Constant Pad (ND, X8)", CONV], [0, 1]),
    ("an activation afterwards", ["CONV_2D", "ADD", "CONV_2D"], [CONV, "Add (ND)", CLAMP, FULL], [0, 1, 1, 2]),
    ("a copy for each operand", ["CONCATENATION", "CONV_2D"], ["Copy (NC, X8)", "Copy (NC, X8)", CONV], [0, 0, 1]),
    ("an unknown kernel", ["CONV_2D", "CONV_2D"], [CONV, "Something New", CONV], [0, None, 1]),
    ("an operator without a kernel", ["CONV_2D", "MEAN", "CONV_2D"], [CONV, CONV], [0, 2]),
    ("an operator that has no row", ["CONV_2D", "CUMSUM", "CONV_2D"], [CONV, "Cumsum", CONV], [0, 1, 2]),
    ("nothing", [], [], []),
]


@pytest.mark.parametrize(("operators", "kernels", "owners"), [c[1:] for c in ORDERS], ids=[c[0] for c in ORDERS])
def test_order(operators, kernels, owners):
    layers = [layer(str(i), kind) for i, kind in enumerate(operators)]
    times = assign([Kernel(kind, 2.0**j) for j, kind in enumerate(kernels)], layers)
    expected: dict[str, float] = {}
    for j, owner in enumerate(owners):
        if owner is not None:
            expected[str(owner)] = expected.get(str(owner), 0) + 2.0**j
    assert times.ms == expected
    assert times.total_ms == sum(2.0**j for j in range(len(kernels)))


def test_operators_that_are_no_layers_keep_their_numbers():
    """Of five operators the first and the third cost nothing (a constant's DEQUANTIZE, a RESHAPE)."""
    layers = [
        LayerCost(name, kind, 0, 0, index=i) for name, kind, i in (("a", "CONV_2D", 1), ("b", "EQUAL", 3), ("c", "ADD", 4))
    ]
    times = assign(
        [Kernel("RESHAPE", 8, index=2), Kernel(CONV, 1), Kernel("EQUAL", 2, index=3), Kernel("Add (ND, F32)", 4)], layers
    )
    assert times.ms == {"a": 1, "b": 2, "c": 4}
    assert times.other == {"RESHAPE": 8}


def test_kernels_that_say_which_operator_they_are():
    layers = [layer("a", "CONV_2D"), layer("b", "CUSTOM x"), layer("c", "CONV_2D")]
    times = assign([Kernel(CONV, 1), Kernel("CUSTOM", 2, index=1), Kernel(CONV, 4)], layers)
    assert times.ms == {"a": 1, "b": 2, "c": 4}
