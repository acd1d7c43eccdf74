"""Runs the benchmarks whose figures the README shows, one after another, and stores each as benchmarks/results/NAME.json.

python benchmarks/run_all.py                     all of them, about 20 minutes on an idle machine
python benchmarks/run_all.py --resume            those alone that were not stored in the last hour: after an interruption
python benchmarks/run_all.py frame_cost          one of them; `regression_trials` run only when they are named
python benchmarks/run_all.py --quick             a try of everything: figures with wide intervals

Then `python scripts/make_tables.py` writes the README's tables. `make measure` does both. A benchmark that fails keeps the
figures that are there, is named at the end, and costs the others nothing.
"""

import calendar
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click

from edgeseg.report.device import describe_device, is_busy
from edgeseg.whole import write_whole

HERE = Path(__file__).parent
ROOT = HERE.parent
SCHEMA = 1
DATE = "%Y-%m-%dT%H:%M:%SZ"
TIMEOUT_S = 1800
RECENT_S = 3600
SETTLE_S = 75
# Of int8_vs_float.py: result -> model or model@HxW.
COMPARED = {
    "int8_deeplab": "deeplabv3plus-mobilenetv2@256x256",
    "int8_enet_480": "enet-person@360x480",
    "int8_enet": "enet-person",
    "int8_person": "person",
    "int8_person_large": "person-large",
    "int8_person_small": "person-small",
}
# Result -> (command, what is added to it for a quick try).
COMMANDS = {
    **{name: (("int8_vs_float.py", model), ("--min-seconds", "0.5")) for name, model in COMPARED.items()},
    "frame_cost": (("frame_cost.py",), ("--runs", "10")),
    "regression_trials": (("regression_trials.py",), ("--trials", "2")),
    "regression_trials_onnx": (("regression_trials.py", "--format", "onnx"), ("--trials", "2")),
}
WHEN_NAMED = {"regression_trials", "regression_trials_onnx"}


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(COMMANDS)))
@click.option("--resume", is_flag=True, help="Leave out what was stored in the last hour.")
@click.option("--quick", is_flag=True, help="Few runs: to see whether everything works.")
@click.option("-o", "--out", "folder", type=click.Path(path_type=Path), default=HERE / "results", help="Where results go.")
def main(names: tuple[str, ...], resume: bool, quick: bool, folder: Path) -> None:
    failed = {}
    for name in names or [name for name in COMMANDS if name not in WHEN_NAMED]:
        path = folder / f"{name}.json"
        if resume and age_s(path) < RECENT_S:
            click.echo(f"{name}: stored already")
            continue
        command, less = COMMANDS[name]
        settle()
        began = time.time()
        try:
            stored = measured(name, [*command, *(less if quick else ())])
        except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
            failed[name] = str(error)
            click.echo(f"{name}: failed: {error}", err=True)
            continue
        write_whole(path, (json.dumps(stored, indent=1, allow_nan=False) + "\n").encode())
        click.echo(f"{name}: {time.time() - began:.0f} s, load {stored['device']['load_1min']}")
    if failed:
        raise SystemExit(f"{len(failed)} failed: {', '.join(failed)}")


def age_s(path: Path) -> float:
    """Since what `path` holds was measured, by what it says; infinite where it holds nothing."""
    try:
        return time.time() - calendar.timegm(time.strptime(json.loads(path.read_text())["date"], DATE))
    except (OSError, ValueError, KeyError):
        return float("inf")


def settle() -> None:
    """Wait until the last benchmark's own work has gone from the load, which is an average over a minute; or nearly so long."""
    end_s = time.monotonic() + SETTLE_S
    while is_busy(describe_device()) and time.monotonic() < end_s:
        time.sleep(2)


def measured(name: str, command: list[str]) -> dict:
    """{"schema", "benchmark", "command", "date", "took_s", "device" as it was before, "result" as the benchmark printed it}."""
    device = describe_device()
    if is_busy(device):
        click.echo(f"{name}: other processes are at work (load {device['load_1min']}); the result will say so", err=True)
    script, *arguments = command
    # Of this tree, whatever is installed; one thread in what has no option for it.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    began = time.time()
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments, "--json"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:300])
    return {
        "schema": SCHEMA,
        "benchmark": name,
        "command": " ".join(["python", f"benchmarks/{script}", *arguments, "--json"]),
        "date": time.strftime(DATE, time.gmtime(began)),
        "took_s": round(time.time() - began, 1),
        "device": device,
        "result": lean(json.loads(done.stdout)),
    }


def lean(result: dict) -> dict:
    """Without the blocks and layers of a report of `edgeseg bench`, which no table shows and nobody reads in a diff."""
    for row in result.get("results", []):
        for key in ("blocks", "quantiles_ms", "layers", "counted_layers", "at_best_ms"):
            row.pop(key, None)
        row["path"] = Path(row["path"]).name
        if "against" in row.get("speedup", {}):
            row["speedup"]["against"] = Path(row["speedup"]["against"]).name
    result.pop("roofline", None)
    return result


if __name__ == "__main__":
    main()
