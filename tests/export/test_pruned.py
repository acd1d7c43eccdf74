"""A pruned network is exported like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeseg.compress.prune import prune, pruned_card
from edgeseg.export.choices import INT8
from edgeseg.export.files import Accuracy, export
from edgeseg.models.checkpoint import load_model, save_checkpoint
from edgeseg.report.cost import count
from edgeseg.runtime import open_session
from tests.export import test_files

# Trained for seconds on eight channels a layer, it is in doubt about many pixels; trained networks agree in 99.7 % and more.
UNSURE = Accuracy(min_agreement=0.9)


@pytest.mark.slow
def test_half_a_network_in_both_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are written, pass the gate, and know the network that they are of."""
    torch.manual_seed(0)
    card = test_files.CARDS["deeplab"]
    half = prune(card.build(), card.size, macs=0.5)
    monkeypatch.setitem(test_files.CARDS, "half", pruned_card(card, half.network))
    trained = test_files.settled("half")
    save_checkpoint(tmp_path / "half.safetensors", trained.network, trained.card)
    model = load_model(tmp_path / "half.safetensors")
    files = export(model, test_files.pictures(), tmp_path, choices=INT8, accuracy=UNSURE, calibration=test_files.QUICK)
    assert len(files) == 2
    for file in files:
        spec = open_session(file.path).spec
        assert spec.weights_sha256 == trained.weights_sha256
        assert spec.macs == count(half.network, card.size).macs
