"""Diagonal Gaussian posterior q(z|x) against a standard normal prior.

Legend: K members, N rows, L latents, S draws.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOG_VARIANCE_BOUNDS = (-12.0, 6.0)


class DiagonalGaussian(NamedTuple):
    """q(z|x) = N(mu, diag exp(logvar)).

    Attributes:
        mu, logvar: (K, N, L).
    """

    mu: Tensor
    logvar: Tensor

    @staticmethod
    def from_outputs(outputs: Tensor) -> DiagonalGaussian:
        """Halves of an encoder's output (K, N, 2L); log-variances are bounded."""
        mu, logvar = outputs.chunk(2, dim=-1)
        return DiagonalGaussian(mu, logvar.clamp(*LOG_VARIANCE_BOUNDS))

    def of(self, members: slice) -> DiagonalGaussian:
        """The posteriors of some of the members."""
        return DiagonalGaussian(self.mu[members], self.logvar[members])

    def rsample(self, noise: Tensor) -> Tensor:
        """z = mu + σ·noise, differentiable in mu and σ (the reparameterization trick).

        Args:
            noise: broadcastable to (K, S, N, L), standard normal.

        Returns:
            (K, S, N, L).

        Reference: Kingma, Welling (2014), Auto-Encoding Variational Bayes, section 2.4.
        """
        return self.mu[:, None] + torch.exp(0.5 * self.logvar)[:, None] * noise

    def kl(self) -> Tensor:
        """KL(q(z|x) ‖ N(0, I)) per latent, nats: (K, N, L), ≥ 0.

        Reference: Kingma, Welling (2014), appendix B.
        """
        return 0.5 * (self.mu.square() + self.logvar.exp() - 1.0 - self.logvar)

    def kl_to(self, prior: DiagonalGaussian) -> Tensor:
        """KL(q(z|x) ‖ p) per latent for a Gaussian p of each row, nats: (K, N, L), ≥ 0."""
        ratio = (self.logvar - prior.logvar).exp()
        apart = (self.mu - prior.mu).square() * torch.exp(-prior.logvar)
        return 0.5 * (ratio + apart - 1.0 + prior.logvar - self.logvar)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) per latent, nats; z (K, S, N, L)."""
        mu, logvar = self.mu[:, None], self.logvar[:, None]
        squares = (z - mu).square() * torch.exp(-logvar)
        return -0.5 * (squares + logvar + math.log(2 * math.pi))


def quasi_normal_draws(
    draws: int, dimensions: int, seed: int, *, standardised: bool = True
) -> Tensor:
    """Fixed, well-spread standard normal points for E_q: scrambled Sobol, in antithetic pairs.

    Every dimension has mean exactly 0 and, standardised, variance exactly 1, so the expectation of
    anything quadratic in one latent is exact.

    Args:
        draws: S, even and ≥ 2, or 1 for the posterior mean alone.
        dimensions: L.
        seed: of the scrambling.
        standardised: scaled to variance exactly 1; else each point is normal over the seeds.

    Returns:
        (S, L) float32.
    """
    if draws == 1:
        return torch.zeros(1, dimensions)
    if draws < 1 or draws % 2:
        raise ValueError(f"draws must be 1 or an even number, got {draws}")
    engine = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed)
    uniform = engine.draw(draws // 2, dtype=torch.float64).clamp(1e-6, 1 - 1e-6)
    half = torch.special.ndtri(uniform)
    if standardised:
        half = half / half.square().mean(dim=0, keepdim=True).sqrt().clamp_min(1e-6)
    return torch.cat([half, -half]).float()
