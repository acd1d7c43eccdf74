"""Distillation of features: the student's layers imitate the teacher's, not only its logits.

"features" compares the features themselves (FitNets, Romero et al. 2015, arXiv 1412.6550), through a learned 1x1 convolution
where the student has fewer channels. "attention" compares where in the picture there is much of them (Zagoruyko & Komodakis
2017, arXiv 1612.03928, section 3.1), which needs no equal number of channels and learns nothing.

    with Hints(student, teacher, {"stage2": "stage2", "stage3": "stage3"}) as hints:
        optimizer = torch.optim.AdamW([*student.parameters(), *hints.parameters()])
        for image, truth in batches:
            wanted = hints.teach(image)          # the teacher's logits, without gradients
            logits = student(image)
            loss = task.loss(logits, truth) + distillation(logits, wanted) + hints.loss()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.errors import ModelError, UsageError

Kind = Literal["features", "attention"]
TINY = 1e-12
# Of each architecture, layers that another one's can be compared with: fine features, context, and both together.
LAYERS = {"ENet": ("stage1", "stage3", "stage4"), "DeepLabV3Plus": ("backbone.stages.1", "aspp", "decoder")}


def pairs(student: nn.Module, teacher: nn.Module) -> dict[str, str]:
    """student's layer -> teacher's, of LAYERS. UsageError for an architecture that has none there."""
    both = [type(network).__name__ for network in (student, teacher)]
    unknown = [name for name in both if name not in LAYERS]
    if unknown:
        raise UsageError(f"which features of {unknown[0]} are compared is not known; name layers with --hint STUDENT=TEACHER")
    return dict(zip(*(LAYERS[name] for name in both), strict=True))


def parse_hints(texts: Sequence[str]) -> dict[str, str]:
    """student's layer -> teacher's, of "LAYER" or "STUDENT=TEACHER". UsageError for what is neither."""
    layers = {}
    for text in texts:
        student, _, teacher = text.partition("=")
        if not student or text.endswith("="):
            raise UsageError(f"--hint {text} is neither LAYER nor STUDENT=TEACHER, as in aspp or stage3=aspp")
        layers[student] = teacher or student
    return layers


def feature_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of features (n, c, h, w) that each picture's root mean square has been divided out of; a
    scalar from 0 to 4, and 2 for features that have nothing to do with each other.

    The teacher's (n, c, h', w') are brought to (h, w) where they are of another size.
    """
    teacher = _sized(teacher.detach(), student)
    return (_normalised(student) - _normalised(teacher)).square().mean()


def attention_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """The same of the attention maps: student (n, c, h, w), teacher (n, c', h', w'). But for a factor the paper's, squared."""
    return feature_distillation(attention(student), attention(teacher.detach()))


def attention(features: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, 1, h, w): mean over the channels of the squares."""
    return features.square().mean(1, keepdim=True)


COMPARISONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "features": feature_distillation,
    "attention": attention_distillation,
}


class Hints(nn.Module):
    """What a student's layers miss of a teacher's; its parameters are the 1x1 convolutions between them, if there are any.

    teacher  in evaluation mode
    layers   student's layer -> teacher's. Of layers that give several tensors the first counts
    kind     "features" or "attention"
    size     (height, width) of an image that both take; channels are counted on it

    While it is open (`with`), it remembers what the layers gave in their last pass. ModelError for a layer that there is not.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        layers: Mapping[str, str],
        kind: Kind = "features",
        size: tuple[int, int] = (64, 64),
    ) -> None:
        super().__init__()
        if kind not in COMPARISONS:
            raise UsageError(f"features are compared as {' or '.join(COMPARISONS)}, not as {kind!r}")
        if not layers:
            raise UsageError("feature distillation needs the name of a layer at least")
        self.layers, self.compare = dict(layers), COMPARISONS[kind]
        self._networks = {"student": (student, tuple(layers)), "teacher": (teacher, tuple(layers.values()))}  # no submodules
        for who, (network, names) in self._networks.items():
            missing = [name for name in names if name not in dict(network.named_modules())]
            if missing:
                raise ModelError(f"the {who} has no layer {missing[0]!r} to take features from; name one that it has")
        self._seen: dict[str, dict[str, Tensor]] = {"student": {}, "teacher": {}}
        self._hooks: list[Any] = []
        self.adapters = nn.ModuleDict()
        with self, torch.no_grad():
            for network, _ in self._networks.values():
                training = [m for m in network.modules() if m.training]
                network.eval()(torch.zeros(1, 3, *size, device=_device(network)))
                for module in training:
                    module.training = True
            for name, wanted in self.layers.items():
                c_in, c_out = (self._seen[who][n].shape[1] for who, n in (("student", name), ("teacher", wanted)))
                if kind == "features" and c_in != c_out:
                    self.adapters[_key(name)] = nn.Conv2d(c_in, c_out, 1, device=_device(student))

    def __enter__(self) -> Hints:
        for who, (network, names) in self._networks.items():
            for name in dict.fromkeys(names):
                hook = self._remember(self._seen[who], name)
                self._hooks.append(network.get_submodule(name).register_forward_hook(hook))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    @torch.no_grad()
    def teach(self, image: Tensor) -> Tensor:
        """The teacher's logits for `image` (n, 3, h, w); its features are remembered."""
        logits: Tensor = self._networks["teacher"][0](image)
        return logits

    def loss(self) -> Tensor:
        """Mean over the layers, of the last pass of the student and of the last `teach`; a scalar with gradients."""
        total: Tensor = torch.zeros(())
        for name, wanted in self.layers.items():
            own = self._seen["student"][name].float()
            if _key(name) in self.adapters:
                own = self.adapters[_key(name)](own)
            total = total.to(own.device) + self.compare(own, self._seen["teacher"][wanted].float())
        return total / len(self.layers)

    @staticmethod
    def _remember(seen: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            seen[name] = output[0] if isinstance(output, tuple | list) else output

        return hook


def _normalised(features: Tensor) -> Tensor:
    return features / features.square().mean((1, 2, 3), keepdim=True).clamp(min=TINY).sqrt()


def _sized(features: Tensor, like: Tensor) -> Tensor:
    if features.shape[-2:] == like.shape[-2:]:
        return features
    return F.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False, antialias=True)


def _key(name: str) -> str:
    """A `ModuleDict` takes no dots."""
    return name.replace(".", "/")


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
