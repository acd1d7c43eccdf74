"""What the doctor says of cameras, of the virtual camera, of PipeWire, of the window, and of a board's heat."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from edgeseg.runtime.capture import v4l2
from edgeseg.runtime.capture.camera_modes import rank
from edgeseg.runtime.capture.cv_camera import has_gstreamer
from edgeseg.runtime.capture.openers import who_opens
from edgeseg.runtime.capture.v4l2 import Device
from edgeseg.runtime.control.thermal import read_heat
from edgeseg.runtime.doctor.checks import Check, Verdict
from edgeseg.runtime.sinks.loopback import REMEDY
from edgeseg.runtime.sinks.watchers import told_by_driver
from edgeseg.runtime.sinks.window import has_cv_window, has_screen


def cameras(dev: Path = Path("/dev")) -> list[Check]:
    """Each camera by the name that stays its own, what it would be asked for, and who has it."""
    if sys.platform != "linux":
        return []
    nodes = [node for node in sorted(dev.glob("video*")) if node.name[5:].isdecimal()]
    checks = [_camera(device, v4l2.stable_names(dev)) for device in v4l2.devices(dev) if _is_camera(device)]
    if any(not os.access(node, os.R_OK | os.W_OK) for node in nodes):
        detail = "a camera may not be opened by you; run: sudo usermod -aG video $USER, then log in again"
        checks.append(Check("group video", "bad", detail))
    elif not checks:
        checks.append(Check("cameras", "missing", "none is connected"))
    module = importlib.util.find_spec("picamera2") is not None
    if module or _is_pi():
        detail = "by picamera2: --webcam picamera2" if module else "sudo apt install python3-picamera2"
        checks.append(Check("Pi camera module", "ok" if module else "missing", detail))
    if has_gstreamer():
        checks.append(Check("GStreamer", "ok", "OpenCV runs pipelines: --webcam nvargus on a Jetson"))
    return checks


def _is_camera(device: Device) -> bool:
    """A virtual camera that nobody feeds gives nothing, and is no camera yet."""
    return device.captures and bool(not device.is_loopback or v4l2.formats(device.path))


def _camera(device: Device, stable: dict[Path, str]) -> Check:
    name = f"camera {device.path}"
    told = [device.card]
    if device.path in stable:
        told.append(f"--webcam {Path(stable[device.path]).name}")
    modes = _modes(device.path)
    best = rank(modes, None, 30.0)
    verdict: Verdict = "ok"
    if best:
        (height, width), fps = best[0].size_hw, best[0].fps
        told.append(f"{height}x{width} {best[0].fourcc}" + (f" at {fps:g} frames/s" if fps else ""))
    else:
        verdict = "missing"
        told.append(f"no format that edgeseg reads ({', '.join(dict.fromkeys(m.fourcc for m in modes)) or 'none at all'})")
    others = who_opens(device.path)
    if others:
        told.append(f"in use by {', '.join(others)}")
    return Check(name, verdict, "; ".join(told))


def _modes(path: Path) -> list[v4l2.Mode]:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        return v4l2.modes(fd)
    except OSError:
        return []
    finally:
        os.close(fd)


def virtual_camera(dev: Path = Path("/dev"), module: Path = Path("/sys/module/v4l2loopback")) -> list[Check]:
    """v4l2loopback and how it was loaded: browsers list it only with exclusive_caps."""
    package = importlib.util.find_spec("pyvirtualcam") is not None
    if sys.platform != "linux":
        detail = "pyvirtualcam is installed" if package else "pip install 'edgeseg[vcam]'"
        return [Check("virtual camera", "ok" if package else "missing", detail)]
    if not module.is_dir():
        return [Check("virtual camera", "missing", f"v4l2loopback is not loaded; {REMEDY}")]
    try:
        version = (module / "version").read_text().strip()
    except OSError:
        version = "of unknown version"
    found = [device for device in v4l2.devices(dev) if device.is_loopback]
    if not found:
        return [
            Check("virtual camera", "missing", f"v4l2loopback {version} is loaded and has no device you may open; {REMEDY}")
        ]
    checks = []
    for device in found:
        # With exclusive_caps a device is one side at a time: it takes frames until somebody feeds it, and gives them then.
        exclusive = not (device.captures and device.takes)
        told = [device.card, f"v4l2loopback {version}"]
        if not exclusive:
            told.append("without exclusive_caps Chrome does not list it; sudo modprobe -r v4l2loopback, then " + REMEDY)
        if others := who_opens(device.path):
            told.append(f"in use by {', '.join(others)}")
        counted = "its own account" if told_by_driver(device.path) is not None else "openings"
        told.append(f"who watches is known by {counted}")
        checks.append(Check(f"virtual camera {device.path}", "ok" if exclusive else "missing", "; ".join(told)))
    return checks


def pipewire(runtime: Path | None = None) -> list[Check]:
    """PipeWire hands cameras to sandboxed programs; it looks for new ones by itself, and virtual ones need a push at times."""
    if sys.platform != "linux":
        return []
    folder = runtime or Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    if not (folder / "pipewire-0").exists():
        return [Check("PipeWire", "missing", "does not run here; programs open cameras themselves")]
    detail = "runs; a program that does not list the virtual camera may after: systemctl --user restart wireplumber"
    return [Check("PipeWire", "ok", detail)]


def window() -> list[Check]:
    tk = importlib.util.find_spec("_tkinter") is not None
    kind = "OpenCV" if has_cv_window() else "Tk" if tk else None
    if kind and not has_screen():
        return [Check("window", "missing", "this session has no screen; use --output FILE.mp4 or http://127.0.0.1:8080")]
    detail = f"by {kind}" if kind else "none; apt install python3-tk, or write files with --output"
    return [Check("window", "ok" if kind else "missing", detail)]


def heat(sys_folder: Path = Path("/sys")) -> list[Check]:
    """Of boards only; nothing of others."""
    found = read_heat(sys_folder)
    if found is None:
        return []
    told = [f"{found.temperature_c:.0f} of {found.limit_c:.0f} degrees C"]
    told += [f"now: {', '.join(found.troubles)}"] if found.troubles else []
    told += [f"since the start: {', '.join(found.troubled)}"] if found.troubled else []
    if "under-voltage" in (*found.troubles, *found.troubled):
        told.append("use a stronger power supply")
    if found.slowed or found.temperature_c >= found.limit_c:
        told.append("it slows itself down; cool it")
    return [Check("heat", "bad" if found.troubles or found.temperature_c >= found.limit_c else "ok", "; ".join(told))]


def _is_pi() -> bool:
    try:
        return "Raspberry Pi" in Path("/proc/device-tree/model").read_text()
    except OSError:
        return False
