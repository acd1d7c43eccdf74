"""Where a network is trained: the one place that knows processors and graphics cards apart."""

from __future__ import annotations

import os
import platform
from typing import TypeVar

import torch
from torch import nn

from edgeseg.errors import UsageError
from edgeseg.train.allocator import keep_freed
from edgeseg.train.depthwise import quicken
from edgeseg.train.dilated import mend

PRECISIONS = ("bf16", "float32")
CPU = torch.device("cpu")

Network = TypeVar("Network", bound=nn.Module)


def choose_device(name: str | None = None, local_rank: int = 0) -> torch.device:
    """That of `name`, "cpu" or "cuda", or a graphics card where there is one. Process `local_rank` of a machine takes its own.

    UsageError for a card that is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name is None and not count):
        return CPU
    if not count:
        raise UsageError("--device cuda, but torch sees no graphics card here; leave it out to train on the processor")
    if local_rank >= count:
        raise UsageError(f"{local_rank + 1} processes on this machine, but {count} graphics cards; start one for each card")
    card = torch.device("cuda", local_rank)
    torch.cuda.set_device(card)  # what NCCL, and whoever says "cuda" alone, will mean
    return card


def place(network: Network, device: torch.device) -> Network:
    """`network` on `device`, as it trains fastest there. On a processor this process then keeps the memory that it frees."""
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":
        keep_freed()
        quicken(network)
        mend(network)
    return network


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context in which convolutions compute in bfloat16, or in which nothing changes."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def loaders(device: torch.device, processes: int) -> int:
    """Threads that make batches: on a processor one, beside the network; a graphics card is fed by what else there is."""
    return 1 if device.type == "cpu" else max(1, min(8, (os.cpu_count() or 1) // processes - 1))


def describe(device: torch.device) -> str:
    """For the model card."""
    return f"{platform.machine()} CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)
