"""Several processes that train one model, started by torchrun.

Each process holds the rows and draws the same batches, noise and corruption from the same seed;
each computes its share of every batch's rows. DistributedDataParallel averages the gradients, so
all take the same steps, and the course is that of one process but for rounding.

Legend: R ranks, B batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Team(NamedTuple):
    """The processes that train together.

    Attributes:
        rank: which one this is; 0 decides, keeps the checkpoint and tells the world.
        size: R.
        device: type of the device that tensors are exchanged on.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def share(self, batch: int) -> slice:
        """The rows of a batch that are this process's; shares differ by a row at most."""
        return slice(self.rank * batch // self.size, (self.rank + 1) * batch // self.size)

    def agreed(self, values: Tensor) -> Tensor:
        """Rank 0's values, for everyone: what machines that round otherwise must not decide apart.

        Collective: every process has to call it.
        """
        if self.size > 1:
            values = values.contiguous()
            dist.broadcast(values, src=0)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes. Collective."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.size
        return values

    def told(self, data: bytes | None) -> bytes | None:
        """What rank 0 has, for everyone. Collective."""
        if self.size == 1:
            return data
        length = self.agreed(torch.tensor(-1 if data is None else len(data), device=self.device))
        if length < 0:
            return None
        if self.rank == 0 and data is not None:
            whole = torch.frombuffer(bytearray(data), dtype=torch.uint8).to(self.device)
        else:
            whole = torch.empty(int(length), dtype=torch.uint8, device=self.device)
        return self.agreed(whole).cpu().numpy().tobytes()


ALONE = Team()


def under_torchrun() -> Team:
    """The team that torchrun's variables speak of; of one process where there are none."""
    return Team(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def joined(device: torch.device) -> Iterator[Team]:
    """Meet the other processes that torchrun has started, and part again.

    Args:
        device: of the model; each process of a machine takes a card of its own.

    Without torchrun this process is alone, and nothing happens.
    """
    team = under_torchrun()
    if team.size == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield team._replace(device=device.type)
    finally:
        dist.destroy_process_group()
