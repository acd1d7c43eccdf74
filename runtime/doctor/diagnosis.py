"""What works on this machine and what does not: versions, backends, cameras, windows, models, known-bad pairs."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from pathlib import Path

import numpy as np

from edgeseg import __version__, assets
from edgeseg.runtime import native
from edgeseg.runtime.backends import litert, ort
from edgeseg.runtime.doctor.checks import Check
from edgeseg.runtime.doctor.video_devices import cameras, heat, pipewire, virtual_camera, window

PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "av",
    "ai-edge-litert",
    "tflite-runtime",
    "onnxruntime",
    "onnxruntime-gpu",
    "pyvirtualcam",
    "torch",
)


def diagnose() -> list[Check]:
    """Every check, in the order to read them in. Asks cameras what they are and starts none; imports no backend."""
    return [*_machine(), *heat(), *_backends(), *_pairs(), *cameras(), *virtual_camera(), *pipewire(), *window(), *_models()]


def versions() -> dict[str, str]:
    """Installed packages that matter, with their versions."""
    found = {"edgeseg": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _machine() -> list[Check]:
    model = ""
    with contextlib.suppress(OSError):
        model = Path("/proc/device-tree/model").read_text().strip("\0\n") + ", "  # a Raspberry Pi or a Jetson says its name
    return [
        Check("machine", "ok", f"{model}{platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        Check("versions", "ok", ", ".join(f"{name} {version}" for name, version in versions().items())),
    ]


def _backends() -> list[Check]:
    checks = []
    for name, runs, package, remedy in (
        ("litert", "TFLite", litert.installed(), "pip install ai-edge-litert"),
        ("ort", "ONNX", ort.installed(), "pip install 'edgeseg[onnx]'"),
    ):
        if package:
            checks.append(Check(f"backend {name}", "ok", f"runs {runs} by {package}"))
        else:
            checks.append(Check(f"backend {name}", "missing", f"{runs} files cannot be run; {remedy}"))
    if all(check.verdict == "missing" for check in checks):
        checks.append(Check("backends", "bad", "no model can be run at all; pip install ai-edge-litert"))
    if native.available():
        checks.append(Check("kernels", "ok", "compiled for this processor"))
    else:
        why = "EDGESEG_NATIVE=0" if os.environ.get("EDGESEG_NATIVE") == "0" else "none compiled for this processor"
        remedy = "where there is GCC, on x86-64 with AVX2 or on aarch64, install edgeseg again"
        checks.append(Check("kernels", "missing", f"{why}: the blur is slower; {remedy}"))
    return checks


def _pairs() -> list[Check]:
    """Pairs of packages that are known not to work together."""
    found = versions()
    checks = []
    if "tflite-runtime" in found and "ai-edge-litert" not in found and int(np.__version__.split(".")[0]) >= 2:
        detail = f"tflite-runtime {found['tflite-runtime']} crashes with numpy {np.__version__}; pip install 'numpy<2'"
        checks.append(Check("tflite-runtime with numpy", "bad", detail))
    several = [name for name in found if name.startswith("opencv-")]
    if len(several) > 1:
        detail = f"{' and '.join(several)} overwrite each other's files; uninstall them all, then install one"
        checks.append(Check("opencv", "bad", detail))
    return checks or [Check("known-bad pairs", "ok", "none")]


def _models() -> list[Check]:
    checks = []
    for name, asset in assets.trained().items():
        wrong = assets.verify(asset)
        if wrong:
            checks.append(Check(f"model {name}", "bad", f"missing or altered: {', '.join(wrong)}; install edgeseg again"))
        else:
            checks.append(Check(f"model {name}", "ok", f"{len(asset.sha256)} files as shipped"))
    return checks or [Check("models", "missing", "this copy of edgeseg ships no trained model; give one with --model FILE")]
