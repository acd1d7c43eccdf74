"""Puts a trained person network into edgeseg/assets: checkpoint, int8 files, card, and its row in index.json.

    python scripts/make_assets.py person runs/person/last.safetensors --data person-train --data person-train2

Ranges are measured on training pictures only; parity and accuracy on the held-back ones (`edgeseg.train.data.split`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import click

from edgeseg.assets import FOLDER
from edgeseg.calib.frames import Picture, Pictures
from edgeseg.export.choices import INT8
from edgeseg.export.files import export
from edgeseg.models.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from edgeseg.report.cost import count
from edgeseg.report.predict import open_predictor
from edgeseg.train.data import Pair, load, read_folder, split
from edgeseg.train.evaluate import evaluate
from edgeseg.train.truth import PERSON_CLASSES, TruthFolder, read_truth
from edgeseg.whole import write_whole

# Kinds of pictures, by how the names of the research sets begin.
KINDS = {
    "eg": "portraits (EG1800)",
    "ccp": "street fashion, upper and full bodies (CCP)",
    "voc": "everyday scenes with people (VOC)",
    "vocneg": "pictures with nobody (VOC)",
    "borrat": "lecturers (Borrat)",
    "franck": "webcam composites of one man, who is in the training pictures too (franck)",
    "scenes": "people in everyday scenes (VOC val)",
}
LICENCE = (
    "Weights: research and demonstration use. They were trained on photographs whose licences are research-only, "
    "non-commercial or unclear; train on pictures of your own before you sell anything."
)
BAD_AT = """\
- everyday scenes with several or small persons; persons seen from behind or lying down;
- what persons hold or wear that the training pictures label in different ways (bags are person in one source, objects in
  hand are background in another);
