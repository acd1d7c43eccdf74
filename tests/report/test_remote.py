"""Hosts by ssh: a real sshd on the loopback address with a key and a configuration of its own, and hosts that are none."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

from click.testing import CliRunner

from edgeseg.cli import main
from edgeseg.errors import UsageError
from edgeseg.report.remote import Remote, bench_on
from tests.runtime.tiny_models import write_onnx

ROOT = Path(__file__).parent.parent.parent
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
SFTP = next(
    (p for p in ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server") if Path(p).exists()), "internal-sftp"
)
QUICK = ["--min-seconds", "0", "--warmup", "1"]
needs_ssh = pytest.mark.skipif(
    shutil.which("ssh") is None or shutil.which("scp") is None, reason="no OpenSSH client is installed"
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Options of ssh that lead to an sshd of this test's."""
    if SSHD is None:
        pytest.skip("no sshd is installed")
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        pytest.skip("sshd was never set up here: /run/sshd is missing")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    port = free_port()
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": folder / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
        "UseDNS": "no",
        "PasswordAuthentication": "no",
        "Subsystem": f"sftp {SFTP}",
    }
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    log = (folder / "log").open("w")
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=log)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                pytest.skip(f"sshd does not start here: {(folder / 'log').read_text().strip()[-200:]}")
            time.sleep(0.1)
        yield (
            f"Port={port}",
            f"IdentityFile={folder / 'user'}",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            f"UserKnownHostsFile={folder / 'known'}",
        )
    finally:
        process.terminate()
        process.wait()
        log.close()


@pytest.fixture
def model(tmp_path):
    """A file with a name that no shell should see."""
    folder = tmp_path / "a b; touch $(pwned)"
    folder.mkdir()
    return write_onnx(folder / "it's a 'model' $(touch pwned) & more.onnx")


HERE = f"cd '{ROOT}' && OMP_NUM_THREADS=1 '{sys.executable}' -m edgeseg"


def leftovers():
    return {path.name for path in Path("/tmp").glob("edgeseg.*")}


@needs_ssh
def test_a_report_comes_back_from_several_hosts_at_once(server, model, tmp_path):
    before = leftovers()
    user = f"{getpass.getuser()}@127.0.0.1"
    options = [part for option in server for part in ("--ssh-option", option)]
    hosts = ["--host", user, "--host", f"{getpass.getuser()}@localhost", "--host", "nobody@127.0.0.1"]
    arguments = ["bench", str(model), str(model.with_name("missing.onnx")), *QUICK, *hosts, *options]
    done = CliRunner().invoke(main, [*arguments, "--host-command", HERE, "--json", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    first, second, stranger = json.loads(done.stdout)["hosts"]
    for answer in (first, second):
        row, missing = answer["report"]["results"]
        assert missing.keys() == {"path", "error"}
        assert "missing.onnx does not exist" in missing["error"]
        assert row["path"] == str(model)
        assert row["latency_ms"]["median"] > 0
        assert answer["report"]["device"]["python"] == sys.version.split()[0]
    assert stranger["host"] == "nobody@127.0.0.1"
    assert "ermission denied" in stranger["error"]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {f"{user}.json", "bench.json", "bench.md", "bench.csv"} <= written
    for name in ("bench.md", "bench.csv", "bench.html"):
        text = (tmp_path / "out" / name).read_text()
        assert "nobody@127.0.0.1" in text, name
        assert "ermission denied" in text, name
        assert "missing.onnx does not exist" in text, name
    assert leftovers() == before
    assert not list(tmp_path.rglob("pwned"))
    assert not Path("pwned").exists()


@needs_ssh
def test_what_the_host_says_is_the_reason(server, model):
    user = f"{getpass.getuser()}@127.0.0.1"
    cases = {
        "edgeseg-that-is-not-there": "has no edgeseg",
        "sh -c 'echo nonsense'": "not JSON",
        "sh -c 'echo too bad >&2; exit 3'": "too bad",
    }
    for command, needle in cases.items():
        (answer,) = bench_on([user], [model], QUICK, Remote(server, command), print)
        assert needle in answer.error


@needs_ssh
def test_a_key_that_the_host_does_not_know(server, model, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    options = tuple(option for option in server if not option.startswith("IdentityFile"))
    remote = Remote((*options, f"IdentityFile={tmp_path / 'other'}", "IdentityAgent=none"))
    (answer,) = bench_on([f"{getpass.getuser()}@127.0.0.1"], [model], QUICK, remote, print)
    assert answer.report is None
    assert "ermission denied" in answer.error


@needs_ssh
def test_files_that_are_not_there_alone(model):
    (answer,) = bench_on(["127.0.0.1"], [model.with_name("missing.onnx")], QUICK, Remote(), print)
    assert "missing.onnx does not exist" in answer.error


@needs_ssh
def test_a_host_that_does_not_answer(model):
    (answer,) = bench_on(["127.0.0.1"], [model], QUICK, Remote((f"Port={free_port()}",)), print)
    assert answer.report is None
    assert "refused" in answer.error


@needs_ssh
@pytest.mark.parametrize("host", ["-oProxyCommand=touch pwned", "a b", "a;b", "", "$(b)"])
def test_hosts_that_are_none(host, model):
    with pytest.raises(UsageError, match="is no host"):
        bench_on([host], [model], QUICK, Remote(), print)


@needs_ssh
def test_options_that_are_none():
    with pytest.raises(UsageError, match="KEY=VALUE"):
        Remote(("-v",))
