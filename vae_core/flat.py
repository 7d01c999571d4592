"""All that is trained as one tensor, for what is done to every number of it alike.

Clipping, decay and the optimizer's step take some ten microseconds a tensor, whatever its size; of
a small model's step that is a third.

Legend: K members, the first dimension of every parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .columns import round_up

ALIGNED = 16  # numbers; a vector register's worth


class Flat:
    """Parameters that are windows on one tensor.

    Attributes:
        values: (K, ·) each member's numbers one after another, and their gradient likewise.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        members, counts = len(parameters[0]), [p[0].numel() for p in parameters]
        widths = [round_up(count, ALIGNED) for count in counts]
        self.values = nn.Parameter(parameters[0].new_zeros(members, sum(widths)))
        self.values.grad = torch.zeros_like(self.values)
        self._slopes: list[Tensor] = []
        self._each = self.values.new_ones(members)
        windows = zip(
            self.values.detach().split(widths, dim=1),
            self.values.grad.split(widths, dim=1),
            strict=True,
        )
        for p, count, (mine, slope) in zip(parameters, counts, windows, strict=True):
            mine[:, :count] = p.detach().flatten(1)
            p.data = mine[:, :count].view(p.shape)
            self._slopes.append(slope[:, :count].view(p.shape))

    def backward(self, losses: Tensor) -> Tensor:
        """The gradient of losses (K,), each member's of its own: (K, ·), that of `values`."""
        for p in self._parameters:
            p.grad = None
        losses.backward(self._each)
        # a loss need not reach every parameter
        found = [
            torch.zeros_like(slope) if p.grad is None else p.grad
            for p, slope in zip(self._parameters, self._slopes, strict=True)
        ]
        torch._foreach_copy_(self._slopes, found)
        assert self.values.grad is not None
        return self.values.grad

    def release(self) -> None:
        """Give the parameters memory of their own again."""
        for p in self._parameters:
            p.data, p.grad = p.data.clone(memory_format=torch.contiguous_format), None


@contextmanager
def flat(parameters: Sequence[Tensor]) -> Iterator[Flat]:
    """Parameters as windows on one tensor while the block runs."""
    one = Flat(parameters)
    try:
        yield one
    finally:
        one.release()
