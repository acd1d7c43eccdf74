"""What stays in float in a graph stays in float in the file: LiteRT's converter spreads ranges over concatenations."""

import numpy as np
import pytest
import torch

from edgeseg.export.channels_last import channels_last
from edgeseg.export.quiet import quiet
from edgeseg.export.to_tflite import to_tflite
from tests.compress.test_quantize import Apart, graph_of

SIZE = (8, 8)


@pytest.mark.parametrize("kept", [(), ("large",), ("small",)])
def test_a_tflite_file_rounds_where_its_graph_does(kept):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    graph = graph_of(Apart(), keep_float=kept)
    with quiet():
        running = interpreter.Interpreter(model_content=to_tflite(channels_last(graph, SIZE), SIZE, int8=True))
        running.allocate_tensors()
    [taken], [given] = running.get_input_details(), running.get_output_details()
    image = torch.randint(0, 256, (1, 3, *SIZE), generator=torch.Generator().manual_seed(9), dtype=torch.int16)
    with torch.no_grad():
        expected = graph(image / 255).permute(0, 2, 3, 1).numpy()
    running.set_tensor(taken["index"], (image - 128).permute(0, 2, 3, 1).to(torch.int8).numpy())
    running.invoke()
    scale, zero_point = given["quantization"]
    found = (running.get_tensor(given["index"]).astype(np.float32) - zero_point) * scale
    assert np.abs(found - expected).max() < 2.5 * scale
