"""Mixtures as priors: p(z) = Σ_m w_m q_m(z), and the Gaussian one fitted after training.

Legend: K members, S draws, N rows, L latents, M components, W encoded width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..latents import DiagonalGaussian, Posterior
from .base import Encode, LatentPrior, Prior
from .em import best_mixture
from .normal import StandardNormal

MOST_ROWS = 10_000
# components × draws at a time: bounds the memory of (K, S·N, M, L)
BLOCK = 1 << 17


class Mixture(Prior):
    """p(z) = Σ_m w_m q_m(z), with components that are posteriors of M rows.

    Args:
        components: q_m, of M rows.
        log_weights: (K, M) log w_m, nats.
        chosen: the posteriors of components (K, count) drawn by their index.
        latent: L, standard normal numbers that make a z.
    """

    def __init__(
        self,
        components: Posterior,
        log_weights: Tensor,
        chosen: Callable[[Tensor], Posterior],
        latent: int,
    ) -> None:
        self.components, self.log_weights = components, log_weights
        self.chosen, self.latent = chosen, latent

    def log_prob(self, z: Tensor) -> Tensor:
        points = z.flatten(1, 2)
        size = max(1, BLOCK // self.log_weights.shape[1])
        parts = [self._log_prob(part) for part in points.split(size, dim=1)]
        return torch.cat(parts, dim=1).unflatten(1, z.shape[1:3]).unsqueeze(-1)

    def _log_prob(self, points: Tensor) -> Tensor:
        """(K, P) for points (K, P, L): every point as a draw of every component."""
        each = self.components.log_prob(points[:, :, None]).sum(-1)
        return torch.logsumexp(each + self.log_weights[:, None], dim=-1)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        index = torch.multinomial(self.log_weights.exp(), count, True, generator=generator)
        shape = (len(index), 1, count, self.latent)
        noise = torch.randn(shape, generator=generator, device=generator.device)
        return self.chosen(index).rsample(noise)


class MixturePrior(LatentPrior):
    """N(0, I) while training, then a mixture of Gaussians fitted to the aggregate posterior.

    q(z) = 1/N Σ q(z|x_n) is the prior under which the ELBO of the training rows is highest; the
    mixture stands in for it, and counts in the ELBO from then on.

    Args:
        members: K.
        latent: L.
        components: M at most; as many as held-out rows ask for.

    Reference: Tomczak, Welling (2018), eq. 9 (the optimal prior); Hoffman, Johnson (2016).
    """

    fitted: Tensor
    log_weights: Tensor
    mu: Tensor
    logvar: Tensor

    def __init__(self, members: int, latent: int, components: int) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.tensor(False))
        self.register_buffer("log_weights", torch.zeros(members, components))
        self.register_buffer("mu", torch.zeros(members, components, latent))
        self.register_buffer("logvar", torch.zeros(members, components, latent))

    def distribution(self, encode: Encode) -> Prior:
        if not self.fitted:
            return StandardNormal(len(self.mu), self.mu.shape[-1])
        return Mixture(
            DiagonalGaussian(self.mu, self.logvar),
            self.log_weights,
            self._chosen,
            self.mu.shape[-1],
        )

    def _chosen(self, index: Tensor) -> DiagonalGaussian:
        where = index[..., None].expand(-1, -1, self.mu.shape[-1])
        return DiagonalGaussian(self.mu.gather(1, where), self.logvar.gather(1, where))

    @torch.no_grad()
    def fit(self, encode: Encode, rows: Tensor, seed: int) -> None:
        """Expectation–maximisation on a draw from q(z|x) of each of at most 10,000 rows."""
        generator = torch.Generator(device=rows.device).manual_seed(seed)
        kept = torch.randperm(len(rows), generator=generator, device=rows.device)[:MOST_ROWS]
        pieces = []
        for x in rows[kept].split(1024):
            noise = torch.randn(
                1, 1, len(x), self.mu.shape[-1], generator=generator, device=rows.device
            )
            pieces.append(encode(x[None]).rsample(noise)[:, 0])
        for member, z in enumerate(torch.cat(pieces, dim=1).double()):
            best = best_mixture(z, self.mu.shape[1], generator)
            found = len(best.log_weights)
            self.log_weights[member] = -torch.inf
            self.log_weights[member, :found] = best.log_weights.float()
            self.mu[member, :found] = best.mu.float()
            self.logvar[member, :found] = best.logvar.float()
        self.fitted.fill_(True)
