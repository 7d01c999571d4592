"""A masked network: each latent's outputs see the latents before it only.

Legend: K members, N codes, L latents, C numbers of each, H hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from .mlp import BatchedLinear


class MaskedMLP(nn.Module):
    """One hidden layer; a unit of degree d sees latents 1 … d and speaks to those after d.

    Args:
        members: K.
        latents: L.
        width: C.
        hidden: H, a multiple of 8; degrees 1 … L − 1 take turns.
        generator: source of the initial weights.

    Reference: Germain, Gregor, Murray, Larochelle (2015), MADE: Masked Autoencoder for
        Distribution Estimation, eq. 8–10.
    """

    into: Tensor
    out: Tensor

    def __init__(
        self, members: int, latents: int, width: int, hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.first = BatchedLinear(members, latents * width, hidden, generator)
        self.last = BatchedLinear(members, hidden, latents * width, generator)
        latent = torch.arange(1, latents + 1).repeat_interleave(width)
        degree = 1 + torch.arange(hidden) % max(1, latents - 1)
        self.register_buffer("into", _padded(latent[:, None] <= degree, self.first))
        self.register_buffer("out", _padded(degree[:, None] < latent, self.last))

    def forward(self, z: Tensor) -> Tensor:
        """(K, N, L·C) for codes of that shape."""
        return _masked(self.last, silu(_masked(self.first, z, self.into)), self.out)


def _padded(mask: Tensor, layer: BatchedLinear) -> Tensor:
    more = layer.weight.shape[-1] - mask.shape[-1]
    return nn.functional.pad(mask.float(), (0, more))


def _masked(layer: BatchedLinear, x: Tensor, mask: Tensor) -> Tensor:
    return torch.baddbmm(layer.bias, x, layer.weight * mask)[..., : layer.outputs]
