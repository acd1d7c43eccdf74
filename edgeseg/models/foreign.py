"""A user's own network: a class somewhere on the Python path, and a state dict.

    edgeseg export my_module:MyNet --weights best.pth --classes background,person

The class is called without arguments, or with those of `--set`. It takes an image (n, 3, h, w) and gives logits
(n, classes, h', w'); a tuple of which they are the first and a dictionary with "out" (as torchvision's networks give) will
do. What it expects of the image beyond 0..1 (a mean, a standard deviation) becomes a part of the network.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edgeseg.errors import ModelError, ShapeError, UsageError
from edgeseg.models.checkpoint import Model, ModelCard, weights_sha256
from edgeseg.models.layers import SegmentationNetwork

State = dict[str, Tensor]
NESTED = ("state_dict", "model_state_dict", "model", "network", "ema")  # where training programs keep the weights
PREFIXES = ("module.", "_orig_mod.", "model.", "network.")  # that wrappers put before every name


def is_foreign(name: str) -> bool:
    """Whether `name` says module:Class (and not C:\\a\\path)."""
    module, colon, attribute = name.rpartition(":")
    return bool(colon) and attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))


def load_foreign(
    name: str,
    weights: Path,
    *,
    classes: tuple[str, ...] = (),
    person: str | None = None,
    size: tuple[int, int] = (256, 256),
    mean: tuple[float, ...] = (0.0, 0.0, 0.0),
    std: tuple[float, ...] = (1.0, 1.0, 1.0),
    arguments: Mapping[str, Any] | None = None,
) -> Model:
    """The network `name` ("module:Class") with the state dict of `weights` (.safetensors, or what torch.save wrote).

    classes    names in the order of the channels; a single channel is the logit of the second of two
    person     which of them is the person, if one is
    size       (height, width) it is for
    mean, std  per channel of RGB, of an image in 0..1

    Raises UsageError for a class that cannot be found or called, ModelError for weights that do not fit it, ShapeError
    where it does not take an image of `size`.
    """
    network = _construct(name, dict(arguments or {}))
    _fill(network, read_state(weights), weights, name)
    wrapped = Foreign(network, mean, std).eval()
    logits = _probe(wrapped, name, size)
    channels = logits.shape[1]
    if not classes:
        raise UsageError(
            f"{name} gives {channels} channels; name its classes in their order with --classes ({max(2, channels)} names)"
        )
    if len(classes) != max(2, channels):
        raise UsageError(f"{name} gives {channels} channels, but --classes has {len(classes)} names")
    if person is not None and person not in classes:
        raise UsageError(f"--person {person} is not among the classes {', '.join(classes)}")
    if channels == 2:
        wrapped.difference = _difference()
    wrapped.output_stride = round(size[0] / logits.shape[2])
    card = ModelCard(
        architecture=name,
        arguments=dict(arguments or {}),
        classes=classes,
        person_class=None if person is None else classes.index(person),
        size=size,
        name=name.rpartition(":")[2].lower(),
        data=f"unknown to edgeseg; weights from {weights.name}",
    )
    return Model(wrapped, card, weights_sha256(network.state_dict()))


class Foreign(SegmentationNetwork):
    """A user's network as edgeseg's own are: an image in 0..1 in, one tensor of logits out.

    Two channels become the one that edgeseg's two-class networks have: the logit of the second is their difference.
    """

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.size_divisor, self.output_stride = 1, 1
        self.normalise: nn.Module = nn.Identity()
        if any(mean) or any(s != 1 for s in std):
            # A batch norm with these statistics is the same function, and the exporters know what to do with one.
            self.normalise = nn.BatchNorm2d(3, eps=0.0, affine=False)
            self.normalise.running_mean = torch.tensor(mean)
            self.normalise.running_var = torch.tensor(std) ** 2
        self.network = network
        self.difference: nn.Module = nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        out = self.network(self.normalise(image))
        if isinstance(out, Mapping):
            out = out["out"]
        logits: Tensor = out[0] if isinstance(out, list | tuple) else out
        difference: Tensor = self.difference(logits)
        return difference


def _difference() -> nn.Module:
    """Second channel minus first, as a convolution: its weights are exact in int8, and no runtime has to slice."""
    conv = nn.Conv2d(2, 1, 1, bias=False)
    conv.weight.data = torch.tensor([-1.0, 1.0]).reshape(1, 2, 1, 1)
    return conv


def read_state(path: Path) -> State:
    """Tensors by name from a safetensors file or a PyTorch checkpoint; nothing in the file is run.

    A state dict inside a training checkpoint is found under the usual names. ModelError for anything else.
    """
    if not path.is_file():
        raise ModelError(f"weights {path} do not exist")
    try:
        if path.suffix == ".safetensors":
            state: State = load_file(path)
            return state
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0][:160]
        raise ModelError(
            f"{path} holds more than tensors or is damaged ({reason}); save the weights alone: torch.save(net.state_dict(), F)"
        ) from None
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()) or not found:
        raise ModelError(f"{path} is no state dict (tensors by name); save one with torch.save(net.state_dict(), F)")
    return dict(found)


def _construct(name: str, arguments: dict[str, Any]) -> nn.Module:
    module_name, _, attribute = name.rpartition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # an installed command does not look where it is called
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(f"no Python module {error.name!r} on the path or in this folder, for {name}") from None
    constructor = getattr(module, attribute, None)
    if not callable(constructor):
        raise UsageError(f"{module.__file__} has nothing to call named {attribute!r}")
    try:
        network = constructor(**arguments)
    except TypeError as error:
        raise UsageError(f"{name} cannot be made ({error}); give its arguments with --set NAME=VALUE") from None
    if not isinstance(network, nn.Module):
        raise UsageError(f"{name} gives a {type(network).__name__}, not a torch.nn.Module")
    return network.eval()


def _fill(network: nn.Module, state: State, path: Path, name: str) -> None:
    """Load `state`, whose names may all carry one of PREFIXES. ModelError names what does not fit."""
    expected = network.state_dict()
    for prefix in PREFIXES:
        if not state.keys() & expected.keys() and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    missing, more = expected.keys() - state.keys(), state.keys() - expected.keys()
    shapes = [key for key in expected.keys() & state.keys() if expected[key].shape != state[key].shape]
    if missing or more or shapes:
        parts = [
            f"{len(keys)} {what} (first {sorted(keys)[0]})"
            for what, keys in (("are missing", missing), ("are unknown", more), ("differ in shape", shapes))
            if keys
        ]
        raise ModelError(f"{path} does not fit {name}: of {len(expected)} tensors {', '.join(parts)}")
    broken = sorted(k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all())
    if broken:
        raise ModelError(f"{path} has NaN or infinite weights in {len(broken)} tensors, the first is {broken[0]}")
    network.load_state_dict({key: value.to(expected[key].dtype) for key, value in state.items()})


@torch.no_grad()
def _probe(network: Foreign, name: str, size: tuple[int, int]) -> Tensor:
    try:
        logits = network(torch.zeros(1, 3, *size))
    except (RuntimeError, ValueError, IndexError) as error:
        reason = str(error).strip().partition("\n")[0][:160]
        raise ShapeError(f"{name} does not take an image of {size[0]}x{size[1]} ({reason}); try another --size") from None
    except KeyError:
        raise ModelError(f'{name} gives a dictionary without "out"; wrap it in a module that gives its logits') from None
    if not isinstance(logits, Tensor) or logits.ndim != 4 or logits.shape[0] != 1:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(f"{name} must give logits (1, classes, h, w), it gives {got}")
    if size[0] * logits.shape[3] != size[1] * logits.shape[2] or size[0] % logits.shape[2]:
        raise ShapeError(
            f"{name} turns {size[0]}x{size[1]} into {logits.shape[2]}x{logits.shape[3]}; use a --size that it divides"
        )
    return logits
