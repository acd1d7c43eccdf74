"""Spec: all that a runtime must know about a model file. It travels inside the file.

An ONNX file carries it in `metadata_props` under the key `edgeseg.spec`; a TFLite file as the associated file
`edgeseg.spec.json`, in the way TFLite model metadata packs associated files (a zip archive appended to the
flatbuffer, which interpreters ignore and Python's `zipfile` reads). Nothing is ever guessed from a file name.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edgeseg.errors import SpecError

FORMAT_VERSION = 1
ONNX_KEY = "edgeseg.spec"
TFLITE_MEMBER = "edgeseg.spec.json"

Dtype = Literal["float32", "int8", "uint8"]


@dataclass(frozen=True)
class Quantisation:
    """Affine quantisation of a tensor: real = (stored - zero_point) * scale."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Spec:
    """What a model file takes, what it gives, and where it comes from.

    The input image is `(frame * scale - mean) / std`, per channel in the order `colour`, with `frame` in 0..255; then
    quantised by `input_quantisation` where the file takes integers.
    """

    model: str  # name in `edgeseg models`, or the user's own
    size: tuple[int, int]  # (height, width) of the input
    output_size: tuple[int, int]  # (height, width) of the output; enlarged outside the graph
    layout: Literal["NHWC", "NCHW"]  # of input and output
    input_dtype: Dtype
    output_dtype: Dtype
    output: Literal["logits", "probability", "class_ids"]
    classes: tuple[str, ...]  # a two-class model may give one channel: that of classes[1]
    person_class: int | None  # which class is the person; None when no class is
    precision: Literal["float32", "float16", "int8"] = "float32"  # of the arithmetic inside
    colour: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    input_quantisation: Quantisation | None = None
    output_quantisation: Quantisation | None = None
    params: int | None = None  # of the network, before export
    macs: int | None = None  # multiply-adds of one inference at `size`
    accuracy: dict[str, float] = field(default_factory=dict)  # float reference, e.g. {"iou/eg1800": 0.93}
    data: str = ""  # what it was trained on
    licence: str = ""  # licence note of weights and data
    revision: str = ""  # git revision of the code that wrote the file
    versions: dict[str, str] = field(default_factory=dict)  # packages that wrote the file
    weights_sha256: str = ""  # of the float weights the file was made from
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        height, width = self.size
        if height < 1 or width < 1:
            raise SpecError(f"Spec size {height}x{width} must be positive")
        for name, dtype, quantisation in (
            ("input", self.input_dtype, self.input_quantisation),
            ("output", self.output_dtype, self.output_quantisation),
        ):
            if dtype != "float32" and quantisation is None and not (name == "output" and self.output == "class_ids"):
                raise SpecError(f"Spec says the {name} is {dtype} but not how it is quantised")
        if self.person_class is not None and not 0 <= self.person_class < len(self.classes):
            raise SpecError(f"Spec names class {self.person_class} as the person, of {len(self.classes)} classes")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Spec:
        """Read a Spec; unknown keys are ignored, so that a newer writer's files can be read.

        Raises SpecError for text that is no Spec, or one of a newer format version.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise SpecError(f"the Spec is not JSON ({error}); attach one with: edgeseg spec FILE --set KEY=VALUE") from None
        if not isinstance(values, dict):
            raise SpecError(f"the Spec must be a JSON object, got {type(values).__name__}")
        version = values.get("format_version", FORMAT_VERSION)
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise SpecError(
                f"the file's Spec has format version {version}, this edgeseg reads {FORMAT_VERSION}; upgrade edgeseg"
            )
        fields = {f.name: f for f in dataclasses.fields(cls)}
        hints = typing.get_type_hints(cls)
        missing = [
            name
            for name, f in fields.items()
            if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise SpecError(f"the Spec lacks {', '.join(missing)}; set with: edgeseg spec FILE --set KEY=VALUE")
        try:
            return cls(**{name: typed(name, values[name], hints[name]) for name in fields if name in values})
        except (TypeError, ValueError) as error:
            raise SpecError(f"the Spec cannot be read: {error}") from None


def typed(name: str, value: Any, hint: Any) -> Any:
    """`value` from JSON or TOML as the annotated type `hint` of field `name`; ValueError where it is not one."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{name} must be one of {', '.join(map(str, args))}; got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} must be a list; got {value!r}")
        inner = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        if len(inner) != len(value):
            raise ValueError(f"{name} must have {len(inner)} entries; got {len(value)}")
        return tuple(typed(name, v, h) for v, h in zip(value, inner, strict=True))
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be an object; got {value!r}")
        return {str(k): typed(name, v, args[1]) for k, v in value.items()}
    if type(None) in args:
        return None if value is None else typed(name, value, next(a for a in args if a is not type(None)))
    if hint is Quantisation:
        return value if isinstance(value, Quantisation) else Quantisation(float(value["scale"]), int(value["zero_point"]))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{name} must be {hint.__name__}; got {value!r}")
    return value


def nearest_framing(sizes: Sequence[tuple[int, int]], size_hw: tuple[int, int]) -> tuple[int, int]:
    """Of input `sizes` (height, width) the one that stretches a frame of `size_hw` least; of two alike the taller."""
    wanted = math.log(size_hw[0] / size_hw[1])
    return min(sizes, key=lambda size: (round(abs(math.log(size[0] / size[1]) - wanted), 6), -size[0] / size[1]))
