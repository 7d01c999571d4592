"""The prior of a ladder of latents.

Legend: K members, S draws, N rows, M = S · N, L width of a code, the top layer's latents last.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..latents import Ladder, Posterior
from ..latents.ladder import Step, below
from .base import Prior


class LadderPrior(Prior):
    """p(z) = p(z_T) Π_t p(z_t | z_t+1).

    Args:
        top: p(z_T), any prior.
        steps: networks of p(z_t | z_t+1), T − 1 of them.
        widths: of the T layers.

    Reference: Sønderby et al. (2016), Ladder variational autoencoders, section 2.
    """

    def __init__(self, top: Prior, steps: Sequence[Step], widths: Sequence[int]) -> None:
        self.top, self.steps, self.widths = top, tuple(steps), list(widths)

    def log_prob(self, z: Tensor) -> Tensor:
        layers = z.split(self.widths, dim=-1)
        parts = [
            below(step, above.flatten(1, 2)).log_prob(own.flatten(1, 2)[:, None])[:, 0]
            for step, own, above in zip(self.steps, layers[:-1], layers[1:], strict=True)
        ]
        flat = [part.unflatten(1, z.shape[1:3]) for part in parts]
        return torch.cat([*flat, self.top.log_prob(layers[-1])], dim=-1)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        z = [self.top.sample(count, generator)]
        for step in reversed(self.steps):
            p = below(step, z[0][:, 0])
            noise = torch.randn(p.mu.shape, generator=generator, device=generator.device)
            z.insert(0, p.rsample(noise[:, None]))
        return torch.cat(z, dim=-1)

    def kl(self, posterior: Posterior, z: Tensor) -> Tensor:
        """In closed form given the layer above, the mean over draws of that."""
        if not isinstance(posterior, Ladder):
            return super().kl(posterior, z)
        parts = [q.kl_to(p).unflatten(1, z.shape[1:3]).mean(1) for _, q, p in posterior.layers(z)]
        last = z[..., -self.widths[-1] :]
        return torch.cat([*parts, self.top.kl(posterior.top, last)], dim=-1)
