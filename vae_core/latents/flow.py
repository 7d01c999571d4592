"""A Gaussian posterior bent by a flow.

Legend: K members, S draws, N rows, L latents, C numbers of context.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..networks.flow import Flow
from .gaussian import DiagonalGaussian


class FlowPosterior:
    """z = m + σ ⊙ f(ε; h), ε ~ N(0, I), with m, σ and the context h given by the encoder.

    log q(z|x) = log N(ε) − log |det ∂f/∂ε| − Σ log σ. Draws keep their density: training and
    scores ask for that of their own draws, which then costs no inverse.

    Args:
        gaussian: m and log σ², (K, N, L).
        context: h, (K, N, C).
        flow: f, of all members.
        members: which of them these are.

    Reference: Rezende, Mohamed (2015), eq. 7 and 13; Kingma et al. (2016), section 3.
    """

    def __init__(
        self,
        gaussian: DiagonalGaussian,
        context: Tensor,
        flow: Flow,
        members: slice = slice(None),
    ) -> None:
        self.gaussian, self.context = gaussian, context
        self.flow, self.members = flow, members
        self._drawn: tuple[Tensor, Tensor] | None = None

    @property
    def mu(self) -> Tensor:
        """The image of zero noise."""
        nothing = torch.zeros_like(self.gaussian.mu)[:, None]
        return self._bent(nothing)[0][:, 0]

    def of(self, members: slice) -> FlowPosterior:
        return FlowPosterior(self.gaussian.of(members), self.context[members], self.flow, members)

    def rsample(self, noise: Tensor) -> Tensor:
        members, rows, latent = self.gaussian.mu.shape
        noise = noise.expand(members, noise.shape[-3], rows, latent)
        z, logarithm = self._bent(noise)
        self._drawn = z, _normal(noise) - logarithm
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        """(K, S, N, 1); of other codes than those last drawn it takes the flow's inverse."""
        if self._drawn is None or self._drawn[0] is not z:
            mu, logvar = self.gaussian.mu[:, None], self.gaussian.logvar[:, None]
            white = (z - mu) * torch.exp(-0.5 * logvar)
            noise, logarithm = self.flow.inverse(*self._flat(white), self.members)
            scale = 0.5 * logvar.sum(-1)
            density = (_normal(noise) + logarithm).unflatten(1, white.shape[1:3]) - scale
        else:
            density = self._drawn[1]
        return density.unsqueeze(-1)

    def _bent(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z (K, S, N, L) and log |det ∂z/∂ε| (K, S, N)."""
        bent, logarithm = self.flow(*self._flat(noise), self.members)
        z = self.gaussian.rsample(bent.unflatten(1, noise.shape[1:3]))
        scale = 0.5 * self.gaussian.logvar.sum(-1)[:, None]
        return z, logarithm.unflatten(1, noise.shape[1:3]) + scale

    def _flat(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Draws (K, S, N, L) and the context of each as (K, S·N, ·)."""
        context = self.context[:, None].expand(-1, z.shape[1], -1, -1)
        return z.flatten(1, 2), context.flatten(1, 2)


def _normal(noise: Tensor) -> Tensor:
    """log N(ε; 0, I) in nats, without the last dimension."""
    return -0.5 * (noise.square() + math.log(2 * math.pi)).sum(-1)
