"""Exact rewrites of a trained network before it is exported: the same function in operators that run in int8 everywhere.

No runtime has an int8 batch norm, ONNX Runtime has no int8 transposed convolution, and LiteRT cannot lower every one of
them. So batch norms are folded into convolutions, and a transposed convolution that enlarges s times becomes an ordinary
one to s*s times the channels, followed by a pixel shuffle.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgeseg.errors import ExportError
from edgeseg.export.folding import fold_traced
from edgeseg.export.unpooling import mask_for_indices
from edgeseg.models.enet import Initial
from edgeseg.models.rewrites import Factored, Separable


def rewrite(network: nn.Module) -> nn.Module:
    """A copy of `network` in evaluation mode that gives the same logits; the network itself is left alone."""
    rewritten = copy.deepcopy(network).eval()
    for path, module in list(rewritten.named_modules()):
        if isinstance(module, nn.Sequential):
            rewritten = _replace(rewritten, path, fold_sequential(module))
        elif isinstance(module, Initial):
            rewritten = _replace(rewritten, path, FoldedInitial(module))
    fold_traced(rewritten)  # what a user's own network says in Python
    for path, module in list(rewritten.named_modules()):
        if (masked := mask_for_indices(module, path)) is not None:
            rewritten = _replace(rewritten, path, masked)
        elif isinstance(module, nn.ConvTranspose2d) and is_subpixel(module):
            rewritten = _replace(rewritten, path, SubpixelConv(module))
        elif isinstance(module, nn.BatchNorm2d):
            rewritten = _replace(rewritten, path, affine_convolution(module))
        elif isinstance(module, nn.PReLU) and module.num_parameters > 1:
            rewritten = _replace(rewritten, path, SplitPReLU(module))
        elif isinstance(module, Separable) and module.depthwise.out_channels > module.depthwise.in_channels:
            rewritten = _replace(rewritten, path, SideBySide(module))
    for module in rewritten.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:  # the exporters make up zeros of their own, in float
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
    for parameter in rewritten.parameters():
        parameter.requires_grad_(False)
    return rewritten


def _replace(root: nn.Module, path: str, module: nn.Module) -> nn.Module:
    if not path:
        return module
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
    return root


def fold_sequential(layers: nn.Sequential) -> nn.Sequential:
    """`layers` without dropout, and with every batch norm that follows a convolution folded into it."""
    out: list[nn.Module] = []
    for layer in layers:
        before = out[-1] if out else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d | nn.ConvTranspose2d | Factored):
            out[-1] = _fold(before, layer)
        elif isinstance(layer, nn.ReLU | nn.ReLU6) and isinstance(before, nn.ConvTranspose2d) and is_subpixel(before):
            before.activation = layer  # a `SubpixelConv` has it before the shuffle, where it costs nothing
        elif not isinstance(layer, nn.Dropout | nn.Dropout2d | nn.Identity):
            out.append(layer)
    return nn.Sequential(*out)


def _fold(conv: nn.Conv2d | nn.ConvTranspose2d | Factored, norm: nn.BatchNorm2d) -> nn.Module:
    if isinstance(conv, Factored):
        both = copy.deepcopy(conv)
        both.replace_last(fuse_conv_bn_eval(conv.last, norm))
        return both
    if isinstance(conv, nn.ConvTranspose2d) and conv.groups > 1:
        raise ExportError("a batch norm after a grouped transposed convolution cannot be folded; use groups=1")
    folded: nn.Module = fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))
    return folded


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Of an evaluating batch norm, per channel: out = x * scale + shift."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ExportError("a batch norm without running statistics cannot be exported; train with track_running_stats=True")
    scale = torch.rsqrt(variance + norm.eps)
    shift = -mean * scale
    if norm.affine:
        scale = scale * norm.weight
        shift = shift * norm.weight + norm.bias
    return scale.detach(), shift.detach()


def affine_convolution(norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A batch norm that no convolution precedes, as a depthwise 1x1 convolution: that has an int8 kernel."""
    scale, shift = _scale_and_shift(norm)
    conv = nn.Conv2d(norm.num_features, norm.num_features, 1, groups=norm.num_features)
    conv.weight.data = scale[:, None, None, None].clone()
    conv.bias = nn.Parameter(shift.clone())
    return conv.eval()


class FoldedInitial(nn.Module):
    """ENet's first layer with its batch norm folded: into the convolution, and for the pooled image a depthwise 1x1."""

    def __init__(self, initial: Initial) -> None:
        super().__init__()
        scale, shift = _scale_and_shift(initial.bn)
        c = initial.conv.out_channels
        self.conv = copy.deepcopy(initial.conv)
        self.conv.weight.data = initial.conv.weight.detach() * scale[:c, None, None, None]
        self.conv.bias = nn.Parameter(shift[:c].clone())
        self.pool = initial.pool
        image = nn.BatchNorm2d(initial.bn.num_features - c, affine=False)
        self.norm = affine_convolution(image)
        self.norm.weight.data = scale[c:, None, None, None].clone()
        self.norm.bias = nn.Parameter(shift[c:].clone())
        self.act = initial.act

    def forward(self, image: Tensor) -> Tensor:
        parts = self.conv(image), self.norm(self.pool(image))
        if isinstance(self.act, nn.ReLU):  # before the concatenation it is part of the convolutions
            return torch.cat([self.act(part) for part in parts], 1)
        out: Tensor = self.act(torch.cat(parts, 1))
        return out


