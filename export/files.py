"""From a trained network to files that are proven to agree with it. `edgeseg export` is this and a table."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import fx, nn

from edgeseg.calib.frames import Picture, Pictures
from edgeseg.calib.scores import truth_at
from edgeseg.calib.sensitivity import Images
from edgeseg.calib.sensitivity_report import require, to_table, write_report
from edgeseg.errors import ExportError, MissingExtraError, UsageError
from edgeseg.export.blame import traceable
from edgeseg.export.describe import Format, describe
from edgeseg.export.gate import MIN_AGREEMENT, Goal, judge
from edgeseg.export.metadata import with_spec
from edgeseg.export.mixed import Plan, plan_precision
from edgeseg.export.pairs import FLOAT, SIMULATED, Pair, by_network, by_session, compare_all
from edgeseg.export.parity import Parity, compare
from edgeseg.export.quiet import quiet
from edgeseg.export.rewrites import rewrite
from edgeseg.models.checkpoint import Model
from edgeseg.runtime.session import open_session
from edgeseg.runtime.tensors import shrink
from edgeseg.spec import Quantisation, Spec
from edgeseg.whole import make_folder, written_whole

FORMATS: tuple[Format, ...] = ("tflite", "onnx")
NEEDED = {"tflite": ("litert_torch", "ai_edge_litert"), "onnx": ("onnx", "onnxscript", "onnxruntime")}
OBSERVER = "mse"
SHOWN = 10  # layers in the table of sensitivity; the report has all
MEASURED = 32  # pictures for what is measured layer by layer


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    format: Format
    spec: Spec
    size_bytes: int
    parity: Parity
    ops: dict[str, int]  # "int8", "float", "transpose", "quantize"
    pairs: tuple[Pair, ...] = ()  # how all files, the network and its simulation agree with one another
    kept_float: tuple[str, ...] = ()  # layers whose results were left in float, by wish or to reach the goal
    float_layers: tuple[str, ...] = ()  # these, and the layers that calculate with their results


def export(
    model: Model,
    pictures: Pictures,
    folder: Path,
    *,
    formats: Sequence[Format] = FORMATS,
    int8: bool = False,
    size: tuple[int, int] | None = None,
    observer: str = OBSERVER,
    min_agreement: float = MIN_AGREEMENT,
    max_miou_drop: float | None = None,
    keep_float: Sequence[str] = (),
    mixed: bool = False,
    sensitivity: Path | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> list[Exported]:
    """Write `model` to `folder` in every one of `formats`, each as <model>-<H>x<W>-<precision>.<format>.

    size           (height, width); the one that the model was trained for if not given
    observer       a key of `edgeseg.calib.observers.OBSERVERS`, for int8
    min_agreement  share of pixels that must get the same class as from the network in float
    max_miou_drop  points of mIoU (0..100) that a file may lose; any number if not given
    keep_float     layers (names or globs) of an int8 export whose results stay in float
    mixed          leave the fewest further layers in float with which an int8 export reaches these two
    sensitivity    folder for a report of what int8 costs layer by layer
    force          write the files whatever they lose
    say            told what is going on

    No file has its name before all of them are proven. Raises ShapeError, ExportError (a network that cannot be lowered, or
    that does not agree), OutputError, MissingExtraError.
    """
    size = size or model.card.size
    _require(formats, int8)
    if not int8 and (keep_float or sensitivity is not None):
        raise UsageError("--keep-float and --sensitivity are about int8 files; add --int8")
    if sensitivity is not None:
        require()
        make_folder(sensitivity)
    model.network.check_size(size)
    _check_weights(model)
    name = f"{model.card.name or model.card.architecture}-{size[0]}x{size[1]}-{'int8' if int8 else 'float32'}"
    make_folder(folder)
    goal = Goal(min_agreement, max_miou_drop)
    plan: Plan | None = None
    if int8:
        say(f"{name}: measuring ranges on {len(pictures.calibration)} pictures")
        plan = plan_precision(
            lambda keep: quantised(model.network, pictures.calibration, size, observer, keep),
            images_of(pictures.calibration, model, size),
            images_of(pictures.parity, model, size),
            keep_float=keep_float,
            goal=goal if mixed and not force else None,
            say=lambda message: say(f"{name}: {message}"),
        )
        if sensitivity is not None:
            say(f"{name}: measuring what int8 costs, layer by layer")
            about = {"model": name, "images": len(plan.pictures.images), "kept_float": plan.kept}
            write_report(sensitivity, plan.measured(), about)
            say(to_table(plan.measured(), SHOWN))
    graph = None if plan is None else plan.graph
    done: list[Exported] = []
    subjects = {FLOAT: by_network(model.network, lambda picture: image_of(picture, size).permute(0, 3, 1, 2))}
    if graph is not None:
        subjects[SIMULATED] = by_network(graph, lambda picture: image_of(picture, size).permute(0, 3, 1, 2))
    with ExitStack() as stack:  # at its end all files get their names; where anything is raised before, none
        for format in formats:
            path = folder / f"{name}.{format}"
            draft = stack.enter_context(written_whole(path))
            say(f"{path.name}: lowering")
            spec = _write(draft, model, size, format, graph)
            say(f"{path.name}: comparing with the network on {len(pictures.parity)} pictures")
            session = open_session(draft)
            parity = compare(session, model.network, pictures.parity)
            if not force or math.isnan(parity.sqnr_db):
                judge(parity, path.name, goal, plan.measured if plan else list)
            subjects[format] = by_session(session)
            done.append(Exported(path, format, spec, draft.stat().st_size, parity, _count_ops(draft, format)))
        pairs = tuple(compare_all(subjects, pictures.parity, size, max(2, len(model.card.classes))))
    kept, in_float = (tuple(plan.kept), tuple(plan.float_layers)) if plan else ((), ())
    return [replace(file, pairs=pairs, kept_float=kept, float_layers=in_float) for file in done]


def _require(formats: Sequence[Format], int8: bool) -> None:
    for package in (*(p for format in formats for p in NEEDED[format]), *(["torchao"] if int8 else [])):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package.replace("_", "-"), "export", "exporting")


def _check_weights(model: Model) -> None:
    broken = [name for name, value in model.network.state_dict().items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise ExportError(f"the network has NaN or infinite weights, first in {broken[0]}; export an earlier checkpoint")


@torch.no_grad()
def quantised(
    network: nn.Module,
    pictures: Sequence[Picture],
    size: tuple[int, int],
    observer: str = OBSERVER,
    keep_float: Sequence[str] = (),
) -> fx.GraphModule:
    """The graph of `network` on (1, 3, h, w) with the int8 ranges that its tensors take on `pictures`.

    Both formats are lowered from this one graph, so that their ranges are the same.
    """
    with quiet(), traceable():
        from edgeseg.calib.observers import OBSERVERS
        from edgeseg.compress import quantize

        prepared = quantize.prepare(rewrite(network), size, OBSERVERS[observer], keep_float)
        for picture in pictures:
            prepared(image_of(picture, size).permute(0, 3, 1, 2))
        return quantize.convert(prepared)


def image_of(picture: Picture, size: tuple[int, int]) -> torch.Tensor:
    """(1, h, w, 3) float32 RGB in 0..1, shrunk as the runtime shrinks a frame."""
    rgb = cv2.cvtColor(shrink(picture.frame, size), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(rgb.astype(np.float32)[None] / 255)


def images_of(pictures: Sequence[Picture], model: Model, size: tuple[int, int]) -> Images:
    """MEASURED of `pictures`, evenly spaced, as the network takes them."""
    chosen = (
        [pictures[int((i + 0.5) * len(pictures) / MEASURED)] for i in range(MEASURED)] if len(pictures) > MEASURED else pictures
    )
    truths = [None if p.truth is None else truth_at(p.truth, size) for p in chosen]
    stacked = torch.cat([image_of(picture, size) for picture in chosen]).permute(0, 3, 1, 2)
    return Images(stacked, truths, max(2, len(model.card.classes)))


def _write(path: Path, model: Model, size: tuple[int, int], format: Format, graph: fx.GraphModule | None) -> Spec:
    """Write a complete model file, Spec included, to `path`."""
    with traceable():
        data = _tflite(model.network, size, graph) if format == "tflite" else _onnx(model.network, size, graph)
    spec = describe(model, size, format, None if graph is None else _ends(graph, format))
    path.write_bytes(with_spec(data, spec))
    return spec


def _tflite(network: nn.Module, size: tuple[int, int], graph: fx.GraphModule | None) -> bytes:
    from edgeseg.export.channels_last import channels_last
    from edgeseg.export.to_tflite import to_tflite

    if graph is None:
        return to_tflite(channels_last(rewrite(network), size), size, int8=False)
    from edgeseg.export.graphs import copied
    from edgeseg.export.masks import arithmetic_masks

    return to_tflite(channels_last(arithmetic_masks(copied(graph)), size), size, int8=True)


def _onnx(network: nn.Module, size: tuple[int, int], graph: fx.GraphModule | None) -> bytes:
    from edgeseg.export.to_onnx import to_onnx, to_onnx_int8

    model = to_onnx(rewrite(network), size) if graph is None else to_onnx_int8(graph, size)
    return bytes(model.SerializeToString(deterministic=True))


def _ends(graph: fx.GraphModule, format: Format) -> tuple[Quantisation, Quantisation]:
    """Quantisation of image and logits; ONNX files hold the same values as uint8."""
    from edgeseg.compress.quantize import ends

    moved = 128 if format == "onnx" else 0
    image, logits = ends(graph)
    return Quantisation(image[0], image[1] + moved), Quantisation(logits[0], logits[1] + moved)


def _count_ops(path: Path, format: Format) -> dict[str, int]:
    if format == "onnx":
        from edgeseg.export import onnx_ops

        return onnx_ops.count_ops(onnx_ops.optimised(path))
    from edgeseg.export import tflite_file

    return tflite_file.count_ops(path.read_bytes())
