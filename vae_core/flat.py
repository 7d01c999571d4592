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


@contextmanager
def flat(parameters: Sequence[Tensor]) -> Iterator[tuple[nn.Parameter, list[Tensor]]]:
    """Make parameters windows on one tensor while the block runs, and their gradients likewise.

    Yields:
        The tensor, all numbers one after another. Gradients add up in its `grad`: set it to zero
        before each backward pass.
        Views of that gradient, each (K, ·), as few as there can be.
    """
    counts = [p.numel() for p in parameters]
    widths = [round_up(count, ALIGNED) for count in counts]
    values = nn.Parameter(parameters[0].new_zeros(sum(widths)))
    values.grad = gradient = torch.zeros_like(values)
    windows = zip(values.detach().split(widths), gradient.split(widths), strict=True)
    for p, count, (mine, slope) in zip(parameters, counts, windows, strict=True):
        mine[:count] = p.detach().flatten()
        p.data, p.grad = mine[:count].view(p.shape), slope[:count].view(p.shape)
    members = len(parameters[0])
    by_member = [p.grad.flatten(1) for p in parameters if p.grad is not None]
    try:
        yield values, [gradient[None]] if members == 1 else by_member
    finally:
        for p in parameters:
            p.data, p.grad = p.data.clone(), None
