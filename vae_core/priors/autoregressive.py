"""A learned prior of categorical latents: each given those before it.

Legend: K members, S draws, N rows, L latents, C categories of each; codes are L · C wide.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..latents import CategoricalLatents, Posterior
from ..networks.masked import MaskedMLP
from .base import Encode, LatentPrior, Prior

HIDDEN = 256


class Autoregressive(Prior):
    """p(z) = Π_l Cat(z_l; network(z_1 … z_l−1))."""

    def __init__(self, network: MaskedMLP, members: int, latents: int, categories: int) -> None:
        self.network, self.shape = network, (members, latents, categories)

    def _log_probs(self, z: Tensor) -> Tensor:
        """(K, S, N, L, C) nats, of every category given the earlier latents of z."""
        logits = self.network(z.flatten(1, 2)).float().unflatten(1, z.shape[1:3])
        return logits.unflatten(-1, self.shape[1:]).log_softmax(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        return (z.unflatten(-1, self.shape[1:]) * self._log_probs(z)).sum(-1)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        members, latents, categories = self.shape
        z = torch.zeros(members, 1, count, latents, categories, device=generator.device)
        for latent in range(latents):
            p = self._log_probs(z.flatten(3))[..., latent, :].exp()
            drawn = torch.multinomial(p.flatten(0, 2), 1, generator=generator)
            z[..., latent, :] = one_hot(drawn[:, 0], categories).view_as(p)
        return z.flatten(3)

    def kl(self, posterior: Posterior, z: Tensor) -> Tensor:
        """Per latent: exact over its own categories, the mean over draws of the earlier ones."""
        if not isinstance(posterior, CategoricalLatents):
            return super().kl(posterior, z)
        log_q = posterior.log_probs[:, None]
        return (log_q.exp() * (log_q - self._log_probs(z))).sum(-1).mean(1)


class AutoregressivePrior(LatentPrior):
    """A masked network for each member, learned with the model.

    Args:
        members: K.
        latents: L.
        categories: C.
        generator: source of the weights.

    Reference: Germain et al. (2015), MADE; van den Oord, Vinyals, Kavukcuoglu (2017), Neural
        Discrete Representation Learning, section 3.3 (an autoregressive prior of codes).
    """

    def __init__(
        self, members: int, latents: int, categories: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.shape = (members, latents, categories)
        self.network = MaskedMLP(members, latents, categories, HIDDEN, generator)
        # every code is as likely as every other before training
        torch.nn.init.zeros_(self.network.last.weight)

    def distribution(self, encode: Encode) -> Autoregressive:
        return Autoregressive(self.network, *self.shape)
