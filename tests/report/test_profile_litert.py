"""LiteRT's table of kernels: read, and asked for."""

import pytest

from edgeseg.errors import ModelError
from edgeseg.report import profile_litert
from edgeseg.report.profile_litert import parse_table, profile_kernels, quick_mean
from tests.runtime.tiny_models import write_tflite

HEAD = "[node type]    [start]    [first]   [avg ms]        [%]     [cdf%]   [mem KB] [times called]   [Name]\n"
TABLE = f"""
==================== Run Order ====================
                                                 {HEAD}
                      Delegate/Convolution (NHWC, QC8) IGEMM      0.000      0.127      0.120     60.000%    60.000%      0.000             20   [Delegate]:0
               Delegate/Fully Connected (NC, F32) GEMM      0.000      0.056      0.060     30.250%    90.250%      0.000             20   [Delegate]:1
                      CUSTOM_THING      1.000      0.020      0.020      9.750%   100.000%      0.000             20   [a/name, with signs]:7

==================== Top by Computation Time ====================
                      Delegate/Convolution (NHWC, QC8) IGEMM      0.000      0.127      0.120     60.000%    60.000%      0.000             20   [Delegate]:0
"""  # noqa: E501 (as LiteRT prints it)


def test_a_table():
    convolution, product, custom = parse_table(TABLE)
    assert (convolution.kind, convolution.dtype, convolution.index) == ("Convolution (NHWC, QC8) IGEMM", "int8", None)
    assert convolution.ms == pytest.approx(0.2 * 0.6)
    assert (product.dtype, product.ms) == ("float32", pytest.approx(0.2 * 0.3025))
    assert (custom.kind, custom.index) == ("CUSTOM_THING", 7)


def test_the_quickest_quarter_counts():
    assert quick_mean([100, 1, 2, 3, 4, 5, 6, 0]) == (0 + 1) / 2
    assert quick_mean([7]) == 7


@pytest.mark.parametrize("text", ["", "nothing to see", "== Run Order ==\nno row"])
def test_no_table(text):
    assert parse_table(text) == []


def test_a_real_file(tmp_path):
    (kernel,) = profile_kernels(write_tflite(tmp_path / "m.tflite"), runs=15)
    assert kernel.kind.startswith("Convolution")
    assert kernel.dtype == "int8"


def test_what_goes_wrong_is_a_reason(tmp_path, monkeypatch):
    (tmp_path / "m.tflite").write_bytes(b"\0\0\0\0TFL3 no model")
    with pytest.raises(ModelError, match="not to be had"):
        profile_kernels(tmp_path / "m.tflite")
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nkill -SEGV $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(profile_litert.sys, "executable", str(script))
    with pytest.raises(ModelError, match="SIGSEGV"):
        profile_kernels(tmp_path / "m.tflite")
