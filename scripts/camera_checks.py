"""Inside the machine of scripts/camera_vm.sh: the real command on the kernel's cameras. Run by scripts/try_camera.py.

/dev/video0 is vivid, the kernel's test camera; /dev/video10 a virtual camera with exclusive_caps, /dev/video11 one without.
Every check prints one line; the exit status is the number of those that failed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from edgeseg.runtime import open_source
from edgeseg.runtime.capture import v4l2, v4l2_camera
from edgeseg.runtime.capture.clock_camera import ClockCamera, read_clock
from edgeseg.runtime.capture.openers import open_counts
from edgeseg.runtime.capture.pixels import PACKED
from edgeseg.runtime.capture.v4l2 import Mode
from edgeseg.runtime.capture.v4l2_camera import V4l2Camera
from edgeseg.runtime.sinks.loopback import Loopback

WEBCAM, VIRTUAL, FEED = Path("/dev/video0"), Path("/dev/video10"), Path("/dev/video11")
DRIVER = Path("/sys/bus/platform/drivers/vivid")
SIZE = (180, 320)
PATIENCE_S = 400.0  # all is slow here, and slower where the host has other work
CHECKERS, BARS = 10, 1  # vivid's test patterns: squares of 16 pixels, bars of full strength
checks: list[Callable[[Path], None]] = []


def check(function: Callable[[Path], None]) -> Callable[[Path], None]:
    checks.append(function)
    return function


def setting(name: str, value: int) -> None:
    subprocess.run(["v4l2-ctl", "-d", str(WEBCAM), "-c", f"{name}={value}"], check=True)


def unplug() -> None:
    (DRIVER / "unbind").write_text("vivid.0")


def plug_in() -> None:
    (DRIVER / "bind").write_text("vivid.0")
    until(lambda: WEBCAM.exists(), "the camera's return")
    setting("test_pattern", CHECKERS)


def until(found: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    end_s = time.monotonic() + patience_s
    while not found():
        assert time.monotonic() < end_s, f"waited {patience_s:.0f} s for {what}"
        time.sleep(0.1)


class Blur:
    """`edgeseg blur` as a process of its own."""

    def __init__(self, folder: Path, options: str) -> None:
        self.said = folder / "said"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edgeseg", "blur", *options.split()], stdout=said, stderr=said
            )

    def text(self) -> str:
        return self.said.read_text()

    def holds(self, device: Path) -> bool:
        return self.process.pid in open_counts(device)

    def says(self, line: str, times: int = 1) -> None:
        def said() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.text()}"
            return self.text().count(line) >= times

        until(said, f"{line!r} in {self.text()!r}")

    def stop(self, by: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(by)
        assert self.process.wait(PATIENCE_S) == 0, self.text()


def held(pid: int) -> set[str]:
    """The video devices that a process has open."""
    return {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").glob("*") if os.readlink(entry).startswith("/dev/video")}


@contextlib.contextmanager
def blur(folder: Path, options: str) -> Iterator[Blur]:
    running = Blur(folder, options)
    try:
        yield running
    except Exception as error:
        ended = running.process.poll()
        state = "still runs" if ended is None else f"ended with {ended}"
        holds = ", ".join(sorted(held(running.process.pid)))
        raise AssertionError(f"{error}; edgeseg {state}, holds {holds or 'no device'} and said: {running.text()}") from error
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def detail(frame: np.ndarray) -> float:
    """Mean step from one pixel to the next, in both directions: some 30 for vivid's checkers as they are, below 6 blurred."""
    luma = frame.astype(np.float32).mean(axis=2)
    return float(np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean())


RAW = 10.0


def read_back(count: int, device: Path = VIRTUAL) -> list[np.ndarray]:
    """As a meeting program would."""
    until(lambda: v4l2.formats(device), "a format of the virtual camera")
    camera = V4l2Camera(device, None, 30)
    try:
        frames = []
        while len(frames) < count:
            captured = camera.read(PATIENCE_S)
            assert captured is not None, "the virtual camera gives nothing"
            frames.append(captured.frame)
        return frames
    finally:
        camera.close()


def nothing_raw(frames: list[np.ndarray]) -> None:
    worst = max(map(detail, frames))
    assert worst < RAW, f"a frame has a detail of {worst:.1f}"


@check
def every_format_has_the_same_colours(folder: Path) -> None:
    """What a driver gives as YUYV, NV12, ... decodes to what it gives as RGB."""
    setting("test_pattern", BARS)
    setting("osd_text_mode", 2)
    shown, choose = {}, v4l2_camera.rank
    offered = set(v4l2.formats(WEBCAM))
    try:
        for fourcc in sorted((set(PACKED) - {"GREY"}) & offered):
            v4l2_camera.rank = lambda *_, f=fourcc: [Mode(f, SIZE, 30)]  # type: ignore[assignment,misc]
            camera = V4l2Camera(WEBCAM, SIZE, 30)
            captured = camera.read(PATIENCE_S)
            camera.close()
            assert captured is not None, f"{fourcc} gives nothing"
            assert (camera.fourcc, captured.frame.shape) == (fourcc, (*SIZE, 3))
            shown[fourcc] = captured.frame[90, 20::40].astype(int)
    finally:
        v4l2_camera.rank = choose
        setting("test_pattern", CHECKERS)
    assert {"RGB3", "YUYV", "NV12", "YU12"} <= shown.keys(), f"vivid offers {sorted(offered)}"
    for fourcc, colours in shown.items():
        off = np.abs(colours - shown["RGB3"]).max()
        assert off <= 3, f"{fourcc} is {off} off: {colours.tolist()} and not {shown['RGB3'].tolist()}"


