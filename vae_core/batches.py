"""Which rows a training step sees, and how.

Legend: K members, N rows, B batch, W encoded width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .columns import Layout


@dataclass(frozen=True)
class Stream:
    """Rows that are too many for the memory: read a block at a time, again in every epoch.

    Attributes:
        rows: N.
        blocks: how many blocks they are cut into, of about equal size.
        read: the number of a block to its encoded rows (n, W) on the CPU, the same every time.
        at_once: blocks that are held at a time.
    """

    rows: int
    blocks: int
    read: Callable[[int], Tensor]
    at_once: int


class Batches(ABC):
    """Endless batches of training rows; `state` is the place where they are.

    Attributes:
        size: B.
    """

    size: int

    @abstractmethod
    def next(self) -> Tensor:
        """(K, B, W) rows on the model's device."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What `restore` needs, beside the generator's own state."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on as if these batches had been at that place."""


class Resident(Batches):
    """Of rows (N, W) in memory: every member runs through its own permutations of all of them."""

    def __init__(self, rows: Tensor, members: int, batch: int, generator: torch.Generator) -> None:
        self.rows, self.members, self.generator = rows, members, generator
        self.size = min(batch, len(rows))
        self.order = torch.empty(members, 0, dtype=torch.long, device=generator.device)

    def next(self) -> Tensor:
        while self.order.shape[1] < self.size:
            fresh = permutations(self.members, len(self.rows), self.generator)
            self.order = torch.cat([self.order, fresh], dim=1)
        chosen, self.order = self.order[:, : self.size], self.order[:, self.size :]
        return self.rows.index_select(0, chosen.flatten()).unflatten(0, chosen.shape)

    def state(self) -> dict[str, Tensor]:
        return {"order": self.order}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.order = state["order"].to(self.generator.device)


class Streamed(Batches):
    """Of a stream: in every epoch the blocks come in a new order, some of them at a time.

    While some blocks are held, every member runs through its own permutation of their rows; what
    is left of it, less than a batch, is let go. Rows are numbered in the order of time, so a row
    shares its batch with rows from `at_once` places of the history, not from all of it.
    """

    def __init__(
        self, stream: Stream, members: int, batch: int, generator: torch.Generator
    ) -> None:
        self.stream, self.members, self.generator = stream, members, generator
        self.windows = -(-stream.blocks // stream.at_once)
        # blocks and windows are cut evenly: no window is smaller than this
        fewest = (stream.blocks // self.windows) * (stream.rows // stream.blocks)
        self.size = min(batch, fewest)
        none = torch.empty(0, dtype=torch.long)
        self.held, self.to_come = none, none
        self.order = none.to(generator.device).expand(members, 0)
        self.rows = torch.empty(0)

    def next(self) -> Tensor:
        if self.order.shape[1] < self.size:
            if not len(self.to_come):
                self.to_come = permutations(1, self.stream.blocks, self.generator)[0].cpu()
            epoch = torch.arange(self.stream.blocks).tensor_split(self.windows)
            started = self.stream.blocks - len(self.to_come)
            size = next(len(window) for window in epoch if int(window[0]) == started)
            self.held, self.to_come = self.to_come.split([size, len(self.to_come) - size])
            self._read()
            self.order = permutations(self.members, len(self.rows), self.generator)
        chosen, self.order = self.order[:, : self.size], self.order[:, self.size :]
        return self.rows[chosen.cpu()].to(self.generator.device)

    def state(self) -> dict[str, Tensor]:
        return {"order": self.order, "held": self.held, "to_come": self.to_come}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.order = state["order"].to(self.generator.device)
        self.held, self.to_come = state["held"], state["to_come"]
        self._read()

    def _read(self) -> None:
        self.rows = torch.empty(0)  # the old ones go before the new ones come
        blocks = [self.stream.read(block) for block in self.held.tolist()]
        if blocks:
            self.rows = torch.cat(blocks)


def permutations(members: int, rows: int, generator: torch.Generator) -> Tensor:
    """(K, N): one permutation of the rows for each member."""
    return torch.stack(
        [torch.randperm(rows, generator=generator, device=generator.device) for _ in range(members)]
    )


def binarised(x: Tensor, layout: Layout, generator: torch.Generator) -> Tensor:
    """Rows x (…, W) with each pixel drawn as 1 with the probability of its grey value.

    Drawn afresh each time a row is seen it is known as dynamic binarisation; a picture that is
    binary already stays as it is.

    Reference: Salakhutdinov, Murray (2008), section 5; Burda et al. (2016), section 5.
    """
    out = x.clone()
    grey = x[..., layout.picture]
    uniform = torch.rand(grey.shape, generator=generator, device=x.device)
    out[..., layout.picture] = (uniform < grey).to(x.dtype)
    return out
