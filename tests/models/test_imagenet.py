"""Foreign weights in our backbone: the same function, up to the place where padding falls."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edgeseg.errors import ModelError
from edgeseg.models.imagenet import load_lite0, read_lite0
from edgeseg.models.mobilenet import BACKBONES, InvertedResidual, InvertedResiduals


def foreign_state(backbone: InvertedResiduals) -> dict[str, Tensor]:
    """Random weights under the names of the published file."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}

    def add(convolution: str, batch_norm: str, shape: torch.Size) -> None:
        state[f"{convolution}.weight"] = torch.randn(shape) / shape[1:].numel() ** 0.5
        for name in ("weight", "running_var"):
            state[f"{batch_norm}.{name}"] = 0.01 + torch.rand(shape[0])  # small: there the two epsilons differ most
        for name in ("bias", "running_mean"):
            state[f"{batch_norm}.{name}"] = torch.randn(shape[0])

    add("_conv_stem", "_bn0", backbone.stem[0].weight.shape)
    blocks = [block for stage in backbone.stages for block in stage]  # type: ignore[attr-defined]
    for i, block in enumerate(blocks):
        assert isinstance(block, InvertedResidual)
        names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        for layer, (convolution, batch_norm) in zip(block.block, names[-len(block.block) :], strict=True):
            add(f"_blocks.{i}.{convolution}", f"_blocks.{i}.{batch_norm}", layer[0].weight.shape)
    return state


def foreign(state: dict[str, Tensor], x: Tensor, convolution: str, batch_norm: str, groups: int = 1) -> Tensor:
    """Convolution at stride 1, padded, and batch norm, as the file's authors have it: epsilon 0.001."""
    weight = state[f"{convolution}.weight"]
    x = F.conv2d(x, weight, padding=weight.shape[2] // 2, groups=groups)
    values = [state[f"{batch_norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *values, eps=1e-3)


def lite0() -> InvertedResiduals:
    return InvertedResiduals(BACKBONES["efficientnet-lite0"], 1.0, 32).eval()


@torch.no_grad()
def test_the_stem_takes_our_pixels_and_gives_their_features() -> None:
    backbone = lite0()
    state = foreign_state(backbone)
    load_lite0(backbone, state)
    image = torch.rand(1, 3, 20, 24)  # 0..1
    theirs = (255 * image - 127) / 128
    expected = foreign(state, theirs, "_conv_stem", "_bn0").clamp(0, 6)[:, :, ::2, ::2]
    # Their zeros beyond the border are grey, ours black; away from it nothing differs.
    torch.testing.assert_close(backbone.stem(image)[..., 1:, 1:], expected[..., 1:, 1:], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_block_computes_what_theirs_does() -> None:
    backbone = lite0()
    state = foreign_state(backbone)
    load_lite0(backbone, state)
    x = torch.randn(1, 24, 9, 7)
    block = backbone.stages[1][1]  # the third block: stride 1, with a residual
    inner = foreign(state, x, "_blocks.2._expand_conv", "_blocks.2._bn0").clamp(0, 6)
    inner = foreign(state, inner, "_blocks.2._depthwise_conv", "_blocks.2._bn1", groups=144).clamp(0, 6)
    expected = x + foreign(state, inner, "_blocks.2._project_conv", "_blocks.2._bn2")
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="no weights of EfficientNet-Lite0"):
        read_lite0(tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        read_lite0(tmp_path / "text.pth")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        read_lite0(tmp_path / "absent.pth")
    state = foreign_state(lite0())
    for backbone in (InvertedResiduals(BACKBONES["efficientnet-lite0"], 0.5, 32), InvertedResiduals(BACKBONES["mobilenetv2"])):
        with pytest.raises(ModelError):
            load_lite0(backbone, state)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this ran",)


def test_a_pickle_that_would_run_code_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"_conv_stem.weight": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        read_lite0(tmp_path / "harmful.pth")
    assert capsys.readouterr().out == ""
