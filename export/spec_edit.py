"""`edgeseg spec FILE --set KEY=VALUE`: a Spec for a file that came from elsewhere, or a correction of one."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.errors import ModelError, SpecError, UsageError
from edgeseg.export.metadata import attach
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.session import open_session
from edgeseg.spec import Spec
from edgeseg.whole import written_whole

SIZES = ("size", "output_size")
LISTS = ("classes",)


def parse(assignments: Sequence[str]) -> dict[str, Any]:
    """`["size=256x256", "classes=background,person", "person_class=1"]` as values; UsageError for what is no such thing.

    A value is JSON where it can be read as JSON, and text otherwise; sizes may be written 256x256 and lists with commas.
    """
    known = [field.name for field in dataclasses.fields(Spec)]
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals or key not in known:
            what = "has no '='" if not equals else f"names no field of a Spec; there are: {', '.join(known)}"
            raise UsageError(f"--set takes KEY=VALUE; {assignment!r} {what}")
        values[key] = _value(key, text.strip())
    return values


def _value(key: str, text: str) -> Any:
    height, x, width = text.lower().partition("x")
    if key in SIZES and x and height.isdecimal() and width.isdecimal():
        return [int(height), int(width)]
    try:
        return json.loads(text)
    except ValueError:
        return [part.strip() for part in text.split(",")] if key in LISTS else text


def edit(path: Path, changes: dict[str, Any]) -> Spec:
    """Apply `changes` to the Spec of a model file, or make one of them and of what the file itself says. Returns it.

    Nothing is written unless the file runs with its new Spec. Raises ModelError, SpecError (fields that are missing or
    do not fit the file), OutputError.
    """
    backend = open_backend(path)
    values = json.loads(backend.spec_text) if backend.spec_text else facts(path)
    spec = Spec.from_json(json.dumps({**values, **changes}))
    with written_whole(path) as part:
        shutil.copyfile(path, part)
        attach(part, spec)
        session = open_session(part)
        output = session.run(session.prepare(np.zeros((*spec.size, 3), np.uint8)))
        height_width = tuple(output.shape[1:3] if spec.layout == "NHWC" or output.ndim == 3 else output.shape[2:4])
        if height_width != spec.output_size:
            raise SpecError(f"the Spec says output {spec.output_size}, the model gives {height_width}; set output_size")
    return spec


def facts(path: Path) -> dict[str, Any]:
    """What a model file tells of its Spec by itself: sizes, layout, types. No meaning is guessed."""
    backend = open_backend(path)
    shape = backend.input_shape
    if len(shape) != 4 or 0 in shape or 3 not in (shape[1], shape[3]):
        raise ModelError(f"{path} takes {shape}; edgeseg runs models that take one colour image of a fixed size")
    last = shape[3] == 3
    output = backend.run(np.zeros(shape, backend.input_dtype))
    spatial = output.shape[1:3] if last or output.ndim == 3 else output.shape[2:4]
    return {
        "size": shape[1:3] if last else shape[2:4],
        "output_size": [int(n) for n in spatial],
        "layout": "NHWC" if last else "NCHW",
        "input_dtype": backend.input_dtype,
        "output_dtype": backend.output_dtype,
        "precision": "float32" if backend.input_dtype == "float32" else "int8",
        "person_class": None,
    }
