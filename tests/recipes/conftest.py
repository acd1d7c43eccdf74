"""A tiny network and pictures of bright discs, which every test of recipes may read and none may write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgeseg.models import MODELS
from edgeseg.models.checkpoint import save_checkpoint
from tests.recipes.tiny import CARD, NAME, register


@pytest.fixture(autouse=True, scope="module")
def architecture() -> Iterator[None]:
    """There is an architecture more in these tests, and in no others."""
    register()
    yield
    del MODELS[NAME]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of two sources, of which 2 are held back."""
    folder = tmp_path_factory.mktemp("recipes") / "discs"
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for i in range(24):
        mask = np.zeros((40, 40), np.uint8)
        cv2.circle(mask, tuple(map(int, rng.integers(12, 28, 2))), 10, 255, -1)
        name = f"{'ab'[i % 2]}_{i}.png"
        cv2.imwrite(str(folder / "images" / name), np.where(mask > 0, 220, 30)[..., None].repeat(3, 2).astype(np.uint8))
        cv2.imwrite(str(folder / "masks" / name), mask)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose batch norms have seen pictures."""
    register()
    path = tmp_path_factory.mktemp("recipes") / "start.safetensors"
    torch.manual_seed(0)
    network = CARD.build().train()
    for _ in range(10):
        network(torch.rand(8, 3, 32, 32))
    save_checkpoint(path, network, CARD)
    return path
