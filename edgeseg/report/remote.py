"""`edgeseg bench` on other machines, by OpenSSH: files there, the machine's own edgeseg runs, its JSON comes back.

Nothing is installed or left behind. Whatever goes wrong with one machine is that machine's reason; the others go on. The
programs are `ssh` and `scp` as the user has set them up (`~/.ssh/config`, an agent); they never ask for a password.

No file name of the user's reaches a shell: files get plain names there, and their rows get the local paths back.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgeseg.errors import DataError, EdgesegError, ModelError, UsageError
from edgeseg.report.schema import Report, parse_report

CONNECT_S = 15
FILES_S = 600  # for all files of a host
BENCH_S = 3600
FOLDER = re.compile(r"/[\w./-]+")  # what mktemp may answer
HOST = re.compile(r"[A-Za-z0-9_.@%+-]+")
NOT_FOUND = 127  # a shell's status for a command that there is not


@dataclass(frozen=True)
class Remote:
    """How machines are reached.

    options  of ssh_config(5), as "Port=2222"
    command  that starts edgeseg there, for that machine's shell
    """

    options: tuple[str, ...] = ()
    command: str = "edgeseg"

    def __post_init__(self) -> None:
        for program in ("ssh", "scp"):
            if shutil.which(program) is None:
                raise UsageError(f"--host needs {program}, which is not installed; install the OpenSSH client")
        for option in self.options:
            if not re.match(r"\w+[= ]", option):
                raise UsageError(f"an option of ssh is KEY=VALUE, as Port=2222; got {option!r}")

    def arguments(self) -> list[str]:
        settings = ["BatchMode=yes", f"ConnectTimeout={CONNECT_S}", *self.options]
        return [part for setting in settings for part in ("-o", setting)]


@dataclass(frozen=True)
class Answer:
    """Of one host: its report, or the reason why there is none."""

    host: str
    report: Report | None = None
    error: str = ""


def bench_on(
    hosts: Sequence[str], files: Sequence[Path], arguments: Sequence[str], remote: Remote, say: Callable[[str], None]
) -> list[Answer]:
    """`edgeseg bench --json ARGUMENTS FILES` on every host at once. UsageError for a host that cannot be one's name.

    say  is told when a host begins and ends
    """
    for host in hosts:
        if not HOST.fullmatch(host) or host.startswith("-"):
            raise UsageError(f"{host!r} is no host; write it as ssh takes it: user@name or a name of ~/.ssh/config")

    def ask(host: str) -> Answer:
        try:
            answer = Answer(host, _bench(host, files, arguments, remote) | {"host": host})
        except EdgesegError as error:
            answer = Answer(host, error=str(error))
        say(f"{host}: {answer.error or 'done'}")
        return answer

    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        return list(pool.map(ask, hosts))


def _bench(host: str, files: Sequence[Path], arguments: Sequence[str], remote: Remote) -> Report:
    missing = {path: f"model file {path} does not exist; give a .tflite or .onnx file" for path in files if not path.is_file()}
    files = [path for path in files if path not in missing]
    if not files:
        raise ModelError(next(iter(missing.values()), "no file was named"))
    folder = _ssh(host, "mktemp -d /tmp/edgeseg.XXXXXXXX", remote, CONNECT_S * 2).strip()
    if not FOLDER.fullmatch(folder):
        raise DataError(f"{host} gave {folder[:80]!r} for a temporary folder; does its shell print something when it starts?")
    try:
        names = {f"{folder}/{i}/{_plain(path.name)}": path for i, path in enumerate(files)}
        _ssh(host, "mkdir " + " ".join(str(PurePosixPath(name).parent) for name in names), remote, CONNECT_S * 2)
        for name, path in names.items():
            command = ["scp", "-q", *remote.arguments(), "--", str(path.resolve()), f"{host}:{name}"]
            _run(host, command, FILES_S)
        line = f"{remote.command} bench --json {shlex.join(arguments)} {' '.join(names)}"
        text = _ssh(host, line, remote, BENCH_S)
    finally:
        _forget(host, folder, remote)
    report = parse_report(text[text.find("{") :], host)  # what a shell prints when it starts comes first
    for row in report["results"]:
        row["path"] = str(names.get(row["path"], row["path"]))
    report["results"] += [{"path": str(path), "error": why} for path, why in missing.items()]
    return report


def _plain(name: str) -> str:
    """Letters, digits, points and dashes alone, the last ones kept."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip("-.") or "model"


def _forget(host: str, folder: str, remote: Remote) -> None:
    """Take the folder away, if the host still answers."""
    with suppress(DataError):
        _ssh(host, f"rm -rf {folder}", remote, CONNECT_S * 2)


def _ssh(host: str, line: str, remote: Remote, timeout_s: float) -> str:
    return _run(host, ["ssh", *remote.arguments(), "--", host, line], timeout_s)


def _run(host: str, command: Sequence[str], timeout_s: float) -> str:
    """What it printed. DataError with the last line of its complaint."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{host} gave no answer within {timeout_s:.0f} s") from None
    if done.returncode == NOT_FOUND:
        raise DataError(f"{host} has no edgeseg; install it there (pip install edgeseg) or say where it is: --host-command")
    if done.returncode and not done.stdout.lstrip().startswith("{"):  # of a bench whose files all failed the report says why
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        reason = (lines or [f"exit status {done.returncode}"])[-1].strip().removeprefix("edgeseg: ")
        raise DataError(f"{host}: {reason[:300]}")
    return done.stdout
