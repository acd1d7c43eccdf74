"""Can every network that ships give up half of its multiply-adds, and still be exported to both formats?

Reads what `edgeseg compress MODEL --recipe benchmarks/recipes/half.toml` (half-camvid.toml for streets) has left in its
folders: multiply-adds, minutes of training, accuracy of the float original and of the int8 files, and the share of pixels that
each file gives the class that its own network gives. A few minutes of training heal little; what is asked is whether the path
holds to its end.

python benchmarks/halves.py runs/half-person runs/half-enet-person ... --store

What is stored of other networks stays, as long as they ship.
"""

import json
import time
from pathlib import Path

import click

from edgeseg import assets
from edgeseg.report.device import describe_device
from edgeseg.whole import write_whole

COMPRESS = "edgeseg compress MODEL --recipe benchmarks/recipes/half.toml --data DIR --minutes M -o RUN"
RESULT = Path(__file__).parent / "results" / "halves.json"


@click.command(help=__doc__)
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--store", is_flag=True, help=f"As {RESULT.name}.")
def main(runs: tuple[Path, ...], store: bool) -> None:
    rows = [row_of(json.loads((run / "report.json").read_text())) for run in runs]
    click.echo(json.dumps(rows, indent=1))
    if store:
        document = {
            "schema": 1,
            "benchmark": "halves",
            "command": f"{COMPRESS}; python benchmarks/halves.py RUNS --store",
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "device": describe_device(),
            "result": {"rows": rows},
        }
        document["result"]["rows"] = merged(json.loads(RESULT.read_text())["result"]["rows"] if RESULT.exists() else [], rows)
        write_whole(RESULT, (json.dumps(document, indent=1) + "\n").encode())


def merged(stored: list[dict], new: list[dict]) -> list[dict]:
    """In the order in which the networks ship, then those of somebody's own."""
    order = list(assets.trained())
    rows = {row["model"]: row for row in stored if row["model"] in order} | {row["model"]: row for row in new}
    return sorted(rows.values(), key=lambda row: order.index(row["model"]) if row["model"] in order else len(order))


def row_of(report: dict) -> dict:
    """What the report of one compression says, of several files of a format the one that agrees least."""
    first, *_, last = report["steps"]
    files = {file["format"]: file for file in sorted(last["files"], key=lambda file: -file["agreement"])}
    return {
        "model": report["model"],
        "macs": [first["macs"], report["result"]["macs"]],
        "size_bytes": files["tflite"]["size_bytes"],
        "minutes": round(sum(step["seconds"] for step in report["steps"] if step["title"].startswith("finetune")) / 60, 1),
        "metric": report["metric"],
        "accuracy": [first["accuracy"][report["metric"]], report["result"]["accuracy"][report["metric"]]],
        "agreement": {name: files[name]["agreement"] for name in ("tflite", "onnx")},
        "float_layers": len(files["tflite"]["float_layers"]),
    }


if __name__ == "__main__":
    main()
