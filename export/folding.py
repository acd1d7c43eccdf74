"""Batch norms that follow a convolution only in what `forward` says, folded in place.

In a `Sequential` the order is written in the module; other networks say it in Python. `torch.fx` follows that where it can;
where it cannot, the batch norms stay what they are and become depthwise convolutions (`rewrites.affine_convolution`): right,
and slower.
"""

from __future__ import annotations

from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_traced(network: nn.Module) -> list[str]:
    """Fold in place, in evaluation mode, every batch norm that is the only reader of a convolution. Gives their names."""
    try:
        graph = fx.symbolic_trace(network).graph
    except Exception:  # forward may do anything with a proxy that stands for a tensor, and fail in any way
        return []
    modules = dict(network.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    folded = []
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not (isinstance(before, fx.Node) and before.op == "call_module" and len(before.users) == 1):
            continue
        if calls[node.target] > 1 or calls[before.target] > 1:  # shared weights belong to all their places
            continue
        conv, norm = modules[str(before.target)], modules[str(node.target)]
        transposed = isinstance(conv, nn.ConvTranspose2d)
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or not (transposed or isinstance(conv, nn.Conv2d)):
            continue
        if transposed and conv.groups > 1:
            continue
        _put(network, str(before.target), fuse_conv_bn_eval(conv, norm, transpose=transposed))
        _put(network, str(node.target), nn.Identity())
        folded.append(str(node.target))
    return folded


def _put(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, module)
