"""How does the time of ONNX Runtime's int8 depthwise convolution depend on its channels?

The time of a layer is the difference between files of twelve and of two of them, so that what a run costs beside its layers
falls out. One thread; the files run in turn.

python benchmarks/depthwise.py
"""

import time

import click
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

MANY, FEW = 12, 2  # layers


def chain(channels: int, height: int, width: int, layers: int) -> bytes:
    """`layers` depthwise 3x3 QLinearConv (uint8 by int8, a scale for every channel) one after another."""
    rng = np.random.default_rng(0)
    constants = {
        "scale": np.float32(0.02),
        "zero": np.uint8(128),
        "scales": np.full(channels, 0.01, np.float32),
        "zeros": np.zeros(channels, np.int8),
    } | {f"w{i}": rng.integers(-90, 90, (channels, 1, 3, 3)).astype(np.int8) for i in range(layers)}
    nodes = [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q0"])]
    for i in range(layers):
        read = [f"q{i}", "scale", "zero", f"w{i}", "scales", "zeros", "scale", "zero"]
        nodes.append(helper.make_node("QLinearConv", read, [f"q{i + 1}"], group=channels, pads=[1] * 4))
    nodes.append(helper.make_node("DequantizeLinear", [f"q{layers}", "scale", "zero"], ["y"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, height, width]) for name in "xy"]
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], initial)
    model: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    onnx.checker.check_model(model)
    return model


def opened(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def seconds(session: onnxruntime.InferenceSession, image: np.ndarray) -> float:
    start = time.perf_counter()
    session.run(None, {"x": image})
    return time.perf_counter() - start


@click.command(help=__doc__)
@click.option("--channels", multiple=True, default=(8, 16, 20, 24, 32, 40, 48, 56, 64, 88, 96), type=int, show_default=True)
@click.option("--size", type=(int, int), default=(48, 80), show_default=True, help="Height and width of the plane.")
@click.option("--rounds", default=40, show_default=True)
def main(channels: tuple[int, ...], size: tuple[int, int], rounds: int) -> None:
    sessions = {c: [opened(chain(c, *size, layers)) for layers in (MANY, FEW)] for c in channels}
    taken: dict[int, list[float]] = {c: [] for c in channels}
    with click.progressbar(range(rounds + 3), label="in turn") as turns:
        for turn in turns:
            for c, (many, few) in sessions.items():
                image = np.zeros((1, c, *size), np.float32)
                layer = (seconds(many, image) - seconds(few, image)) / (MANY - FEW)
                if turn >= 3:  # the first are to warm up
                    taken[c].append(layer)
    click.echo("| channels | us a layer | quartiles |\n| ---: | ---: | --- |")
    for c, values in taken.items():
        low, middle, high = np.percentile(values, (25, 50, 75)) * 1e6
        click.echo(f"| {c} | {middle:.0f} | {low:.0f} to {high:.0f} |")


if __name__ == "__main__":
    main()
