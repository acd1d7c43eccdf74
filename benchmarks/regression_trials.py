"""Is the same file ever called slower, and a slower one ever not? Trials of `edgeseg report` on this machine.

python benchmarks/regression_trials.py                       the default model, and a slower one that is made of it (minutes)
python benchmarks/regression_trials.py A.tflite B.tflite     files that are there; B is A made slower
python benchmarks/regression_trials.py --trials 3 --min-seconds 0.5     a short try

The slower file is the same network with two of its blocks done twice, exported as the first was: more layers of its own kind,
and nothing else. How much slower it is, is measured first, in turn (A B A B), in three processes. Then every trial makes three
reports with `edgeseg bench`, of A, of A again and of B, each in a process of its own as on three days, and asks `edgeseg report
--fail-on-regression` about the first two, and about the first and the last.
"""

import copy
import functools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from edgeseg import assets
from edgeseg.report.compare import Ratio, fair_rounds, is_precise, speedup
from edgeseg.report.device import describe_device
from edgeseg.report.latency import measure, noise
from edgeseg.report.reference import reference_like
from edgeseg.runtime import open_session

PROCESSES = 3  # a file opened twice differs by a percent or so: where its memory lies
TWICE = ((1, 1), (2, 1))  # (stage, block) of the backbone


@click.command(help=__doc__)
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--trials", default=20, show_default=True)
@click.option("--tolerance", default=5.0, show_default=True, help="Percent.")
@click.option("--min-seconds", default=2.0, show_default=True)
@click.option("--format", "kind", type=click.Choice(["tflite", "onnx"]), default="tflite", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--in-turn", "alone", is_flag=True, hidden=True)
def main(
    files: tuple[Path, ...], trials: int, tolerance: float, min_seconds: float, kind: str, as_json: bool, alone: bool
) -> None:
    if alone:
        ratio = in_this_process(files)
        click.echo(json.dumps([ratio.value, ratio.low, ratio.high]))
        return
    if len(files) not in (0, 2):
        raise click.UsageError("give two files, the second of which is the first made slower, or none")
    with tempfile.TemporaryDirectory() as folder:
        base = files[0] if files else assets.find(assets.DEFAULT, kind)
        # Reports know a file by its name.
        slower = Path(folder) / base.name
        slower.write_bytes((files[1] if files else made_slower(Path(folder) / "made", kind)).read_bytes())
        ratio = in_turn(base, slower)
        click.echo(
            f"{base.name} made slower takes {ratio.value:.3f} times as long ({ratio.low:.3f} to {ratio.high:.3f})", err=True
        )
        rows = [trial(base, slower, Path(folder), tolerance, min_seconds) for _ in range(trials)]
    result = {
        "file": base.name,
        "device": describe_device(),
        "min_seconds": min_seconds,
        "tolerance_percent": tolerance,
        "slower": {"value": round(ratio.value, 4), "low": round(ratio.low, 4), "high": round(ratio.high, 4)},
        "trials": rows,
        "same_called_slower": sum(row["same"]["verdict"] == "SLOWER" for row in rows),
        "slower_called_slower": sum(row["slower"]["verdict"] == "SLOWER" for row in rows),
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    click.echo(f"the same file: called slower by more than {tolerance:g} % in {result['same_called_slower']} of {trials}")
    click.echo(
        f"a file that takes {ratio.value:.2f} times as long ({ratio.low:.2f} to {ratio.high:.2f}): "
        f"in {result['slower_called_slower']} of {trials}"
    )


def made_slower(folder: Path, kind: str) -> Path:
    """The default model with some blocks done twice. What it answers does not matter, and is not proven."""
    from torch import nn

    from edgeseg.calib import frames
    from edgeseg.export.calibrated import CalibrationOptions
    from edgeseg.export.choices import INT8
    from edgeseg.export.files import Accuracy, export
    from edgeseg.models.checkpoint import load_model

    click.echo("exporting the slower file", err=True)
    model = load_model(assets.DEFAULT)
    stages = model.network.backbone.stages
    for stage, block in TWICE:
        blocks = list(stages[stage])
        stages[stage] = nn.Sequential(*blocks[: block + 1], copy.deepcopy(blocks[block]), *blocks[block + 1 :])
    quick = CalibrationOptions("minmax", corrections=False)
    [file] = export(
        model, frames.from_sample(4), folder, formats=[kind], choices=INT8, calibration=quick, accuracy=Accuracy(force=True)
    )
    return file.path


def in_turn(base: Path, slower: Path) -> Ratio:
    """How many times as long the slower file takes: the median of some processes, with the widest of their intervals."""
    found = []
    for _ in range(PROCESSES):
        command = [sys.executable, __file__, str(base), str(slower), "--in-turn"]
        found.append(Ratio(*json.loads(subprocess.run(command, capture_output=True, check=True).stdout)))
    value = statistics.median(ratio.value for ratio in found)
    return Ratio(value, min(ratio.low for ratio in found), max(ratio.high for ratio in found))


def in_this_process(files: tuple[Path, ...], min_seconds: float = 5.0) -> Ratio:
    sessions = [open_session(path) for path in reversed(files)]
    tensors = [session.prepare(noise(session.spec.size)) for session in sessions]
    runs = [functools.partial(session.run, tensor) for session, tensor in zip(sessions, tensors, strict=True)]
    timings = measure(runs, min_seconds=min_seconds, references=[reference_like(run) for run in runs], enough=is_precise)
    return speedup(*fair_rounds(timings, [1]))


def trial(base: Path, slower: Path, folder: Path, tolerance: float, min_seconds: float) -> dict:
    reports = {}
    for name, path in (("first", base), ("same", base), ("slower", slower)):
        reports[name] = folder / f"{name}.json"
        done = edgeseg("bench", str(path), "--min-seconds", str(min_seconds), "--json")
        done.check_returncode()
        reports[name].write_text(done.stdout)
    row = {}
    for name in ("same", "slower"):
        done = edgeseg("report", str(reports["first"]), str(reports[name]), "--fail-on-regression", f"{tolerance}%", "--json")
        [change] = json.loads(done.stdout)["changes"]
        assert (done.returncode == 1) == (change["verdict"] == "SLOWER"), done.stderr
        load = json.loads(reports[name].read_text())["device"]["load_1min"]
        row[name] = {**change["change"], "verdict": change["verdict"], "load_1min": load}
        click.echo(f"{name}: {change['verdict']} {change['change']} load {load}", err=True)
    return row


def edgeseg(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "edgeseg", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
