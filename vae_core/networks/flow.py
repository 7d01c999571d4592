"""Invertible maps of codes with a known Jacobian: affine coupling layers.

Legend: K members, N points, L latents, C numbers of context.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .mlp import MLP

HIDDEN = (64, 64)
# a layer stretches a latent by e² at most, so that the inverse stays exact in single precision
MOST_LOG_SCALE = 2.0


class Flow(nn.Module):
    """z ↦ f(z; context), for K members: each layer scales and shifts half of the latents by what
    the other half says.

    Layers take turns with the even and the odd latents, and start as the identity. Both directions
    cost the same.

    Args:
        members: K.
        latent: L ≥ 2.
        layers: of coupling.
        context: C; 0 for none.
        generator: source of the weights.

    Raises:
        ValueError: fewer than two latents: one half would have nothing to go by.

    Reference: Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, eq. 7–8.
    """

    def __init__(
        self, members: int, latent: int, layers: int, context: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        if latent < 2:
            raise ValueError(f"a flow couples latents and needs two or more, got {latent}")
        self.networks = nn.ModuleList()
        for layer in range(layers):
            moved = (latent + 1 - layer % 2) // 2
            network = MLP(members, [latent - moved + context, *HIDDEN, 2 * moved], generator)
            nn.init.zeros_(network.layers[-1].get_parameter("weight"))
            self.networks.append(network)

    def forward(
        self, z: Tensor, context: Tensor | None = None, members: slice = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """f(z) and log |det ∂f/∂z|: (K, N, L) and (K, N) for z (K, N, L), context (K, N, C).

        With `members`, of some of them only.
        """
        total = torch.zeros_like(z[..., 0])
        for layer, network in enumerate(self.networks):
            still, moving = _halves(z, layer)
            shift, log_scale = _affine(network, still, context, members)
            z = _joined(still, moving * torch.exp(log_scale) + shift, layer)
            total = total + log_scale.sum(-1)
        return z, total

    def inverse(
        self, y: Tensor, context: Tensor | None = None, members: slice = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """f⁻¹(y) and log |det ∂f⁻¹/∂y|; shapes as for `forward`."""
        total = torch.zeros_like(y[..., 0])
        for layer, network in reversed(list(enumerate(self.networks))):
            still, moved = _halves(y, layer)
            shift, log_scale = _affine(network, still, context, members)
            y = _joined(still, (moved - shift) * torch.exp(-log_scale), layer)
            total = total - log_scale.sum(-1)
        return y, total


def _affine(
    network: nn.Module, still: Tensor, context: Tensor | None, members: slice
) -> tuple[Tensor, Tensor]:
    """Shift and log-scale of the latents that a layer moves."""
    given = still if context is None else torch.cat([still, context], dim=-1)
    shift, raw = network(given, members).float().chunk(2, dim=-1)
    return shift, MOST_LOG_SCALE * torch.tanh(raw / MOST_LOG_SCALE)


def _halves(z: Tensor, layer: int) -> tuple[Tensor, Tensor]:
    """The latents that a layer leaves, and those it moves."""
    return z[..., 1 - layer % 2 :: 2], z[..., layer % 2 :: 2]


def _joined(still: Tensor, moved: Tensor, layer: int) -> Tensor:
    even, odd = (still, moved) if layer % 2 else (moved, still)
    pairs = torch.stack([even[..., : odd.shape[-1]], odd], dim=-1).flatten(-2)
    return pairs if even.shape[-1] == odd.shape[-1] else torch.cat([pairs, even[..., -1:]], dim=-1)
