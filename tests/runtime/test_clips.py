"""Whole runs on real clips, which are not part of the repository: EDGESEG_DATA names the folder that has `videos/`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgeseg.runtime import Blur, NullSession, VideoSink, open_source, run

DATA = os.environ.get("EDGESEG_DATA", "")
CLIPS = sorted(Path(DATA, "videos").glob("*.mp4")) if DATA else []


@pytest.mark.skipif(not CLIPS, reason="EDGESEG_DATA does not name a folder with videos/*.mp4")
def test_a_real_clip_keeps_its_size_its_times_and_its_person(tmp_path: Path) -> None:
    clip = min(CLIPS, key=lambda path: path.stat().st_size)
    with open_source(clip) as source:
        before = list(source)
    with (
        Blur(NullSession(), strength=1.0) as blur,
        open_source(clip) as source,
        VideoSink(tmp_path / "out.mp4", source.size_hw, source.fps, sound_of=clip) as sink,
    ):
        report = run(source, blur, sink)
    with open_source(tmp_path / "out.mp4") as result:
        after = list(result)
    assert report.frames == len(after) == len(before)
    assert [shot.time_s for shot in after] == pytest.approx([shot.time_s for shot in before], abs=2e-3)
    height, width = before[0].frame.shape[:2]
    assert after[0].frame.shape == (height + height % 2, width + width % 2, 3)
    middle = np.s_[int(0.55 * height) : int(0.65 * height), int(0.45 * width) : int(0.55 * width)]
    assert np.abs(after[-1].frame[middle].astype(int) - before[-1].frame[middle]).mean() < 6  # H.264 alone
