"""What does int8 bring? Each int8 file against the float file of its own format, in one run, on one thread.

Files that ship are taken as they are; all others are exported for this, with whatever ranges: speed does not depend on them.

python benchmarks/int8_vs_float.py                                the default model, exported for this
python benchmarks/int8_vs_float.py enet@360x480                   another model or architecture, at a size of its own
python benchmarks/int8_vs_float.py a-float32.onnx a-int8.onnx     files that are there
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from edgeseg import assets
from edgeseg.report.bench import Options, run_bench
from edgeseg.report.page import to_json, to_markdown


@click.command(help=__doc__)
@click.argument("models", nargs=-1)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--min-seconds", type=click.FloatRange(0), default=2.0, show_default=True, help="Measured time of each file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(models: tuple[str, ...], threads: int, min_seconds: float, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths: list[Path] = []
        for model in models or [assets.DEFAULT]:
            paths += [Path(model)] if Path(model).is_file() else export(model, Path(folder) / model)
        report = run_bench(paths, Options(threads=(threads,), min_seconds=min_seconds))
    click.echo(to_json(report) if as_json else to_markdown(report), nl=False)


def export(model: str, folder: Path) -> list[Path]:
    """Float and int8 files of `model`, perhaps name@HxW, in both formats; int8 files that ship are measured as they ship."""
    name, _, size = model.partition("@")
    options = [*(["--size", size] if size else []), "--force"]  # speed does not depend on what the weights are good for
    quick = ["--int8", "--observer", "minmax", "--no-corrections", "--calib-pictures", "4"]  # nor on how ranges are found
    shipped = [] if size or name not in assets.trained() else [assets.find(name, format) for format in ("tflite", "onnx")]
    for precision in [[]] if shipped else [[], quick]:
        command = [sys.executable, "-m", "edgeseg", "export", name, *precision, *options, "-o", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return sorted([*shipped, *(path for path in folder.iterdir() if path.suffix in (".tflite", ".onnx"))])


if __name__ == "__main__":
    main()
