"""What keeps the person's edge from looking cut out: the old room taken out of it, the new background's light put into it."""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.errors import UsageError
from edgeseg.runtime.arrays import Frame
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.chunks import ROOM, WIDTH, Chunks, gather, scatter
from edgeseg.runtime.composite.masked_blur import masked_blur
from edgeseg.runtime.work import Work

STEP = 8  # both are estimated at an eighth of the frame's size
REACH = 1 / 30  # of the frame's short side: how far light wraps around the edge


def clean_room(work: Work, buffers: Buffers) -> Frame:
    """(h, w, 3) an estimate of the room behind the person's edge, for `composite.blend`. It lasts until the next call."""
    height, width = work.size
    size = _small(work)
    small = masked_blur(work.pyramid.shrunk(size), work.alpha_shrunk(size), 2.0, 1, buffers=buffers)
    return cv2.resize(small, (width, height), dst=buffers.take("room", work.out.shape))  # type: ignore[return-value]


def check_light_wrap(amount: float) -> float:
    """UsageError for an amount outside of 0..1."""
    if not 0 <= amount <= 1:
        raise UsageError(f"light wrap must be within 0..1, got {amount:g}")
    return amount


def wrapped_light(work: Work, amount: float, buffers: Buffers) -> Frame:
    """(h, w, 3) the background's light that falls around the person's edge; `work.out` holds the background alone.

    amount  0..1;  the result lasts until the next call
    """
    height, width = work.size
    size = _small(work)
    sigma = max(0.5, REACH * min(work.size) / STEP)
    behind = cv2.resize(work.out, size[::-1], interpolation=cv2.INTER_AREA)
    alpha = work.alpha_shrunk(size)
    # Strongest at the edge, nothing deep inside and nothing outside.
    near = cv2.multiply(alpha, cv2.GaussianBlur(cv2.bitwise_not(alpha), (0, 0), sigma), scale=2 * amount / 255)
    light = cv2.multiply(cv2.GaussianBlur(behind, (0, 0), sigma), cv2.merge([near] * 3), scale=1 / 255)
    return cv2.resize(light, (width, height), dst=buffers.take("light", work.out.shape))  # type: ignore[return-value]


def add_light(out: Frame, light: Frame, buffers: Buffers) -> None:
    """`light` on `out` as two projectors on one screen: 255 - (255 - out)(255 - light) / 255, in place."""
    rest = cv2.bitwise_not(out, dst=buffers.take("rest of light", out.shape))
    cv2.multiply(rest, light, dst=rest, scale=1 / 255)
    cv2.add(out, rest, dst=out)


def cut_out(work: Work, room: Frame, buffers: Buffers) -> None:
    """The person alone into `work.out`, in her own colours: F of I = alpha F + (1 - alpha) B. Black where alpha is 0."""
    frame, alpha, out = work.frame, work.alpha, work.out
    assert alpha is not None
    out[:] = 0
    cv2.copyTo(frame, alpha, out)
    chunks = Chunks(alpha, buffers)
    scratch = [buffers.take(name, (ROOM, WIDTH, 3)) for name in ("person", "weight", "other")]
    for indices, alphas in chunks.batches():
        weight = cv2.cvtColor(alphas, cv2.COLOR_GRAY2BGR, dst=scratch[1][: len(indices)])
        behind = gather(room, indices, scratch[2])
        cv2.multiply(behind, cv2.bitwise_not(weight), dst=behind, scale=1 / 255)
        share = cv2.subtract(gather(frame, indices, scratch[0]), behind)
        scatter(out, indices, cv2.divide(share, weight, scale=255))  # type: ignore[arg-type]  # 0 where the weight is
    tail = chunks.tail
    a = np.maximum(alpha.reshape(-1)[tail, None], 1) / 255
    rows = [picture.reshape(-1, 3)[tail] for picture in (frame, room, out)]
    rows[2][:] = np.where(alpha.reshape(-1)[tail, None] > 0, np.clip((rows[0] - (1 - a) * rows[1]) / a, 0, 255), 0)


def _small(work: Work) -> tuple[int, int]:
    height, width = work.size
    return max(1, height // STEP), max(1, width // STEP)
