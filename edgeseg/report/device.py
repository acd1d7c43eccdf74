"""The machine that a figure was measured on. A latency without it means nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IDLE = 0.5  # load in the last minute
PACKAGES = ("edgeseg", "numpy", "opencv-python-headless", "ai-edge-litert", "tflite-runtime", "onnxruntime", "onnxruntime-gpu")


def describe_device(root: Path = Path("/")) -> dict[str, Any]:
    """What is known of this machine; what cannot be read is None.

    board          from the device tree, as "Raspberry Pi 5 Model B Rev 1.0"; None on a PC
    cpu            model name
    cores          logical processors, and `cores_usable` those that this process may run on
    memory_bytes   of the whole machine
    governor       of the CPU's frequency; anything but "performance" may blur short measurements
    frequency_mhz  of the first CPU now, and `frequency_max_mhz` what it may reach
    temperature_c  of the hottest sensor, now; boards throttle from about 80
    load_1min      processes that ran on average in the last minute: near 0 before a fair measurement
    versions       of the packages that take part
    root           where /proc, /sys and /etc are
    """
    return {
        "board": _board(root),
        "cpu": _cpu(root),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": _memory(root),
        "os": _os(root),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "governor": _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "frequency_mhz": _mhz(root, "scaling_cur_freq"),
        "frequency_max_mhz": _mhz(root, "cpuinfo_max_freq"),
        "temperature_c": temperature_c(root),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def is_busy(device: Mapping[str, Any]) -> bool:
    """Whether anything was at work in the minute before `device` was described: of ours, or of others."""
    return (device.get("load_1min") or 0) > IDLE


def name_device(device: dict[str, Any]) -> str:
    """One line: the board or else the processor, cores, memory, system."""
    memory = device.get("memory_bytes")
    parts = [
        device.get("board") or device.get("cpu") or device.get("architecture") or "unknown machine",
        f"{device.get('cores_usable') or device.get('cores')} cores",
        f"{memory / 2**30:.1f} GiB" if memory else None,
        device.get("os"),
    ]
    return ", ".join(str(part) for part in parts if part)


def temperature_c(root: Path = Path("/")) -> float | None:
    """Of the hottest thermal zone, in degrees Celsius; None where there is none."""
    values = [_read(path) for path in sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))]
    numbers = [int(v) / 1000 for v in values if v and v.lstrip("-").isdecimal()]
    return max(numbers, default=None)


def throttling(root: Path = Path("/")) -> dict[str, int]:
    """Counts and flags that say whether the machine is or was slowed down for heat or voltage; {} where it does not tell.

    A reading is compared with one before a measurement by `was_throttled`.
    """
    found = {}
    # Raspberry Pi: bits 0 to 3 are of now, 16 to 19 since it was started.
    for firmware in (root / "sys/devices/platform").glob("soc*/soc*firmware/get_throttled"):
        if flags := _read(firmware):
            found["raspberry_pi"] = int(flags, 16)
    for counter in sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")):
        found[counter.parent.parent.name] = int(_read(counter) or 0)
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        if "cpu" in (_read(device / "type") or "").lower():  # how many steps the kernel has taken a processor down
            found[device.name] = int(_read(device / "cur_state") or 0)
    return found


def was_throttled(before: dict[str, int], after: dict[str, int]) -> bool | None:
    """Between two readings of `throttling`; None where the machine does not tell."""
    if not after:
        return None
    if after.get("raspberry_pi", 0) & 0xF:
        return True
    counts = [name for name in after if name.startswith("cpu")]
    if any(after[name] > before.get(name, 0) for name in counts):
        return True
    return any(after[name] > 0 for name in after if name.startswith("cooling_device"))


def _mhz(root: Path, name: str) -> float | None:
    kilohertz = _read(root / "sys/devices/system/cpu/cpu0/cpufreq" / name)
    return int(kilohertz) / 1000 if kilohertz and kilohertz.isdecimal() else None


def _board(root: Path) -> str | None:
    return _read(root / "proc/device-tree/model") or _read(root / "sys/firmware/devicetree/base/model")


def _cpu(root: Path) -> str | None:
    fields = _fields(root / "proc/cpuinfo")
    # x86 names the model; Arm kernels give "Model" (a board) or only numbers of implementer and part.
    for key in ("model name", "Model", "Hardware"):
        if fields.get(key):
            return fields[key]
    if fields.get("CPU part"):
        return f"Arm implementer {fields.get('CPU implementer')} part {fields['CPU part']}"
    return platform.processor() or None


def _memory(root: Path) -> int | None:
    kib = _fields(root / "proc/meminfo").get("MemTotal", "").partition(" ")[0]
    return int(kib) * 1024 if kib.isdecimal() else None


def _os(root: Path) -> str:
    release = _read(root / "etc/os-release") or ""
    names = [line.partition("=")[2].strip('"') for line in release.splitlines() if line.startswith("PRETTY_NAME=")]
    return f"{names[0]}, {platform.system()} {platform.release()}" if names else f"{sys.platform} {platform.release()}"


def _fields(path: Path) -> dict[str, str]:
    """`key: value` lines; of a repeated key the first."""
    fields: dict[str, str] = {}
    for line in (_read(path) or "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0\n ") or None  # the device tree ends its strings with NUL
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
