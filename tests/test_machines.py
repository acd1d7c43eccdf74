"""The opt-in tests on other machines: without their machine they say what is needed, and end well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.mark.parametrize(
    ("script", "variable", "remedy"),
    [
        ("try_camera.py", "EDGESEG_CAMERA_VM", "scripts/camera_vm.sh build"),
        ("try_arm64.py", "EDGESEG_ARM64", "scripts/arm64.sh build"),
    ],
)
def test_without_its_machine_it_is_skipped_with_the_reason(tmp_path, script, variable, remedy):
    environment = {**os.environ, variable: str(tmp_path), "PYTHONPATH": str(SCRIPTS.parent)}
    command = [sys.executable, str(SCRIPTS / script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("skipped: ")
    assert remedy in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="bash")
@pytest.mark.parametrize(("script", "command"), [("camera_vm.sh", ["run", "."]), ("arm64.sh", ["python", "-c", "1"])])
def test_the_machines_say_how_to_build_them(tmp_path, script, command):
    variables = {"EDGESEG_CAMERA_VM": str(tmp_path), "EDGESEG_ARM64": str(tmp_path)}
    done = subprocess.run(
        ["bash", str(SCRIPTS / script), *command], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "run: " in done.stderr or "is missing" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_checks_inside_the_camera_machine_can_be_read():
    compile((SCRIPTS / "camera_checks.py").read_text(encoding="utf-8"), "camera_checks.py", "exec")
