"""Puts a trained network into edgeseg/assets: checkpoint, int8 files, card, and its row in index.json.

    python scripts/make_assets.py person runs/person/last.safetensors --data person-train --data person-train2
    python scripts/make_assets.py enet-camvid runs/enet-camvid/last.safetensors --data camvid/train --scenes camvid/val

Ranges are measured on training pictures only; parity and accuracy on held-back ones (of masks `edgeseg.train.data.split`, of
labels the folder of --scenes).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from model_card import LICENCE, Scores, card_page, classes_scores, person_scores

from edgeseg.assets import FOLDER
from edgeseg.calib.frames import Picture, Pictures
from edgeseg.commands.terminal import Size
from edgeseg.export.choices import INT8
from edgeseg.export.files import Exported, export
from edgeseg.models.checkpoint import Model, load_checkpoint, save_checkpoint
from edgeseg.report.cost import count
from edgeseg.report.predict import Predictor, open_predictor
from edgeseg.spec import nearest_framing
from edgeseg.train.data import Pair, load, read_folder, split
from edgeseg.train.truth import TruthFolder, read_truth
from edgeseg.whole import write_whole

path_type = click.Path(path_type=Path, exists=True)


def every(pairs: list[Pair], count: int) -> list[Picture]:
    """`count` of them, evenly spaced, with their truth as class ids."""
    chosen = pairs[:: max(1, len(pairs) // count)][:count]
    pictures = []
    for pair in chosen:
        frame, mask = load(pair)
        pictures.append(Picture(pair.image.stem, frame, (mask > 127).astype(mask.dtype)))
    return pictures


def labelled(truth: TruthFolder, count: int) -> list[Picture]:
    """`count` pictures of a folder with labels, evenly spaced."""
    pairs = truth.pairs[:: max(1, len(truth.pairs) // count)][:count]
    chosen = dataclasses.replace(truth, pairs=tuple(pairs))
    return [
        Picture(picture.stem, frame, ids.astype(np.uint8))
        for (picture, _), (frame, ids) in zip(pairs, chosen.load(), strict=True)
    ]


def by_framing(files: list[Path]) -> Predictor:
    """One predictor of the files of one model for frames of different shapes."""
    predictors = {p.spec.size: p for p in map(open_predictor, map(str, files))}

    def run(frame: Any) -> Any:
        return predictors[nearest_framing(tuple(predictors), frame.shape[:2])].run(frame)

    return Predictor(run, next(iter(predictors.values())).spec)


@click.command()
@click.argument("name")
@click.argument("checkpoint", type=path_type)
@click.option("--data", type=path_type, multiple=True, required=True, help="What it was trained on.")
@click.option("--scenes", type=path_type, help="Labelled scenes that nothing was trained on.")
@click.option("--clip", "clips", type=path_type, multiple=True, help="Video to judge flicker by.")
@click.option("--size", type=Size(), help="Input size. [default: that of the checkpoint]")
@click.option("--framing", "framings", type=Size(), multiple=True, help="Input size for frames of another shape; repeatable.")
@click.option("--description", default="person against the background")
@click.option("--note", multiple=True, help="Further line for the card's part on training.")
def main(
    name: str,
    checkpoint: Path,
    data: tuple[Path, ...],
    scenes: Path | None,
    clips: tuple[Path, ...],
    size: tuple[int, int] | None,
    framings: tuple[tuple[int, int], ...],
    description: str,
    note: tuple[str, ...],
) -> None:
    model = load_checkpoint(checkpoint)
    card = dataclasses.replace(model.card, name=name, licence=LICENCE, size=size or model.card.size, framings=framings)
    if card.person_class is None:
        if scenes is None:
            raise click.UsageError("a network of classes needs --scenes to judge it by")
        held = read_truth(scenes, card.classes, None)
        learned = [read_truth(folder, card.classes, None) for folder in data]
        pictures = Pictures([p for truth in learned for p in labelled(truth, 128 // len(learned))], labelled(held, 64))

        def judge(predictor: Predictor) -> Scores:
            return classes_scores(predictor, held)
    else:
        training, validation = split([pair for folder in data for pair in read_folder(folder)])
        pictures = Pictures(every(training, 128), every(validation, 64))

        def judge(predictor: Predictor) -> Scores:
            return person_scores(predictor, validation, scenes, clips)

    shipped = FOLDER / f"{name}.safetensors"
    save_checkpoint(shipped, model.network, card, half=True)
    scores = {"float": judge(open_predictor(str(shipped)))}
    flat = {f"iou/{kind}": round(row["iou"], 4) for kind, row in scores["float"].items() if row.get("iou") is not None}
    card = dataclasses.replace(card, accuracy=flat)
    save_checkpoint(shipped, model.network, card, half=True)
    written = {one: exported(load_checkpoint(shipped), pictures, one) for one in (card.size, *framings)}
    for position, format in enumerate(("tflite", "onnx")):
        scores[f"int8 {format}"] = judge(by_framing([files[position].path for files in written.values()]))
    files = [shipped, *(file.path for of_size in written.values() for file in of_size)]
    cost = count(model.network, card.size)
    write_whole(FOLDER / f"{name}.md", card_page(card, cost.params, cost.macs, files, scores, note).encode())
    rows = {
        size: [{"format": f.format, "precision": f.spec.precision, "path": f.path.name} for f in of_size]
        for size, of_size in written.items()
    }
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
        "files": rows[card.size],
        "framings": [{"size": list(size), "files": rows[size]} for size in framings],
        "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
    }
    write_whole(FOLDER / "index.json", (json.dumps(index, indent=1) + "\n").encode())
    click.echo((FOLDER / f"{name}.md").read_text())


def exported(model: Model, pictures: Pictures, size: tuple[int, int]) -> list[Exported]:
    """The int8 files, TFLite first, for one input size."""
    written = export(model, pictures, FOLDER, size=size, choices=INT8, say=lambda line: click.echo(line, err=True))
    for file in written:
        click.echo(f"{file.path.name}: {file.parity}", err=True)
    return sorted(written, key=lambda file: file.format != "tflite")


if __name__ == "__main__":
    main()
