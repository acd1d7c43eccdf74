"""Half of the multiply-adds of each architecture: pruned, exported to both formats, the files proven against the network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeseg.models.checkpoint import ModelCard, save_checkpoint
from edgeseg.recipes.compression import open_compression, plan
from edgeseg.recipes.recipe import Recipe
from edgeseg.recipes.run import compress
from edgeseg.recipes.steps import Export, Prune
from edgeseg.train.material import Folders

SMALL = {"width": 0.35, "output_stride": 32, "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8}
CARDS = {
    "enet": ModelCard("enet", {"activation": "relu"}, size=(32, 32)),
    "mobilenetv2": ModelCard("deeplabv3plus-mobilenetv2", SMALL, size=(32, 32)),
    "efficientnet-lite0": ModelCard("deeplabv3plus-mobilenetv2", {**SMALL, "backbone": "efficientnet-lite0"}, size=(32, 32)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CARDS)
def test_half_of_it_is_exported_and_agrees(name: str, data: Path, tmp_path: Path) -> None:
    """In float, where weights that were never trained must agree as well as any."""
    card = CARDS[name]
    torch.manual_seed(0)
    network = card.build().train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.rand(8, 3, 32, 32))
    save_checkpoint(tmp_path / "start.safetensors", network, card)
    steps = (Prune(macs=0.5, rounds=1, batches=2, round_to=4), Export(("tflite", "onnx"), "float32"))
    start = str(tmp_path / "start.safetensors")
    one = open_compression(start, Recipe("half", steps), Folders([data]), tmp_path / "out")
    result = compress(one, plan(one), tell=lambda line: None)
    original, pruned, exported = result.rows
    assert 0.4 * original.costs.macs < pruned.costs.macs <= 0.5 * original.costs.macs
    assert [file["format"] for file in exported.files] == ["tflite", "onnx"]
    assert all(file["agreement"] > 0.999 for file in exported.files)
    assert all(file["scores"] == pytest.approx(pruned.scores, abs=0.01) for file in exported.files)
