"""One measure for all that a recipe makes: networks and the files that were exported from them, on the pictures held back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgeseg.models.checkpoint import Model, ModelCard
from edgeseg.runtime.session import Session, open_session
from edgeseg.train.validate import Held, validate

Size = tuple[int, int]


def judge(model: Model, held: Sequence[Held]) -> dict[str, float]:
    """Validation scores of a network in float, the most important first, to four places."""
    return _rounded(validate(model.network.eval(), held, model.card))


def judge_files(files: Mapping[Size, Path], card: ModelCard, held: Sequence[Held]) -> dict[str, float]:
    """The same of exported files, one for each size of `card`, run as their users run them."""
    sessions = {size: open_session(path) for size, path in files.items()}
    return _rounded(validate(_by_size(sessions), held, card))


def _by_size(sessions: Mapping[Size, Session]) -> Callable[[Tensor], Tensor]:
    def run(image: Tensor) -> Tensor:
        """image (1, 3, h, w) RGB in 0..1, made of bytes -> logits (1, c, h', w')"""
        height, width = image.shape[-2:]
        frame = np.asarray((image[0] * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1], np.uint8)
        logits = sessions[height, width].logits(np.ascontiguousarray(frame))
        return torch.from_numpy(np.ascontiguousarray(logits)).permute(2, 0, 1)[None]

    return run


def _rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in scores.items()}
