"""Several processes that train one network: `torchrun --nproc-per-node N -m edgeseg train ...`.

Each takes its share of every batch, gradients are averaged (DistributedDataParallel), and so all have the same weights after
every step. The first one alone validates, writes and talks. Batch norm sees the whole batch on graphics cards
(SyncBatchNorm); on processors torch has no such layer, and each process normalises by its own share.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from edgeseg.errors import EdgesegError, ProcessError, UsageError
from edgeseg.train.device import CPU, choose_device

PATIENCE = timedelta(hours=6)  # the others wait while the first one validates
ENDED = "a process of this training was ended; what is in the folder is whole, and --resume goes on from it"
# What gloo and NCCL say when another process is gone.
_LOST = re.compile(r"connection (was )?(closed|reset|refused)|broken pipe|gloo|nccl|socket", re.IGNORECASE)


@dataclass(frozen=True)
class Processes:
    """This process, and how many there are."""

    device: torch.device = CPU
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def check_batch(self, batch: int) -> None:
        """UsageError where a batch cannot be shared out evenly."""
        if batch % self.count:
            raise UsageError(
                f"a batch of {batch} cannot be shared evenly by {self.count} processes; give a multiple to --batch"
            )

    def seed(self, *numbers: int) -> None:
        """Begin torch's random numbers anew: repeatable, and other ones in each process."""
        torch.manual_seed(int(np.random.SeedSequence((*numbers, self.rank)).generate_state(1, np.uint64)[0] >> 1))

    def same(self, value: float) -> float:
        """What the first process has, for decisions that all must share."""
        return self._exchanged(value, average=False)

    def mean(self, value: float) -> float:
        """Over all processes."""
        return self._exchanged(value, average=True)

    def _exchanged(self, value: float, average: bool) -> float:
        if self.count == 1:
            return value
        held = torch.tensor(value, dtype=torch.float64, device=self.device)
        if average:
            dist.all_reduce(held)
            return held.item() / self.count
        dist.broadcast(held, 0)
        return held.item()

    def synchronised(self, network: nn.Module) -> nn.Module:
        """`network` with batch norms over all processes, where torch has them."""
        if self.count > 1 and self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network

    def together(self, network: nn.Module) -> nn.Module:
        """`network` as a module whose gradients are averaged over all processes."""
        if self.count == 1:
            return network
        cards = [self.device] if self.device.type == "cuda" else None
        # Batch-norm statistics are estimated anew for every checkpoint, and play no part while training.
        return DistributedDataParallel(network, device_ids=cards, forward_sync_buffers=False)

    @staticmethod
    def apart(network: nn.Module) -> AbstractContextManager[None]:
        """Gradients are gathered in each process alone: all but the last batch of a step."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def in_company() -> bool:
    """Whether torchrun, or what sets the same variables, started more processes than this one."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def processes(device: str | None = None) -> Iterator[Processes]:
    """This process among those that torchrun started, or alone; connected to them inside.

    However many fail, one alone raises the error that ends them; the others exit in silence. ProcessError where another
    process was killed.
    """
    if not in_company():
        yield Processes(choose_device(device))
        return
    count, rank, local = (int(os.environ.get(name, "0")) for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"))
    store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
    before = signal.signal(signal.SIGTERM, _terminated)  # torchrun ends those that are left in this way
    try:
        chosen = choose_device(device, local)
        dist.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo", store=store, rank=rank, world_size=count, timeout=PATIENCE
        )
        yield Processes(chosen, rank, count)
        dist.barrier()
        dist.destroy_process_group()
    except EdgesegError:
        _leave_it_to_the_first(store)
        raise
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        _leave_it_to_the_first(store)
        raise ProcessError(ENDED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(number: int, frame: FrameType | None) -> Any:
    raise ProcessError(ENDED)


def _leave_it_to_the_first(store: Store) -> None:
    """Exit where another process has raised before."""
    try:
        told = store.add("edgeseg/told", 1)
    except RuntimeError:  # the launcher, which holds the store, is gone as well
        return
    if told > 1:
        raise SystemExit(1)
