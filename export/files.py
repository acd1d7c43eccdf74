"""From a trained network to files that are proven to agree with it. `edgeseg export` is this and a table."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import fx

from edgeseg.calib.frames import Pictures
from edgeseg.errors import ExportError, MissingExtraError
from edgeseg.export.calibrated import CalibrationOptions, calibrated, spoken, with_ranges
from edgeseg.export.choices import FLOAT32, Choices, Format
from edgeseg.export.describe import describe
from edgeseg.export.lowering import lower
from edgeseg.export.metadata import with_spec
from edgeseg.export.parity import Parity, compare
from edgeseg.models.checkpoint import Model
from edgeseg.runtime.session import open_session
from edgeseg.spec import Spec
from edgeseg.whole import make_folder, written_whole

if TYPE_CHECKING:
    from edgeseg.calib.calibrate import Calibration

FORMATS: tuple[Format, ...] = ("tflite", "onnx")
NEEDED = {"tflite": ("litert_torch", "ai_edge_litert"), "onnx": ("onnx", "onnxscript", "onnxruntime")}
MIN_AGREEMENT = 0.98


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
    calibration: Calibration | None = None  # of an int8 file


def export(
    model: Model,
    pictures: Pictures,
    folder: Path,
    *,
    formats: Sequence[Format] = FORMATS,
    choices: Choices = FLOAT32,
    size: tuple[int, int] | None = None,
    calibration: CalibrationOptions = CalibrationOptions(),  # noqa: B008 (it is frozen)
    min_agreement: float = MIN_AGREEMENT,
    force: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> list[Exported]:
    """Write `model` to `folder` in every one of `formats`, each as <model>-<H>x<W>-<precision>.<format>.

    choices        precision, types at the ends, target
    size           (height, width); the one that the model was trained for if not given
    calibration    how ranges are found, for int8
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
    found: dict[bool, Calibration] = {}
    for symmetric in sorted({choices.symmetric(format) for format in formats} if int8 else ()):
        if model.card.ranges:
            say(f"{name}: taking the ranges that were trained")
            graphs[symmetric] = with_ranges(model.network, size, model.card.ranges, symmetric=symmetric)
            continue
        say(f"{name}: measuring ranges on {len(pictures.calibration)} pictures")
        options = dataclasses.replace(calibration, symmetric=symmetric)
        graphs[symmetric], found[symmetric] = calibrated(model.network, pictures, size, options)
        for line in spoken(found[symmetric]):
            say(line)
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
            ops, ranges = _count_ops(draft, format), found.get(choices.symmetric(format))
            done.append(Exported(path, format, spec, draft.stat().st_size, parity, ops, opset, ranges))
    return done


def _require(formats: Sequence[Format], int8: bool) -> None:
    for package in (*(p for format in formats for p in NEEDED[format]), *(["torchao"] if int8 else [])):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package.replace("_", "-"), "export", "exporting")


def _check_weights(model: Model) -> None:
    broken = [name for name, value in model.network.state_dict().items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise ExportError(f"the network has NaN or infinite weights, first in {broken[0]}; export an earlier checkpoint")


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
