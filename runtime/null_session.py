"""A session without a model: an upright ellipse in the middle of the frame is the person. For tests and trials."""

from __future__ import annotations

import numpy as np

from edgeseg.runtime.arrays import Tensor
from edgeseg.runtime.session import Session
from edgeseg.spec import Spec


class NullBackend:
    """See `backends.Backend`."""

    name = "null"
    spec_text: str | None = None

    def __init__(self, spec: Spec) -> None:
        self.input_shape: tuple[int, ...] = (1, *spec.size, 3)
        self.input_dtype = self.output_dtype = "float32"
        height, width = spec.output_size
        y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
        distance = np.hypot((y[:, None] - 0.6) / 0.45, (x[None] - 0.5) / 0.25)  # 1 on the ellipse
        self._logits = (16 * (1 - distance)).astype(np.float32)[None, ..., None]

    def run(self, tensor: Tensor) -> Tensor:
        return self._logits.copy()


class NullSession(Session):
    """A `Session` whose answer does not depend on the frame: 1 at (0.6 h, 0.5 w), 0 at every edge but the lower one."""

    def __init__(self, size: tuple[int, int] = (256, 256), output_size: tuple[int, int] = (64, 64)) -> None:
        spec = Spec(
            model="null",
            size=size,
            output_size=output_size,
            layout="NHWC",
            input_dtype="float32",
            output_dtype="float32",
            output="logits",
            classes=("background", "person"),
            person_class=1,
        )
        super().__init__(spec, NullBackend(spec))
