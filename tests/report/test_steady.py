"""The masks of the background blur, of a model that is known: its logit is 16 (r - g), of 4 x 4 pixels (tiny_models)."""

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from edgeseg.report.predict import open_predictor
from edgeseg.report.steady import RefinedMasks
from edgeseg.runtime import Blur, Shot, Work, open_session
from tests.runtime.tiny_models import write_onnx


def test_they_are_those_that_blur_makes(tmp_path):
    path = write_onnx(tmp_path / "a.onnx")
    masks = RefinedMasks(open_predictor(str(path)))
    session = open_session(path)
    blurs = {kind: Blur(session, smooth=smooth, keyframes="every") for kind, smooth in (("off", "off"), ("on", "motion"))}
    rng = np.random.default_rng(0)
    frame = np.zeros((80, 160, 3), np.uint8)
    frame[:, 80:, 2], frame[:, :80, 1] = 255, 255
    for step in range(3):
        noisy = np.clip(frame.astype(int) + rng.integers(-60, 60, frame.shape), 0, 255).astype(np.uint8)
        made = masks(noisy)
        for kind, blur in blurs.items():
            work = Work().load(Shot(noisy, step / 30))
            blur.infer(work)
            blur.refine(work)
            assert (made[kind] == (work.alpha > 127)).all(), (step, kind)
    assert made["on"][:, 90:].all()
    assert not made["on"][:, :70].any()
