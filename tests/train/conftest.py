"""Data that trainings in these tests learn from."""

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: 24 bright persons (discs) in dark rooms, 40x40, of the sources a and b. Not to be written to."""
    folder = tmp_path_factory.mktemp("data") / "discs"
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for i in range(24):
        mask = np.zeros((40, 40), np.uint8)
        cv2.circle(mask, tuple(map(int, rng.integers(12, 28, 2))), 10, 255, -1)
        frame = np.where(mask[..., None] > 0, 220, 30).astype(np.uint8).repeat(3, 2)
        name = f"{'ab'[i % 2]}_{i}.png"
        cv2.imwrite(str(folder / "images" / name), frame)
        cv2.imwrite(str(folder / "masks" / name), mask)
    return folder
