"""A prior that is learned for each condition: p(z|y).

Legend: K members, S draws, N rows, L latents, C cells of all conditions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..latents import DiagonalGaussian, Posterior
from ..networks import MLP
from .base import Encode, LatentPrior, Prior


class GaussianPrior(Prior):
    """p(z|y) = N(mu, diag exp(logvar)) of N rows, each with its own condition."""

    def __init__(self, gaussian: DiagonalGaussian) -> None:
        self.gaussian = gaussian

    def log_prob(self, z: Tensor) -> Tensor:
        return self.gaussian.log_prob(z)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        members, rows, latent = self.gaussian.mu.shape
        if count != rows:
            raise ValueError(f"this prior is that of {rows} rows; {count} codes were asked for")
        shape = (members, 1, count, latent)
        noise = torch.randn(shape, generator=generator, device=generator.device)
        return self.gaussian.rsample(noise)

    def kl(self, posterior: Posterior, z: Tensor) -> Tensor:
        if isinstance(posterior, DiagonalGaussian):
            return posterior.kl_to(self.gaussian)
        return super().kl(posterior, z)


class ConditionalPrior(LatentPrior):
    """A Gaussian whose mean and variance a small network reads from the condition.

    Args:
        members: K.
        conditions: C.
        hidden: widths of its hidden layers; none make it a table with a Gaussian a category,
            added up over several conditions.
        latent: L.
        generator: source of the weights.

    Reference: Sohn, Lee, Yan (2015), Learning structured output representation using deep
        conditional generative models, eq. 4.
    """

    def __init__(
        self,
        members: int,
        conditions: int,
        hidden: tuple[int, ...],
        latent: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.network = MLP(members, [conditions, *hidden, 2 * latent], generator)

    def given(self, y: Tensor) -> GaussianPrior:
        """p(z|y) for conditions y (1 or K, N, C)."""
        return GaussianPrior(DiagonalGaussian.from_outputs(self.network(y).float()))

    def distribution(self, encode: Encode) -> Prior:
        raise TypeError("this prior is that of rows: ask `given` with their conditions")