@check
def the_doctor_names_the_cameras(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "edgeseg", "doctor"], capture_output=True, text=True, check=False)
    lines = {line[8:].partition(": ")[0]: line for line in done.stdout.splitlines()}
    assert "platform-vivid.0-video-index0" in lines["camera /dev/video0"], done.stdout
    assert lines["virtual camera /dev/video10"].startswith("ok"), done.stdout
    assert "exclusive_caps" in lines["virtual camera /dev/video11"], done.stdout


@check
def a_webcam_is_recorded_until_a_signal(folder: Path) -> None:
    for by in (signal.SIGINT, signal.SIGTERM):
        with blur(folder, f"--webcam vivid --size 180x320 -o {folder}/{by.name}.mp4 --json") as running:
            until(lambda: list(folder.glob(f".{by.name}.part*")) and running.holds(WEBCAM), "the recording")  # noqa: B023
            time.sleep(10)
            running.stop(by)
        with open_source(folder / f"{by.name}.mp4") as source:
            frames = [shot.frame for shot in source]
        assert len(frames) >= 3, running.text()
        assert frames[0].shape == (*SIZE, 3)
        nothing_raw(frames)


@check
def unplugged_it_waits_and_plugged_in_it_goes_on(folder: Path) -> None:
    with blur(folder, f"--webcam 0 --size 180x320 -o {folder}/out.mp4 --json") as running:
        until(lambda: running.holds(WEBCAM), "the camera to be opened")
        time.sleep(8)
        for turn in (1, 2):
            unplug()
            running.says("camera gone, waiting", turn)
            before, began_s = cpu_s(running.process.pid), time.monotonic()
            time.sleep(6)
            busy = (cpu_s(running.process.pid) - before) / (time.monotonic() - began_s)
            print(f"    while it waits it takes {busy:.0%} of a core of this slow machine")
            assert busy < 1.5, f"it takes {busy:.0%} of a core while it waits"
            plug_in()
            running.says("camera is back", turn)
            time.sleep(3)
        running.stop()
    with open_source(folder / "out.mp4") as source:
        nothing_raw([shot.frame for shot in source])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@check
def two_programs_on_one_camera(folder: Path) -> None:
    with blur(folder, "--webcam 0 --size 180x320 -o null") as first:
        until(lambda: first.holds(WEBCAM), "the camera to be opened")
        time.sleep(5)
        command = [sys.executable, "-m", "edgeseg", "blur", "--webcam", "0", "--size", "180x320", "-o", "null"]
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert second.returncode == 1, second.stderr
        assert second.stderr.count("\n") == 1, second.stderr
        assert f"in use by python3 (process {first.process.pid})" in second.stderr, second.stderr
        first.stop()


@check
def the_virtual_camera_is_read_back_and_never_raw(folder: Path) -> None:
    with blur(folder, "--webcam 0 --size 180x320 --strength 1 -o vcam") as running:
        frames = read_back(5)
        assert frames[0].shape == (*SIZE, 3)
        unplug()
        running.says("camera gone, waiting")
        frames += read_back(3)
        plug_in()
        running.says("camera is back")
        frames += read_back(5)
        nothing_raw(frames)
        running.stop()


@check
def the_camera_is_released_while_nobody_watches(folder: Path) -> None:
    with blur(folder, "--webcam 0 --size 180x320 --strength 1 -o vcam") as running:
        for _ in range(2):
            frames = read_back(3)
            assert running.holds(WEBCAM), "somebody watches, and the camera is off"
            until(lambda: not running.holds(WEBCAM), "the camera to be released")
            until(lambda: v4l2.formats(VIRTUAL), "the virtual camera, which must stay in the lists")
            nothing_raw(frames)
        running.stop()


@check
def a_clip_fed_to_a_virtual_camera_is_a_webcam(folder: Path) -> None:
    feeder = os.fork()
    if not feeder:
        device = Loopback(FEED, SIZE, 10)
        for shot in ClockCamera(SIZE, 10):
            device.write(shot.frame)
    try:
        until(lambda: v4l2.formats(FEED), "the feed")
        assert read_clock(read_back(1, FEED)[0]) is not None
        with blur(folder, f"--webcam {FEED} -o {folder}/out.mp4") as running:
            until(lambda: running.holds(FEED), "the feed to be opened")
            time.sleep(10)
            running.stop(signal.SIGTERM)
        with open_source(folder / "out.mp4") as source:
            assert source.size_hw == SIZE
            assert len(list(source)) >= 3
    finally:
        os.kill(feeder, signal.SIGKILL)
        os.waitpid(feeder, 0)


def main() -> None:
    setting("test_pattern", CHECKERS)
    setting("osd_text_mode", 2)
    failed = 0
    for function in checks:
        if sys.argv[1:] and not any(name in function.__name__ for name in sys.argv[1:]):
            continue
        began_s = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                function(Path(folder))
                print(f"ok    {function.__name__.replace('_', ' ')} ({time.monotonic() - began_s:.0f} s)", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {function.__name__.replace('_', ' ')}\n{traceback.format_exc()}", flush=True)
                if not WEBCAM.exists():
                    plug_in()
    sys.exit(failed)


if __name__ == "__main__":
    main()
