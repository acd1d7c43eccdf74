"""From a trained network to files that are proven to agree with it. `edgeseg export` is this and a table."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import fx, nn

from edgeseg.calib.frames import Picture, Pictures
from edgeseg.errors import ExportError, MissingExtraError
from edgeseg.export.choices import FLOAT32, Choices, Format
from edgeseg.export.describe import describe
from edgeseg.export.lowering import lower
from edgeseg.export.metadata import with_spec
from edgeseg.export.parity import Parity, compare
from edgeseg.export.quiet import quiet
from edgeseg.export.rewrites import rewrite
from edgeseg.models.checkpoint import Model
from edgeseg.runtime.session import open_session
from edgeseg.runtime.tensors import shrink
from edgeseg.spec import Spec
from edgeseg.whole import make_folder, written_whole

Range = tuple[float, int]  # scale, zero point
FORMATS: tuple[Format, ...] = ("tflite", "onnx")
NEEDED = {"tflite": ("litert_torch", "ai_edge_litert"), "onnx": ("onnx", "onnxscript", "onnxruntime")}
MIN_AGREEMENT = 0.98
OBSERVER = "mse"


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    format: Format
    spec: Spec
    size_bytes: int
    parity: Parity
    ops: dict[str, int]  # "int8", "float", "transpose", "quantize"
    opset: int | None  # of ONNX


def export(
    model: Model,
    pictures: Pictures,
    folder: Path,
    *,
    formats: Sequence[Format] = FORMATS,
    choices: Choices = FLOAT32,
    size: tuple[int, int] | None = None,
    observer: str = OBSERVER,
    min_agreement: float = MIN_AGREEMENT,
    force: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> list[Exported]:
    """Write `model` to `folder` in every one of `formats`, each as <model>-<H>x<W>-<precision>.<format>.

    choices        precision, types at the ends, target
    size           (height, width); the one that the model was trained for if not given
    observer       a key of `edgeseg.calib.observers.OBSERVERS`, for int8
    min_agreement  share of pixels that must get the same class as from the network in float
    force          write the files even so
    say            told what is going on

    No file has its name before all of them are proven. Raises ShapeError, ExportError (a network that cannot be lowered, or
    that does not agree), OutputError, MissingExtraError.
    """
    size = size or model.card.size
    choices.check_formats(formats)
    int8 = choices.precision == "int8"
    _require(formats, int8)
    model.network.check_size(size)
    _check_weights(model)
    name = f"{model.card.name or model.card.architecture}-{size[0]}x{size[1]}-{choices.precision}"
    make_folder(folder)
    graphs: dict[bool, fx.GraphModule] = {}
    trained = model.card.ranges
    for symmetric in sorted({choices.symmetric(format) for format in formats} if int8 else ()):
        say(f"{name}: " + ("trained ranges" if trained else f"measuring ranges on {len(pictures.calibration)} pictures"))
        graphs[symmetric] = quantised(model.network, pictures.calibration, size, observer, symmetric=symmetric, ranges=trained)
    done: list[Exported] = []
    with ExitStack() as stack:  # at its end all files get their names; where anything is raised before, none
        for format in formats:
            path = folder / f"{name}.{format}"
            draft = stack.enter_context(written_whole(path))
            say(f"{path.name}: lowering")
            spec = _write(draft, model, size, format, choices, graphs.get(choices.symmetric(format)))
            say(f"{path.name}: comparing with the network on {len(pictures.parity)} pictures")
            parity = compare(open_session(draft), model.network, pictures.parity)
            _judge(parity, path, min_agreement, force)
            opset = choices.opset if format == "onnx" else None
            done.append(Exported(path, format, spec, draft.stat().st_size, parity, _count_ops(draft, format), opset))
    return done


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
    *,
    symmetric: bool = False,
    ranges: Mapping[str, Range] | None = None,
) -> fx.GraphModule:
    """The graph of `network` on (1, 3, h, w) with the int8 ranges that its tensors take on `pictures`.

    ranges  by name (`edgeseg.compress.ranges`), where they were trained: pictures are not needed then

    Both formats are lowered from this one graph, so that their ranges are the same. Only TensorRT needs one of its own, with
    ranges `symmetric` around zero.
    """
    with quiet():
        from edgeseg.calib.observers import OBSERVERS
        from edgeseg.compress import quantize
        from edgeseg.compress.ranges import apply_ranges, symmetrised

        prepared = quantize.prepare(rewrite(network), size, OBSERVERS[observer], symmetric=symmetric)
        if ranges:
            apply_ranges(prepared, symmetrised(ranges) if symmetric else ranges)
            return quantize.convert(prepared)
        for picture in pictures:
            prepared(image_of(picture, size).permute(0, 3, 1, 2))
        return quantize.convert(prepared)


def image_of(picture: Picture, size: tuple[int, int]) -> torch.Tensor:
    """(1, h, w, 3) float32 RGB in 0..1, shrunk as the runtime shrinks a frame."""
    rgb = cv2.cvtColor(shrink(picture.frame, size), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(rgb.astype(np.float32)[None] / 255)


def _write(
    path: Path, model: Model, size: tuple[int, int], format: Format, choices: Choices, graph: fx.GraphModule | None
) -> Spec:
    """Write a complete model file, Spec included, to `path`."""
    lowered = lower(model.network, graph, size, format, choices)
    spec = describe(model, size, format, choices.precision, lowered.image, lowered.logits)
    path.write_bytes(with_spec(lowered.data, spec))
    return spec


def _judge(parity: Parity, path: Path, min_agreement: float, force: bool) -> None:
    if math.isnan(parity.sqnr_db) or not (parity.agreement >= min_agreement or force):
        raise ExportError(
            f"{path.name} gives {parity.agreement:.2%} of the pixels of {parity.images} pictures the class that the network "
            f"gives, less than {min_agreement:.2%}; use better pictures (--calib), or accept it with --min-agreement or --force"
        )


def _count_ops(path: Path, format: Format) -> dict[str, int]:
    if format == "onnx":
        from edgeseg.export import onnx_ops

        return onnx_ops.count_ops(onnx_ops.optimised(path))
    from edgeseg.export import tflite_file

    return tflite_file.count_ops(path.read_bytes())
