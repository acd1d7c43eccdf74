"""From a network and pictures to the int8 graph that is lowered: ranges, and which layers stay in float."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import fx

from edgeseg.calib.frames import Picture, Pictures
from edgeseg.calib.scores import truth_at
from edgeseg.calib.sensitivity import Images
from edgeseg.calib.sensitivity_report import to_table, write_report
from edgeseg.errors import UsageError
from edgeseg.export.calibrated import CalibrationOptions, calibrated, images_of, spoken, with_ranges
from edgeseg.export.gate import Goal
from edgeseg.export.mixed import Plan, plan_precision
from edgeseg.models.checkpoint import Model

if TYPE_CHECKING:
    from edgeseg.calib.calibrate import Calibration

SHOWN = 10  # layers in the table of sensitivity; the report has all
MEASURED = 32  # pictures for what is measured layer by layer


def planned(
    model: Model,
    pictures: Pictures,
    size: tuple[int, int],
    options: CalibrationOptions,
    *,
    keep_float: Sequence[str] = (),
    goal: Goal | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> tuple[Plan, Calibration | None]:
    """The int8 graph of `model` on (1, 3, h, w), and how its ranges were found; None where they were trained with it.

    keep_float  layers (names or globs) whose results stay in float
    goal        further layers stay in float, the fewest with which this is met
    """
    measured = measured_on(pictures.calibration or pictures.parity, model, size)
    if model.card.ranges:
        if keep_float:
            raise UsageError("this model's int8 ranges were trained with every layer in int8; leave out --keep-float")
        say("taking the ranges that were trained")
        return Plan(with_ranges(model.network, size, model.card.ranges, symmetric=options.symmetric), measured), None
    say(f"measuring ranges on {len(pictures.calibration)} pictures")
    found: list[Calibration] = []

    def quantise(keep: Sequence[str]) -> fx.GraphModule:
        # What was best with all layers in int8 is not sought again with fewer.
        again = dataclasses.replace(options, observer=found[0].chosen.observer) if found else options
        graph, calibration = calibrated(model.network, pictures, size, again, keep_float=keep)
        found.append(calibration)
        return graph

    plan = plan_precision(
        quantise, measured, measured_on(pictures.parity, model, size), keep_float=keep_float, goal=goal, say=say
    )
    for line in spoken(found[0]):
        say(line)
    return plan, found[-1]


def report_sensitivity(folder: Path, name: str, plan: Plan, say: Callable[[str], None]) -> None:
    """What rounding each layer costs, as files in `folder` and as a short table."""
    say("measuring what int8 costs, layer by layer")
    write_report(folder, plan.measured(), {"model": name, "images": len(plan.pictures.images), "kept_float": plan.kept})
    say(to_table(plan.measured(), SHOWN))


def measured_on(pictures: Sequence[Picture], model: Model, size: tuple[int, int]) -> Images:
    """MEASURED of `pictures`, evenly spaced, as the network takes them."""
    if len(pictures) > MEASURED:
        pictures = [pictures[int((i + 0.5) * len(pictures) / MEASURED)] for i in range(MEASURED)]
    truths = [None if p.truth is None else truth_at(p.truth, size) for p in pictures]
    return Images(torch.cat(images_of(pictures, size)), truths, max(2, len(model.card.classes)))
