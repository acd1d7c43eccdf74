"""The program that is interrupted while it loads its modules, in processes of their own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent
# A module that takes as long to load as the test wants, in place of the first that the program needs.
SLOW = "import time\nprint('loading', flush=True)\ntime.sleep(60)\n"


def installed():
    """What pip makes of the entry in pyproject.toml."""
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["edgeseg"]
    module, _, function = script.partition(":")
    return ["-c", f"import sys\nfrom {module} import {function}\nsys.exit({function}())"]


@pytest.mark.parametrize("start", [installed(), ["-m", "edgeseg"]], ids=["edgeseg", "python -m edgeseg"])
def test_interrupted_while_it_loads(tmp_path, start):
    (tmp_path / "click.py").write_text(SLOW)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, *start, "models"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "loading\n"
            process.send_signal(signal.SIGINT)
            _, talk = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, talk) == (130, "edgeseg: stopped\n")
