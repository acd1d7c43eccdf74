"""From a trained network to files that are proven to agree with it. `edgeseg export` is this and a table."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import fx

from edgeseg.calib.frames import Picture, Pictures
from edgeseg.errors import ExportError, MissingExtraError, UsageError
from edgeseg.export.blame import traceable
from edgeseg.export.calibrated import CalibrationOptions, images_of
from edgeseg.export.choices import FLOAT32, Choices, Format
from edgeseg.export.describe import describe
from edgeseg.export.gate import MIN_AGREEMENT, Goal, judge
from edgeseg.export.lowering import lower
from edgeseg.export.metadata import with_spec
from edgeseg.export.pairs import FLOAT, SIMULATED, Pair, by_network, by_session, compare_all, strayed
from edgeseg.export.parity import Parity, compare
from edgeseg.models.checkpoint import Model
from edgeseg.runtime.session import open_session
from edgeseg.spec import Spec
from edgeseg.whole import make_folder, written_whole

if TYPE_CHECKING:
    from edgeseg.calib.calibrate import Calibration
    from edgeseg.export.mixed import Plan

FORMATS: tuple[Format, ...] = ("tflite", "onnx")
NEEDED = {"tflite": ("litert_torch", "ai_edge_litert"), "onnx": ("onnx", "onnxscript", "onnxruntime")}


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
    pairs: tuple[Pair, ...] = ()  # how all files, the network and its simulation agree with one another
    kept_float: tuple[str, ...] = ()  # layers whose results were left in float, by wish or to reach the goal
    float_layers: tuple[str, ...] = ()  # these, and the layers that calculate with their results


@dataclass(frozen=True)
class Accuracy:
    """What an export must keep, and what may be done to keep it."""

    min_agreement: float = MIN_AGREEMENT  # share of pixels that must get the same class as from the network in float
    max_miou_drop: float | None = None  # points of mIoU (0..100) that a file may lose; any number if not given
    keep_float: tuple[str, ...] = ()  # layers (names or globs) of an int8 export whose results stay in float
    mixed: bool = False  # leave the fewest further layers in float with which the two above are reached
    force: bool = False  # write the files whatever they lose

    @property
    def goal(self) -> Goal:
        return Goal(self.min_agreement, self.max_miou_drop)


def export(
    model: Model,
    pictures: Pictures,
    folder: Path,
    *,
    formats: Sequence[Format] = FORMATS,
    choices: Choices = FLOAT32,
    size: tuple[int, int] | None = None,
    calibration: CalibrationOptions = CalibrationOptions(),  # noqa: B008 (it is frozen)
    accuracy: Accuracy = Accuracy(),
    sensitivity: Path | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> list[Exported]:
    """Write `model` to `folder` in every one of `formats`, each as <model>-<H>x<W>-<precision>.<format>.

    choices      precision, types at the ends, target
    size         (height, width); the one that the model was trained for if not given
    calibration  how ranges are found, for int8
    accuracy     what the files must keep
    sensitivity  folder for a report of what int8 costs layer by layer
    say          told what is going on

    No file has its name before all of them are proven. Raises ShapeError, ExportError (a network that cannot be lowered, or
    that does not agree), OutputError, MissingExtraError.
    """
    size = size or model.card.size
    choices.check_formats(formats)
    int8 = choices.precision == "int8"
    _require(formats, int8)
    if not int8 and (accuracy.keep_float or sensitivity is not None):
        raise UsageError("--keep-float and --sensitivity are about int8 files; add --int8")
    model.network.check_size(size)
    _check_weights(model)
    name = f"{model.card.name or model.card.architecture}-{size[0]}x{size[1]}-{choices.precision}"
    for place in (folder, sensitivity):
        if place is not None:
            make_folder(place)
    plans: dict[bool, tuple[Plan, Calibration | None]] = {}
    for symmetric in sorted({choices.symmetric(format) for format in formats} if int8 else ()):
        plans[symmetric] = _planned(
            model, pictures, size, name, dataclasses.replace(calibration, symmetric=symmetric), accuracy, sensitivity, say
        )
    done: list[Exported] = []
    with ExitStack() as stack:  # at its end all files get their names; where anything is raised before, none
        subjects = {FLOAT: by_network(model.network, lambda picture: image_of(picture, size))}
        for format in formats:
            path = folder / f"{name}.{format}"
            draft = stack.enter_context(written_whole(path))
            say(f"{path.name}: lowering")
            plan, found = plans.get(choices.symmetric(format), (None, None))
            if plan is not None and len(plans) == 1:
                subjects[SIMULATED] = by_network(plan.graph, lambda picture: image_of(picture, size))
            spec = _write(draft, model, size, format, choices, plan.graph if plan else None)
            say(f"{path.name}: comparing with the network on {len(pictures.parity)} pictures")
            session = open_session(draft)
            parity = compare(session, model.network, pictures.parity)
            if not accuracy.force or math.isnan(parity.sqnr_db):
                trained_with: Literal["float", "qat"] = "qat" if model.card.ranges else "float"
                judge(parity, path.name, accuracy.goal, plan.measured if plan else list, trained_with)
            subjects[format] = by_session(session)
            done.append(
                Exported(
                    path,
                    format,
                    spec,
                    draft.stat().st_size,
                    parity,
                    _count_ops(draft, format),
                    choices.opset if format == "onnx" else None,
                    found,
                    kept_float=tuple(plan.kept) if plan else (),
                    float_layers=tuple(plan.float_layers) if plan else (),
                )
            )
        pairs = tuple(compare_all(subjects, pictures.parity, size, max(2, len(model.card.classes))))
    for warning in strayed(pairs):
        say(f"warning: {warning}")
    return [dataclasses.replace(file, pairs=pairs) for file in done]


def image_of(picture: Picture, size: tuple[int, int]) -> torch.Tensor:
    """(1, 3, h, w) float32 RGB in 0..1, shrunk as the runtime shrinks a frame."""
    return images_of([picture], size)[0]


def _require(formats: Sequence[Format], int8: bool) -> None:
    for package in (*(p for format in formats for p in NEEDED[format]), *(["torchao"] if int8 else [])):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package.replace("_", "-"), "export", "exporting")


def _check_weights(model: Model) -> None:
    broken = [name for name, value in model.network.state_dict().items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise ExportError(f"the network has NaN or infinite weights, first in {broken[0]}; export an earlier checkpoint")


def _planned(
    model: Model,
    pictures: Pictures,
    size: tuple[int, int],
    name: str,
    options: CalibrationOptions,
    accuracy: Accuracy,
    sensitivity: Path | None,
    say: Callable[[str], None],
) -> tuple[Plan, Calibration | None]:
    from edgeseg.export.plans import planned, report_sensitivity

    goal = accuracy.goal if accuracy.mixed and not accuracy.force else None
    with traceable():
        plan, found = planned(model, pictures, size, options, keep_float=accuracy.keep_float, goal=goal, say=say)
    if sensitivity is not None:
        report_sensitivity(sensitivity, name, plan, say)
    return plan, found


def _write(
    path: Path, model: Model, size: tuple[int, int], format: Format, choices: Choices, graph: fx.GraphModule | None
) -> Spec:
    """Write a complete model file, Spec included, to `path`."""
    with traceable():
        lowered = lower(model.network, graph, size, format, choices)
    spec = describe(model, size, format, choices.precision, lowered.image, lowered.logits)
    path.write_bytes(with_spec(lowered.data, spec))
    return spec


def _count_ops(path: Path, format: Format) -> dict[str, int]:
    if format == "onnx":
        from edgeseg.export import onnx_ops

        return onnx_ops.count_ops(onnx_ops.optimised(path))
    from edgeseg.export import tflite_file

    return tflite_file.count_ops(path.read_bytes())