class SplitPReLU(nn.Module):
    """max(x, 0) + a * min(x, 0) as a * x + max((1 - a) * x, 0): two depthwise 1x1 convolutions and an addition.

    Neither runtime has a fast int8 PReLU: LiteRT's is not in XNNPACK, and ONNX Runtime has none. A ReLU by itself is
    not in XNNPACK either (a tenth of the speed of all this), but as part of a convolution it costs nothing. Only for slopes
    above 1, where (1 - a) is negative, must it stand by itself: a * x + (1 - a) * max(x, 0).
    """

    def __init__(self, prelu: nn.PReLU) -> None:
        super().__init__()
        slope = prelu.weight.detach()
        self.line, self.bend = _scaling(slope), _scaling(1 - slope)
        self.relu = nn.ReLU()
        self.is_convex = bool((slope <= 1).all())

    def forward(self, x: Tensor) -> Tensor:
        bent: Tensor = self.relu(self.bend(x)) if self.is_convex else self.bend(self.relu(x))
        out: Tensor = self.line(x) + bent
        return out


class SideBySide(nn.Module):
    """A `Separable` with m kernels for each input channel: the input m times side by side, each copy with its own kernels.

    XNNPACK has kernels for depthwise convolutions with one kernel a channel. With more of them it runs a grouped one of one
    channel a group, which made ENet at a third of its multiply-adds slower than whole.
    """

    def __init__(self, separable: Separable) -> None:
        super().__init__()
        depthwise, pointwise = separable.depthwise, separable.pointwise
        self.copies = depthwise.out_channels // depthwise.in_channels
        # Kernels of one channel were neighbours; now those of one copy are.
        order = torch.arange(depthwise.out_channels).reshape(-1, self.copies).T.flatten()
        self.depthwise, self.pointwise = copy.deepcopy(depthwise), copy.deepcopy(pointwise)
        self.depthwise.in_channels = self.depthwise.groups = len(order)
        self.depthwise.weight.data = depthwise.weight.detach()[order]
        self.pointwise.weight.data = pointwise.weight.detach()[:, order]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(torch.cat([x] * self.copies, 1)))
        return out


def _scaling(factors: Tensor) -> nn.Conv2d:
    """A depthwise 1x1 convolution that multiplies each channel by its factor."""
    conv = nn.Conv2d(len(factors), len(factors), 1, groups=len(factors))
    conv.weight.data = factors.detach()[:, None, None, None].clone()
    conv.bias = nn.Parameter(torch.zeros(len(factors)))
    return conv


def is_subpixel(conv: nn.ConvTranspose2d) -> bool:
    """Whether `conv` enlarges exactly `stride` times, so that a `SubpixelConv` can stand for it."""
    return (
        conv.groups == 1
        and conv.stride[0] == conv.stride[1] > 1
        and all(
            isinstance(padding, int) and d == 1 and k + extra - 2 * padding == s
            for k, s, padding, extra, d in zip(
                conv.kernel_size, conv.stride, conv.padding, conv.output_padding, conv.dilation, strict=True
            )
        )
    )


class SubpixelConv(nn.Module):
    """A transposed convolution as one convolution and a pixel shuffle (Shi et al. 2016, arXiv 1609.07009).

    Row o of a transposed convolution is the sum over k of x[i] * w[k] with o = s*i - p + k. Written for o = s*j + phase and
    i = j + d that is k = phase + p - s*d: each of the s phases is an ordinary convolution over a few offsets d, and
    the phases of both axes become channels. Kernel 2 stride 2 needs d = 0 only, a 1x1; kernel 3 (padding 1, output
    padding 1) d in 0..1, kernel 4 (padding 1) d in -1..1, both a 3x3. A 2x2 would do for kernel 3, but only behind a padding
    to the right and below, which costs a pass over the tensor and which litert-torch does not always lower.

    x (n, c_in, h, w) -> (n, c_out, s*h, s*w)
    """

    def __init__(self, transposed: nn.ConvTranspose2d) -> None:
        super().__init__()
        s = transposed.stride[0]
        c_in, c_out = transposed.in_channels, transposed.out_channels
        bottom, right = (_reach(k, s, p) for k, p in zip(transposed.kernel_size, _ints(transposed.padding), strict=True))
        top, left = -bottom, -right
        height, width = bottom - top + 1, right - left + 1
        weight = torch.zeros(c_out, s, s, c_in, height, width)
        source = transposed.weight.detach()  # (c_in, c_out, k, k)
        p_y, p_x = _ints(transposed.padding)
        for phase_y in range(s):
            for phase_x in range(s):
                for dy in range(top, bottom + 1):
                    for dx in range(left, right + 1):
                        ky, kx = phase_y + p_y - s * dy, phase_x + p_x - s * dx
                        if 0 <= ky < transposed.kernel_size[0] and 0 <= kx < transposed.kernel_size[1]:
                            weight[:, phase_y, phase_x, :, dy - top, dx - left] = source[:, :, ky, kx].T
        self.conv = nn.Conv2d(c_in, c_out * s * s, (height, width), padding=(bottom, right))
        self.conv.weight.data = weight.reshape(c_out * s * s, c_in, height, width)
        bias = transposed.bias.detach() if transposed.bias is not None else torch.zeros(c_out)
        self.conv.bias = nn.Parameter(bias.repeat_interleave(s * s))
        self.activation = getattr(transposed, "activation", nn.Identity())
        self.shuffle = nn.PixelShuffle(s)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shuffle(self.activation(self.conv(x)))
        return out


def _reach(kernel: int, stride: int, padding: int) -> int:
    """Greatest |d| for which some phase has a tap k = phase + padding - stride * d in 0..kernel-1."""
    taps = [d for d in range(-kernel, kernel + 1) for phase in range(stride) if 0 <= phase + padding - stride * d < kernel]
    return max(map(abs, taps))


def _ints(padding: Any) -> tuple[int, int]:
    return int(padding[0]), int(padding[1])
