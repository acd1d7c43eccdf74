"""What works on this machine and what does not: versions, backends, cameras, windows, models, known-bad pairs."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edgeseg import __version__, assets
from edgeseg.runtime.backends import litert, ort
from edgeseg.runtime.window import has_cv_window, has_screen

Verdict = Literal["ok", "missing", "bad"]

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


@dataclass(frozen=True)
class Check:
    """One finding. "missing" is something optional that is not there, "bad" something that must be mended."""

    name: str
    verdict: Verdict
    detail: str


def diagnose() -> list[Check]:
    """Every check, in the order to read them in. Opens no camera and imports no backend."""
    return [*_machine(), *_backends(), *_pairs(), *_video(), *_models()]


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


def _video() -> list[Check]:
    checks = []
    if sys.platform == "linux":
        cameras = sorted(Path("/dev").glob("video*"))
        if cameras:
            readable = [c for c in cameras if os.access(c, os.R_OK | os.W_OK)]
            names = ", ".join(f"{camera} ({_camera_name(camera)})" for camera in cameras)
            checks.append(Check("cameras", "ok" if readable else "bad", names))
            if len(readable) < len(cameras):
                detail = "a camera may not be opened by you; run: sudo usermod -aG video $USER, then log in again"
                checks.append(Check("group video", "bad", detail))
        else:
            checks.append(Check("cameras", "missing", "no /dev/video*; on a Pi's own camera module see: rpicam-hello"))
        loaded = Path("/sys/module/v4l2loopback").is_dir()
        detail = "v4l2loopback is loaded" if loaded else "run: sudo modprobe v4l2loopback exclusive_caps=1 card_label=edgeseg"
        checks.append(Check("virtual camera device", "ok" if loaded else "missing", detail))
    vcam = importlib.util.find_spec("pyvirtualcam") is not None
    detail = "pyvirtualcam is installed" if vcam else "pip install 'edgeseg[vcam]'"
    checks.append(Check("virtual camera package", "ok" if vcam else "missing", detail))
    tk = importlib.util.find_spec("_tkinter") is not None
    window = "OpenCV" if has_cv_window() else "Tk" if tk else None
    if window and not has_screen():
        window, detail = None, "this session has no screen; write files with --output"
    else:
        detail = f"by {window}" if window else "none; apt install python3-tk, or write files with --output"
    checks.append(Check("window", "ok" if window else "missing", detail))
    return checks


def _camera_name(device: Path) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/sys/class/video4linux/{device.name}/name").read_text().strip()
    return "name unknown"


def _models() -> list[Check]:
    checks = []
    for name, asset in assets.trained().items():
        wrong = assets.verify(asset)
        if wrong:
            checks.append(Check(f"model {name}", "bad", f"missing or altered: {', '.join(wrong)}; install edgeseg again"))
        else:
            checks.append(Check(f"model {name}", "ok", f"{len(asset.sha256)} files as shipped"))
    return checks or [Check("models", "missing", "this copy of edgeseg ships no trained model; give one with --model FILE")]
