"""Boards: their heat and what is spared for it, the fastest backend and threads, the service."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeseg.errors import ModelError
from edgeseg.runtime import probe
from edgeseg.runtime.control.service import systemd_unit
from edgeseg.runtime.control.thermal import Heat, Thermal, level, read_heat
from edgeseg.runtime.probe import Choice, choose, fastest, thread_counts
from tests.runtime.tiny_models import write_onnx, write_tflite


def board(sys: Path, kind: str, millidegrees: int, trips: dict[str, int] | None = None, flags: str | None = None) -> Path:
    zone = sys / "class" / "thermal" / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text(f"{kind}\n")
    (zone / "temp").write_text(f"{millidegrees}\n")
    for index, (name, limit) in enumerate((trips or {}).items()):
        (zone / f"trip_point_{index}_type").write_text(f"{name}\n")
        (zone / f"trip_point_{index}_temp").write_text(f"{limit}\n")
    if flags is not None:
        throttled = sys / "devices" / "platform" / "soc" / "soc:firmware" / "get_throttled"
        throttled.parent.mkdir(parents=True)
        throttled.write_text(f"{flags}\n")
    return sys


NOW_AND_BEFORE = ("under-voltage", "throttled")


@pytest.mark.parametrize(
    ("kind", "trips", "flags", "expected"),
    [
        ("cpu-thermal", {"critical": 110_000}, "0", Heat(61.2, 80.0)),  # a Raspberry Pi 4
        ("cpu-thermal", {"active": 50_000}, "50005", Heat(61.2, 80.0, NOW_AND_BEFORE, NOW_AND_BEFORE, slowed=True)),
        ("cpu-thermal", None, "80000", Heat(61.2, 80.0, (), ("soft temperature limit",))),
        ("CPU-therm", {"passive": 97_000, "critical": 101_000}, None, Heat(61.2, 97.0)),  # a Jetson
        ("x86_pkg_temp", {"passive": 95_000}, None, None),  # a laptop
    ],
)
def test_what_a_board_tells(
    tmp_path: Path, kind: str, trips: dict[str, int] | None, flags: str | None, expected: Heat | None
) -> None:
    assert read_heat(board(tmp_path, kind, 61_200, trips, flags)) == expected


def test_a_board_that_tells_nothing_or_nonsense(tmp_path: Path) -> None:
    assert read_heat(tmp_path) is None
    board(tmp_path, "cpu-thermal", 0)
    (tmp_path / "class" / "thermal" / "thermal_zone0" / "temp").write_text("")
    assert read_heat(tmp_path) is None


def test_the_share_falls_near_the_limit_and_rises_when_it_is_clearly_cooler() -> None:
    before, shares = 0, []
    for degrees in (40, 74.9, 75, 79, 80, 84, 79, 77.1, 76.9, 74, 72.1, 71.9, 75):
        before = level(Heat(degrees, 80.0), before)
        shares.append((1.0, 0.5, 0.25)[before])
    assert shares == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 1, 0.5]


def test_a_board_that_is_slowed_already_is_spared_most() -> None:
    assert level(Heat(60.0, 80.0, slowed=True), 0) == 2


def test_it_looks_now_and_then_and_is_asked_each_frame() -> None:
    looks = iter([Heat(50.0, 80.0), Heat(78.0, 80.0)])
    thermal = Thermal(lambda: next(looks), look_every_s=60)
    assert [thermal.share() for _ in range(100)] == [1.0] * 100
    thermal._looked_s -= 61
    assert thermal.share() == 0.5
    assert thermal.heat == Heat(78.0, 80.0)
    assert Thermal(lambda: None).share() == 1.0


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ([("litert", 1, 10.0), ("ort", 1, 9.0)], ("ort", 1)),
        ([("litert", 1, 10.0), ("litert", 2, 8.6)], ("litert", 1)),  # a seventh is not worth a core
        ([("litert", 1, 10.0), ("litert", 2, 6.0), ("litert", 4, 5.5)], ("litert", 2)),
        ([("litert", 1, 10.0), ("litert", 2, 6.0), ("litert", 4, 3.0)], ("litert", 4)),
        ([("litert", 1, 4.0), ("litert", 2, 9.0)], ("litert", 1)),
    ],
)
def test_the_fastest_by_hand(choices: list[tuple[str, int, float]], expected: tuple[str, int]) -> None:
    best = fastest([Choice(*choice) for choice in choices])  # type: ignore[arg-type]
    assert (best.backend, best.threads) == expected


@pytest.mark.parametrize(("cores", "expected"), [(1, [1]), (2, [1, 2]), (3, [1, 2]), (4, [1, 2, 4]), (64, [1, 2, 4])])
def test_the_numbers_of_threads_that_are_tried(cores: int, expected: list[int]) -> None:
    assert thread_counts(cores) == expected


def test_it_is_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))
    model, said, measured = write_tflite(tmp_path / "m.tflite"), [], []
    measure = probe.measure
    monkeypatch.setattr(probe, "measure", lambda *a: (measured.append(1), measure(*a))[1])
    first = choose(model, say=said.append)
    assert first.backend == "litert"
    assert first.latency_ms > 0
    assert choose(model, say=said.append) == first
    assert (len(measured), len(said)) == (1, 1)
    entry = next((tmp_path / "cache" / "probe").iterdir())
    assert json.loads(entry.read_text())["threads"] == first.threads
    entry.write_text("nonsense")
    choose(model)
    write_tflite(tmp_path / "m.tflite")
    (tmp_path / "m.tflite").touch()
    choose(model)  # another file of that name
    assert len(measured) == 3


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "file"))
    assert choose(write_tflite(tmp_path / "m.tflite")).threads >= 1


def test_a_model_that_nothing_runs_is_the_error_it_would_be(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_text("no model")
    with pytest.raises(ModelError, match="neither a TFLite nor an ONNX"):
        choose(tmp_path / "m.tflite")


def test_an_onnx_file_is_measured_where_it_runs(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert {choice.backend for choice in probe.measure(write_onnx(tmp_path / "m.onnx"))} == {"ort"}


@pytest.mark.parametrize(
    ("executable", "command"),
    [
        ("/usr/bin/python3", "ExecStart=/usr/bin/python3 -m edgeseg blur --webcam --output vcam --threads auto"),
        ("/home/ann/my env/bin/python", 'ExecStart="/home/ann/my env/bin/python" -m edgeseg blur'),
        ("/opt/100%/python", "ExecStart=/opt/100%%/python -m edgeseg blur"),
    ],
)
def test_the_unit_runs_this_edgeseg(executable: str, command: str) -> None:
    assert command in systemd_unit(executable).splitlines() or command in systemd_unit(executable)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze to judge the unit")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    (tmp_path / "edgeseg.service").write_text(systemd_unit())
    command = ["systemd-analyze", "--user", "verify", str(tmp_path / "edgeseg.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "edgeseg.service" not in done.stderr, done.stderr
