"""Is the same file ever called slower, and a slower one ever not? Trials of `edgeseg report` on this machine.

python benchmarks/regression_trials.py                    20 pairs of reports of one file, and 20 with 15 % of work added
python benchmarks/regression_trials.py --trials 3 --min-seconds 0.5     a short try

Every report comes from a process of its own, as two runs on two days do. The slower file is the same file behind a call that
works 15 % longer: after each inference it does a share of the reference's own unit of work, calibrated in that process.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from edgeseg import assets
from edgeseg.report import bench, changes
from edgeseg.report.bench import Options, run_bench
from edgeseg.report.reference import reference_like
from edgeseg.report.schema import read_report, to_json


@click.command(help=__doc__)
@click.argument("file", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--trials", default=20, show_default=True)
@click.option("--extra", default=0.15, show_default=True, help="Work added to the slower file.")
@click.option("--tolerance", default=0.05, show_default=True)
@click.option("--min-seconds", default=2.0, show_default=True)
@click.option("--measure", type=click.Path(path_type=Path), hidden=True)
@click.option("--slowed", is_flag=True, hidden=True)
def main(
    file: Path | None, trials: int, extra: float, tolerance: float, min_seconds: float, measure: Path | None, slowed: bool
) -> None:
    path = file or assets.find(assets.DEFAULT, "tflite")
    if measure is not None:
        measure.write_text(to_json(measured(path, min_seconds, extra if slowed else 0.0)))
        return
    counts = {"the same file": [0, 0], f"{extra:.0%} slower": [0, 0]}
    with tempfile.TemporaryDirectory() as folder:
        for trial in range(trials):
            for is_slowed, kind in zip((False, True), counts, strict=True):
                names = [Path(folder) / f"{trial}-{is_slowed}-{i}.json" for i in (0, 1)]
                for i, name in enumerate(names):
                    options = ["--measure", str(name), "--min-seconds", str(min_seconds), "--extra", str(extra)]
                    command = [sys.executable, __file__, str(path), *options, *(["--slowed"] if is_slowed and i else [])]
                    subprocess.run(command, check=True)
                [step] = changes.steps([(name.name, read_report(name)) for name in names])
                counts[kind][step.verdict(tolerance) == "SLOWER"] += 1
                click.echo(json.dumps({"trial": trial, "kind": kind, "change": str(step.change), "clock": step.change.clock}))
    for kind, (no, yes) in counts.items():
        click.echo(f"{kind}: called slower by more than {tolerance:.0%} in {yes} of {no + yes}")


def measured(path: Path, min_seconds: float, extra: float) -> dict:
    """A report of `path`, every inference of which does `extra` of its own time more."""
    plain = bench._inference

    def slowed(session):
        run = plain(session)
        unit = reference_like(lambda: None).unit
        wanted = extra * quickest(run)
        repeats = max(1, round(wanted / quickest(unit)))
        share = wanted / (repeats * quickest(unit))
        if not 0.9 < share < 1.1:  # units are too coarse for a file this quick: spin on the clock of the process
            return lambda: (run(), spin(wanted))
        return lambda: (run(), [unit() for _ in range(repeats)])

    if extra:
        bench._inference = slowed
    return run_bench([path], Options(min_seconds=min_seconds))


def quickest(work) -> float:
    """Seconds of processor time."""
    times = []
    for _ in range(20):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


if __name__ == "__main__":
    main()