- empty rooms: now and then a coat, a lamp or a picture on the wall is called a person;
- hair against a background of its own colour."""


Scores = dict[str, dict[str, float | None]]  # kind of picture -> figure -> value


def kind_of(pair: Pair) -> str:
    prefix = re.match(r"[A-Za-z]*", pair.image.stem)
    return prefix.group().lower() if prefix and prefix.group().lower() in KINDS else "other"


def accuracy(model: str, pairs: list[Pair], scenes: Path | None) -> Scores:
    """By kind of picture: IoU of the person, boundary F, and for pictures with nobody the share called person."""
    predictor = open_predictor(model)
    rows: Scores = {}
    for kind in [*KINDS, "other"]:
        chosen = [pair for pair in pairs if kind_of(pair) == kind]
        if not chosen:
            continue
        if kind == "vocneg":
            wrong = [float((predictor.predict(load(pair)[0]) == predictor.person_class).mean()) for pair in chosen]
            rows[kind] = {"images": len(chosen), "called_person": sum(wrong) / len(wrong)}
            continue
        table = TruthFolder(tuple((p.image, p.mask) for p in chosen), PERSON_CLASSES, _person_table(), binary=True)
        result: dict[str, Any] = evaluate(predictor.predict, table, predictor.person_class)
        rows[kind] = {"images": len(chosen), "iou": result["iou"]["person"], "boundary_f": result["boundary_f"]}
    if scenes is not None:
        truth = read_truth(scenes, PERSON_CLASSES, 1)
        with_people = [pair for pair, (_, ids) in zip(truth.pairs, truth.load(), strict=True) if (ids == 1).any()]
        result = evaluate(predictor.predict, dataclasses.replace(truth, pairs=tuple(with_people)), predictor.person_class)
        rows["scenes"] = {"images": result["images"], "iou": result["iou"]["person"], "boundary_f": result["boundary_f"]}
    return rows


def _person_table() -> Any:
    import numpy as np

    return (np.arange(256) >= 128).astype(np.uint8)


def every(pairs: list[Pair], count: int) -> list[Picture]:
    """`count` of them, evenly spaced, with their truth as class ids."""
    chosen = pairs[:: max(1, len(pairs) // count)][:count]
    pictures = []
    for pair in chosen:
        frame, mask = load(pair)
        pictures.append(Picture(pair.image.stem, frame, (mask > 127).astype(mask.dtype)))
    return pictures


def page(
    card: ModelCard, params: int, macs: int, files: list[Path], scores: dict[str, dict[str, dict[str, float | None]]]
) -> str:
    """The model card."""

    def cell(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)

    kinds = scores["float"]
    rows = [
        f"| {KINDS.get(kind, kind)} | {cell(kinds[kind]['images'])} | "
        + " | ".join(
            f"{cell(of[kind].get('iou'))} / {cell(of[kind].get('boundary_f'))}"
            if kind != "vocneg"
            else f"{(of[kind]['called_person'] or 0):.2%} called person"
            for of in scores.values()
        )
        + " |"
        for kind in kinds
    ]
    sizes = [f"| `{file.name}` | {file.stat().st_size / 1000:.0f} kB |" for file in files]
    return "\n".join([
        f"# {card.name}", "",
        f"A person against the background, {card.architecture} at {card.size[0]}x{card.size[1]}: {params:,} parameters, "
        f"{macs / 1e6:.1f} M multiply-adds. Frames are stretched to the input size.", "",
        "| file | size |", "| --- | --- |", *sizes, "",
        "## Accuracy", "",
        "On held-back pictures: of every source the last tenth in order of names, never trained or calibrated on. Boundary F",
        "has a tolerance of 0.8 % of the diagonal.", "",
        "| pictures | number | " + " | ".join(f"{name}: IoU / boundary F" for name in scores) + " |",
        "| --- | ---: | " + " | ".join("---" for _ in scores) + " |", *rows, "",
        "## What it is bad at", "", BAD_AT, "",
        "## Training", "", f"`{card.training.partition(';')[0]}`", "",
        f"Machine: two cores of a shared x86-64 server (AVX-512, bf16){card.training.partition(';')[2].partition(',')[1]}, "
        "one thread for most of the time. The learning-rate schedule ended by the clock (`--minutes`), so that another machine",
        "gives other weights.", "",
        "Data (pairs before the split): " + card.data + ".", "",
        "## Licence", "", LICENCE, "",
    ])  # fmt: skip


@click.command()
@click.argument("name")
@click.argument("checkpoint", type=click.Path(path_type=Path, exists=True))
@click.option("--data", type=click.Path(path_type=Path, exists=True), multiple=True, required=True)
@click.option("--scenes", type=click.Path(path_type=Path, exists=True), help="Labelled scenes that nothing was trained on.")
@click.option("--description", default="person against the background")
def main(name: str, checkpoint: Path, data: tuple[Path, ...], scenes: Path | None, description: str) -> None:
    training, validation = split([pair for folder in data for pair in read_folder(folder)])
    model = load_checkpoint(checkpoint)
    scores = {"float": accuracy(str(checkpoint), validation, scenes)}
    flat = {f"iou/{kind}": round(row["iou"], 4) for kind, row in scores["float"].items() if row.get("iou") is not None}
    card = dataclasses.replace(model.card, name=name, licence=LICENCE, accuracy=flat)
    shipped = FOLDER / f"{name}.safetensors"
    save_checkpoint(shipped, model.network, card, half=True)
    pictures = Pictures(every(training, 128), every(validation, 64))
    written = export(load_checkpoint(shipped), pictures, FOLDER, choices=INT8, say=lambda line: click.echo(line, err=True))
    for file in written:
        click.echo(f"{file.path.name}: {file.parity}")
        scores[f"int8 {file.format}"] = accuracy(str(file.path), validation, scenes)
    files = [shipped, *(file.path for file in written)]
    cost = count(model.network, card.size)
    write_whole(FOLDER / f"{name}.md", page(card, cost.params, cost.macs, files, scores).encode())
    index = json.loads((FOLDER / "index.json").read_text())
    index[name] = {
        "architecture": card.architecture,
        "description": description,
        "size": list(card.size),
        "params": cost.params,
        "macs": cost.macs,
        "accuracy": flat,
        "licence": LICENCE,
        "checkpoint": shipped.name,
        "files": [{"format": f.format, "precision": f.spec.precision, "path": f.path.name} for f in written],
        "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
    }
    write_whole(FOLDER / "index.json", (json.dumps(index, indent=1) + "\n").encode())
    click.echo((FOLDER / f"{name}.md").read_text())


if __name__ == "__main__":
    main()
