"""Do zeros among the weights make a file faster? The same network dense, with 2:4 zeros and with many, timed in turn.

python benchmarks/sparsity.py                        the default model, 2:4 and 80 % of the weights zero
python benchmarks/sparsity.py enet-person --zeros 0.9 --size 128x128

Zeros are taken by magnitude and nothing is trained after them: speed does not depend on what the weights are good for.
"""

import dataclasses
import tempfile
from pathlib import Path

import click

from edgeseg import assets
from edgeseg.calib.frames import from_sample
from edgeseg.commands.terminal import Size
from edgeseg.compress.sparse import WHERE_IT_PAYS, Masks, magnitude, n_of_m
from edgeseg.export.calibrated import CalibrationOptions
from edgeseg.export.choices import FLOAT32, Choices
from edgeseg.export.files import Accuracy, export
from edgeseg.export.quiet import quiet
from edgeseg.models.checkpoint import Model, load_model
from edgeseg.report.bench import Options, run_bench
from edgeseg.report.page import to_json, to_markdown


@click.command(help=__doc__)
@click.argument("model", default=assets.DEFAULT)
@click.option("--zeros", type=click.FloatRange(0, 1), default=0.8, show_default=True, help="Share of the other form.")
@click.option("--size", type=Size(), help="Input size. [default: the model's]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--min-seconds", type=click.FloatRange(0), default=10.0, show_default=True, help="Measured time of each file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(model: str, zeros: float, size: tuple[int, int] | None, threads: int, min_seconds: float, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name in ("dense", "2of4", f"{zeros:.0%}".replace("%", "percent")):
            opened = load_model(model)
            if name != "dense":
                masks = n_of_m(opened.network) if name == "2of4" else magnitude(opened.network, zeros)
                masks(opened.network)
                click.echo(told(name, masks, opened), err=True)
            named = Model(opened.network, dataclasses.replace(opened.card, name=name, ranges={}), opened.weights_sha256)
            paths += write(named, Path(folder), size)
        report = run_bench(paths, Options(threads=(threads,), min_seconds=min_seconds))
    if as_json:
        click.echo(to_json(report), nl=False)
        return
    click.echo(to_markdown(report), nl=False)
    click.echo("\nWhere zeros pay, by the runtimes' own documents:\n")
    for where, what in WHERE_IT_PAYS.items():
        click.echo(f"- {where}: {what}")


def told(name: str, masks: Masks, model: Model) -> str:
    rows = masks.layers(model.network)
    zeros, weights = sum(row.zeros for row in rows), sum(row.weights for row in rows)
    return f"{name}: {zeros / weights:.0%} of {weights:,} weights are zero, {len(masks.left_alone)} layers are left alone"


def write(model: Model, folder: Path, size: tuple[int, int] | None) -> list[Path]:
    """Float and int8 files in both formats, as quickly as can be."""
    pictures = from_sample(8, 8)
    options = {"calibration": CalibrationOptions("minmax", False), "accuracy": Accuracy(force=True), "size": size}
    with quiet():
        both = [export(model, pictures, folder, choices=choices, **options) for choices in (FLOAT32, Choices("int8", "int8"))]
    return [file.path for files in both for file in files]


if __name__ == "__main__":
    main()
