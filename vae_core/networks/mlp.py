"""Multi-layer perceptrons, K members in one batched matrix product.

Legend: K members, N rows, I inputs, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, silu

from ..columns import round_up
from .fused import affine, can_fuse, of_member, should_train, stacked, trained


class BatchedLinear(nn.Module):
    """K affine maps side by side: (1 or K, N, I) to (K, N, O).

    O is padded to a multiple of 8 inside, because other widths make a row's result depend on its
    place in the batch.
    """

    def __init__(self, members: int, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.outputs = outputs
        padded = round_up(outputs)
        bound = math.sqrt(3.0 / inputs)
        weight = torch.empty(members, inputs, padded).uniform_(-bound, bound, generator=generator)
        weight[..., outputs:] = 0
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(members, 1, padded))

    def forward(self, x: Tensor, members: slice = slice(None)) -> Tensor:
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if members != slice(None):
            weight, bias = weight[members], bias[members]
        if should_train(x, weight):
            out = trained(x, weight, bias)
        else:
            if len(x) != len(weight):
                x = x.expand(len(weight), -1, -1)
            out = torch.baddbmm(bias, x, weight)
        return out if self.outputs == out.shape[-1] else out[..., : self.outputs]

    def one(self, x: Tensor, member: int, activation: str | None = None) -> Tensor:
        """(N, O) of one member and activated, without a gradient, where `can_fuse` says so."""
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        return affine(x, weight[member], bias[member, 0], activation)[:, : self.outputs]


ACTIVATIONS: dict[str, Callable[..., Tensor]] = {"silu": silu, "relu": relu}


class MLP(nn.Module):
    """Affine layers with an activation between them.

    Args:
        members: K.
        widths: inputs, hidden widths (multiples of 8), outputs.
        generator: source of the initial weights.
        activation: key of `ACTIVATIONS`.

    Raises:
        ValueError: a width does not fill registers, or the activation is unknown.
    """

    def __init__(
        self,
        members: int,
        widths: Sequence[int],
        generator: torch.Generator,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")
        self.members, self.activation = members, activation
        for width in widths[1:-1]:
            if width % 8:
                raise ValueError(f"hidden widths must be multiples of 8, got {width}")
        self.layers = nn.ModuleList(
            BatchedLinear(members, a, b, generator) for a, b in pairwise(widths)
        )

    def forward(self, x: Tensor, members: slice = slice(None)) -> Tensor:
        """(K, N, O) for x (1 or K, N, I); with `members`, of some of the K only."""
        if can_fuse(x):
            return self._fused(x, members)
        *hidden, last = self.layers
        activation = ACTIVATIONS[self.activation]
        for layer in hidden:
            x = activation(layer(x, members), inplace=not torch.is_grad_enabled())
        return last(x, members)

    def _fused(self, x: Tensor, members: slice) -> Tensor:
        """The same, member by member."""
        *hidden, last = cast("list[BatchedLinear]", list(self.layers))
        out = []
        for place, member in enumerate(range(self.members)[members]):
            h = of_member(x, place)
            for layer in hidden:
                h = layer.one(h, member, self.activation)
            out.append(last.one(h, member))
        return stacked(out)
