"""The person before another background, without a fringe.

    out = alpha * person + (1 - alpha) * background

Where alpha is 0 the background stays and where it is 255 the person is copied: only what lies between costs arithmetic, and
that in bytes.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.runtime import native
from edgeseg.runtime.arrays import Alpha, Frame
from edgeseg.runtime.buffers import Buffers
from edgeseg.runtime.chunks import ROOM, WIDTH, Chunks, Pixels, gather, scatter


def blend(
    frame: Frame,
    alpha: Alpha,
    out: Frame,
    room: Frame | None = None,
    buffers: Buffers | None = None,
    chunks: Chunks | None = None,
) -> None:
    """Put the person of `frame` over the background in `out`, in place.

    frame, out  (h, w, 3) uint8, out holding the background;  alpha  (h, w) uint8;  all of them contiguous
    room  the old background without the person, of the same size. Where a pixel is half person, its colour is half the old
          room's: with `room` that part is taken out first (the matting equation, I = alpha F + (1 - alpha) B, solved for
          alpha F), so that a bright room leaves no fringe before a dark background.
    chunks  of `alpha`, where they are known
    """
    if native.available():
        native.blend(frame, alpha, out, room)
        return
    buffers = buffers or Buffers()
    chunks = chunks or Chunks(alpha, buffers)
    count = len(chunks.indices)
    mixed = buffers.rows("mixed colours", count, (WIDTH, 3))
    scratch = [buffers.take(name, (ROOM, WIDTH, 3)) for name in ("weight", "rest", "other")]
    done = 0
    for indices, alphas in chunks.batches():  # before the person is copied: from then on `out` is no longer the background
        weight, rest, other = (array[: len(indices)] for array in scratch)
        cv2.cvtColor(alphas, cv2.COLOR_GRAY2BGR, dst=weight)
        cv2.bitwise_not(weight, dst=rest)
        person = gather(frame, indices, mixed[done:])
        _share(person, weight, rest, None if room is None else gather(room, indices, other))
        under = gather(out, indices, other)
        cv2.multiply(under, rest, dst=under, scale=1 / 255)
        cv2.add(person, under, dst=person)
        done += len(indices)
    broken = chunks.tail.stop > chunks.tail.start
    last = _blend_tail(frame, alpha, out, room, chunks.tail) if broken else None
    cv2.copyTo(frame[chunks.seen], alpha[chunks.seen], out[chunks.seen])
    scatter(out, chunks.indices, mixed[:count])
    if last is not None:
        out.reshape(-1, 3)[chunks.tail] = last


def _share(person: Pixels, weight: Pixels, rest: Pixels, room: Pixels | None) -> None:
    """The person's share of each pixel, in place: alpha F. `room` is used up."""
    if room is None:
        cv2.multiply(person, weight, dst=person, scale=1 / 255)
    else:
        cv2.multiply(room, rest, dst=room, scale=1 / 255)
        cv2.subtract(person, room, dst=person)
        cv2.min(person, weight, dst=person)  # alpha F lies in 0..255 alpha


def _blend_tail(frame: Frame, alpha: Alpha, out: Frame, room: Frame | None, tail: slice) -> Pixels:
    """The last pixels, seven at most, that fill no chunk."""
    a = alpha.reshape(-1)[tail, None] / 255
    person, under = frame.reshape(-1, 3)[tail], out.reshape(-1, 3)[tail]
    share = a * person if room is None else np.clip(person - (1 - a) * room.reshape(-1, 3)[tail], 0, 255 * a)
    mixed: Pixels = np.rint(share + (1 - a) * under).astype(np.uint8)
    return mixed


def veil(frame: Frame, out: Frame) -> None:
    """The whole frame, blurred beyond recognition, into `out`: what is shown while there is no matte."""
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (24, 24), interpolation=cv2.INTER_AREA)
    cv2.resize(cv2.GaussianBlur(small, (0, 0), 1.5), (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
