"""A model on disk: weights and all that rebuilds the network around them, in one safetensors file (no pickle)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from edgeseg import assets
from edgeseg.errors import ModelError, UsageError
from edgeseg.models import MODELS, SegmentationNetwork
from edgeseg.models.rewrites import rewrite
from edgeseg.models.shapes import reshape
from edgeseg.whole import write_whole

METADATA_KEY = "edgeseg.model"
PERSON = ("background", "person")


@dataclass(frozen=True)
class ModelCard:
    """What a checkpoint says of itself; everything in it is copied into the Spec of the files exported from it."""

    architecture: str  # a key of MODELS
    arguments: dict[str, Any] = field(default_factory=dict)  # of its constructor, besides the channels
    classes: tuple[str, ...] = PERSON
    person_class: int | None = 1
    size: tuple[int, int] = (256, 256)  # (height, width) it was trained for
    framings: tuple[tuple[int, int], ...] = ()  # other sizes that it was trained for, for frames of another shape
    name: str = ""
    accuracy: dict[str, float] = field(default_factory=dict)
    data: str = ""
    licence: str = ""
    training: str = ""  # the command, the machine, the time
    loss: str = ""  # the expression that it was trained with
    class_weights: tuple[float, ...] = ()  # of that loss; none where all counted alike
    ranges: dict[str, tuple[float, int]] = field(default_factory=dict)  # int8, trained: `edgeseg.compress.ranges`
    rewrites: dict[str, dict[str, Any]] = field(default_factory=dict)  # layers in another form: `edgeseg.models.rewrites`
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of pruned layers: `edgeseg.models.shapes`

    @property
    def channels(self) -> int:
        """Of the logits: two classes need one, the logit of the second."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    def build(self, channels: int | None = None) -> SegmentationNetwork:
        """The network with fresh weights; with other `channels` of the logits where given."""
        if self.architecture not in MODELS:
            raise ModelError(f"unknown architecture {self.architecture!r}; there are: {', '.join(MODELS)}")
        network = MODELS[self.architecture](channels or self.channels, **self.arguments)
        rewrite(network, self.rewrites)
        reshape(network, self.shapes)
        network.check_size(self.size)
        return network


@dataclass(frozen=True)
class Model:
    """A network with its weights, in evaluation mode, and its card."""

    network: SegmentationNetwork
    card: ModelCard
    weights_sha256: str


def load_model(name: str | Path) -> Model:
    """A trained model by name, an untrained architecture by name (seeded fresh weights), or a checkpoint by path."""
    if str(name) in assets.trained():
        return load_checkpoint(assets.trained()[str(name)].checkpoint)
    if str(name) in MODELS:
        torch.manual_seed(0)
        card = ModelCard(str(name), name=str(name), data="none: the weights are fresh")
        network = card.build().eval()
        return Model(network, card, weights_sha256(network.state_dict()))
    if not Path(name).is_file():
        known = ", ".join([*assets.trained(), *MODELS])
        raise ModelError(f"no model and no checkpoint file named {str(name)!r}; models: {known}")
    return load_checkpoint(Path(name))


def load_checkpoint(path: Path) -> Model:
    """Read what `save_checkpoint` wrote. ModelError for a file that is truncated, foreign, or of another network."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a readable safetensors checkpoint ({error})") from None
    if text is None:
        raise ModelError(f"{path} has weights but no {METADATA_KEY!r} entry; it was not written by edgeseg")
    card = _card(path, text)
    network = card.build()
    expected = network.state_dict()
    wrong = sorted(expected.keys() ^ state.keys()) or [k for k in expected if expected[k].shape != state[k].shape]
    if wrong:
        raise ModelError(f"{path} does not fit {card.architecture}: {len(wrong)} tensors differ, the first is {wrong[0]}")
    broken = [k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if broken:
        raise ModelError(f"{path} has NaN or infinite weights in {len(broken)} tensors, the first is {broken[0]}")
    network.load_state_dict({k: v.to(expected[k].dtype) for k, v in state.items()})
    return Model(network.eval(), card, weights_sha256(network.state_dict()))


def save_checkpoint(path: Path, network: SegmentationNetwork, card: ModelCard, *, half: bool = False) -> None:
    """Write weights and card, whole or not at all. `half` stores float16: half the size, for models that ship."""
    dtype = torch.float16 if half else torch.float32
    state = {k: (v.to(dtype) if v.is_floating_point() else v).contiguous() for k, v in network.state_dict().items()}
    data = to_bytes(state, {METADATA_KEY: json.dumps(dataclasses.asdict(card))})
    write_whole(path, data)


def weights_sha256(state: dict[str, torch.Tensor]) -> str:
    """Of names and float32 bytes in order of the names."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _card(path: Path, text: str) -> ModelCard:
    try:
        values = json.loads(text)
        known = {f.name for f in dataclasses.fields(ModelCard)}
        values = {k: v for k, v in values.items() if k in known}
        for key in ("classes", "size"):
            values[key] = tuple(values[key])
        values["framings"] = tuple((height, width) for height, width in values.get("framings", ()))
        values["class_weights"] = tuple(values.get("class_weights", ()))
        if "rates" in values["arguments"]:
            values["arguments"]["rates"] = tuple(values["arguments"]["rates"])
        values["ranges"] = {name: (float(scale), int(zero)) for name, (scale, zero) in values.get("ranges", {}).items()}
        values["shapes"] = {name: tuple(map(int, shape)) for name, shape in values.get("shapes", {}).items()}
        return ModelCard(**values)
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise ModelError(f"{path} has a card that cannot be read ({error})") from None
