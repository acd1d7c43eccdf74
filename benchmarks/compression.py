"""What has compression made of a network? The float network against the int8 files of its compressed form, in one run.

Multiply-adds, bytes of the float32 and of the int8 file, time of both in turn on one thread, and the accuracy of both on
pictures that neither has learned from. ORIGINAL is a checkpoint, COMPRESSED the folder that `edgeseg compress` filled, or a
model that ships. Each is timed and judged at the input size that it was made for, or the original at --size.

python benchmarks/compression.py ORIGINAL COMPRESSED --data DIR --validation DIR
python benchmarks/compression.py ORIGINAL COMPRESSED --data DIR --command "edgeseg compress ..." --store
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from edgeseg import assets
from edgeseg.commands.terminal import Size
from edgeseg.models.checkpoint import Model, load_model
from edgeseg.recipes.judge import judge, judge_files
from edgeseg.report.bench import Options, run_bench
from edgeseg.report.cost import count
from edgeseg.report.device import describe_device
from edgeseg.runtime import open_session
from edgeseg.spec import nearest_framing
from edgeseg.train.material import Folders, read_material
from edgeseg.whole import write_whole

RESULT = Path(__file__).parent / "results" / "compression.json"
folder_type = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(help=__doc__)
@click.argument("original")
@click.argument("compressed")
@click.option("--data", type=folder_type, multiple=True, required=True)
@click.option("--validation", type=folder_type, multiple=True)
@click.option("--name", nargs=2, default=("", ""), help="What both are called.")
@click.option("--size", type=Size(), help="Input size of ORIGINAL. [default: that of its checkpoint]")
@click.option("--command", default="", help="That made it.")
@click.option("--min-seconds", type=click.FloatRange(0), default=10.0, show_default=True)
@click.option("--store", is_flag=True, help=f"As a row of {RESULT.name}, in place of that of the same names.")
def main(
    original: str,
    compressed: str,
    data: tuple[Path, ...],
    validation: tuple[Path, ...],
    name: tuple[str, str],
    size: tuple[int, int] | None,
    command: str,
    min_seconds: float,
    store: bool,
) -> None:
    device = describe_device()
    before, small = load_model(original), small_network(compressed)
    if size is not None:
        turned = (size[1], size[0])
        before = dataclasses.replace(before, card=dataclasses.replace(before.card, size=size, framings=(turned,)))
    size = before.card.size
    after = {open_session(path).spec.size: path for path in int8_files(compressed)}
    small_size = nearest_framing(sorted(after), size)
    held = read_material(Folders(data, validation), 2 * max(size)).held
    with tempfile.TemporaryDirectory() as folder:
        options = ["--format", "tflite", "--size", "{}x{}".format(*size), "--force", "-o", folder]
        subprocess.run([sys.executable, "-m", "edgeseg", "export", original, *options], check=True, stdout=subprocess.DEVNULL)
        (float_file,) = Path(folder).glob("*-float32.tflite")
        report = run_bench([float_file, after[small_size]], Options(threads=(1,), min_seconds=min_seconds))
        bytes_before = float_file.stat().st_size
    scores = judge(before, held), judge_files(after, small.card, held)
    row = {
        "from": name[0] or before.card.name,
        "to": name[1] or Path(compressed).name,
        "sizes_hw": [list(size), list(small_size)],
        "macs": [count(before.network, size).macs, count(small.network, small_size).macs],
        "size_bytes": [bytes_before, after[small_size].stat().st_size],
        "latency_ms": [result["latency_ms"]["median"] for result in report["results"]],
        "speedup": report["results"][1]["speedup"],
        "images": len(held),
        "accuracy": {key: [scores[0][key], scores[1][key]] for key in scores[0] if key in scores[1]},
        "command": command,
    }
    row["speedup"].pop("against", None)
    click.echo(json.dumps(row, indent=1))
    if store:
        rows = json.loads(RESULT.read_text())["result"]["rows"] if RESULT.is_file() else []
        kept = [one for one in rows if (one["from"], one["to"]) != (row["from"], row["to"])]
        document = {
            "schema": 1,
            "benchmark": "compression",
            "command": "python benchmarks/compression.py ORIGINAL COMPRESSED --data DIR --store",
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "device": device,
            "result": {"rows": [*kept, row]},
        }
        write_whole(RESULT, (json.dumps(document, indent=1) + "\n").encode())


def int8_files(compressed: str) -> list[Path]:
    """TFLite, of every framing."""
    if compressed in assets.trained():
        return sorted(assets.FOLDER.glob(f"{compressed}-[0-9]*-int8.tflite"))
    return sorted(Path(compressed).rglob("*-int8.tflite"))


def small_network(compressed: str) -> Model:
    return load_model(compressed if compressed in assets.trained() else str(Path(compressed) / "compressed.safetensors"))


if __name__ == "__main__":
    main()
