"""A model, as a file or as a network, as one function from a frame to class ids at the frame's size.

Both are fed by the same code (`Session.prepare`'s) and enlarged in the same way, so that what `edgeseg eval` finds
different between them is the model and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeseg.errors import MissingExtraError, ModelError
from edgeseg.runtime.arrays import Frame, Matte
from edgeseg.runtime.backends import BackendName
from edgeseg.runtime.session import Session, open_session, person_share
from edgeseg.runtime.tensors import Encoder
from edgeseg.spec import Spec, nearest_framing

FILES = {".tflite", ".onnx"}


@dataclass(frozen=True)
class Predictor:
    """A model that answers for frames (h, w, 3) of any size."""

    run: Callable[[Frame], npt.NDArray[np.float32]]  # a frame -> (h', w', c) logits, or what else `spec.output` says
    spec: Spec

    @property
    def classes(self) -> tuple[str, ...]:
        return self.spec.classes

    @property
    def person_class(self) -> int | None:
        return self.spec.person_class

    def predict(self, frame: Frame) -> npt.NDArray[np.int32]:
        """(h, w) class ids."""
        return enlarged_ids(self.run(frame), frame.shape[:2], self.spec.output)

    def judge(self, frame: Frame) -> tuple[npt.NDArray[np.int32], Matte | None]:
        """(h, w) class ids, and where the model knows persons, the person's probability (h, w)."""
        output = self.run(frame)
        ids = enlarged_ids(output, frame.shape[:2], self.spec.output)
        if self.person_class is None:
            return ids, None
        size = (frame.shape[1], frame.shape[0])
        if output.shape[2] == 1 and self.spec.output != "class_ids":  # enlarged before it is squeezed, as the ids are
            plane = np.asarray(cv2.resize(output[..., 0], size, interpolation=cv2.INTER_LINEAR), np.float32)
            return ids, person_share(plane[..., None], self.spec)
        share = cv2.resize(person_share(output, self.spec), size, interpolation=cv2.INTER_LINEAR)
        return ids, np.asarray(share, np.float32)

    def matte(self, frame: Frame) -> Matte:
        """(h', w') the person's probability, at the model's own output size. ModelError where it knows none."""
        if self.person_class is None:
            raise ModelError(f"the model knows no person, only {', '.join(self.classes)}; choose a person model")
        return person_share(self.run(frame), self.spec)


def open_predictor(model: str, backend: BackendName = "auto", size: tuple[int, int] | None = None) -> Predictor:
    """Open a .tflite or .onnx file on its backend; a trained model's name or a checkpoint as a float network (torch).

    size  (height, width) that a network is run at, for all frames; those that it was trained for if not given

    A name with a backend is the int8 file that ships for that backend. Raises ModelError for what is none of them,
    MissingExtraError where torch is needed and absent.
    """
    if Path(model).suffix.lower() in FILES:
        return of_session(open_session(Path(model), backend=backend))
    if backend != "auto":
        return of_session(open_session(model, backend=backend))
    try:
        from edgeseg.models.checkpoint import load_model
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            str(error.name), "export", f"running {model!r} as a float network (a .tflite file does not)"
        ) from None
    opened = load_model(model)
    card = opened.card
    sizes = (card.size, *card.framings) if size is None else (size,)
    return of_network(opened.network, sizes, card.classes, card.person_class)


def of_session(session: Session) -> Predictor:
    return Predictor(lambda frame: session.for_frame(frame).logits(frame), session.spec)


def of_network(network: Any, sizes: Sequence[tuple[int, int]], classes: tuple[str, ...], person_class: int | None) -> Predictor:
    """`network` is a torch module in evaluation mode: image (1, 3, H, W) RGB in 0..1 -> logits (1, c, H', W').

    sizes  (H, W) that it was trained for; each frame is stretched to the one nearest to its shape
    """
    import torch

    specs = {s: Spec("", s, s, "NCHW", "float32", "float32", "logits", classes, person_class) for s in sizes}
    encoders = {size: Encoder(spec) for size, spec in specs.items()}

    def run(frame: Frame) -> npt.NDArray[np.float32]:
        encode = encoders[nearest_framing(tuple(sizes), frame.shape[:2])]
        with torch.inference_mode():
            logits: npt.NDArray[np.float32] = (
                network(torch.from_numpy(encode(frame)))[0].permute(1, 2, 0).float().contiguous().numpy()
            )
        return logits

    return Predictor(run, specs[sizes[0]])


def enlarged_ids(output: npt.NDArray[np.float32], size: tuple[int, ...], kind: str) -> npt.NDArray[np.int32]:
    """Class ids at `size` (height, width) of a model's output (h', w', c), enlarged before it is decided.

    Logits and probabilities are interpolated bilinearly; one channel is the second class's, decided at probability 0.5
    (logit 0). Class ids cannot be interpolated and are repeated.
    """
    interpolation = cv2.INTER_NEAREST if kind == "class_ids" else cv2.INTER_LINEAR
    # cv2 resizes at most four channels at once in some versions, so one at a time.
    planes = [cv2.resize(output[..., c], (size[1], size[0]), interpolation=interpolation) for c in range(output.shape[2])]
    if kind == "class_ids":
        return planes[0].astype(np.int32)
    if len(planes) == 1:
        return (planes[0] > (0.0 if kind == "logits" else 0.5)).astype(np.int32)
    ids: npt.NDArray[np.int32] = np.argmax(planes, axis=0).astype(np.int32)
    return ids
