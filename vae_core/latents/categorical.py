"""Categorical posterior q(z|x): latents that take one of a few values.

Legend: K members, N rows, L latents, C categories of each, S draws. A code is L · C wide: the
one-hot vectors of the latents side by side.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class CategoricalLatents(NamedTuple):
    """q(z|x) = Π_l Cat(z_l; p_l).

    Attributes:
        log_probs: (K, N, L, C) normalised, nats.
        temperature: of relaxed draws, > 0; smaller is closer to one-hot codes and its gradients
            vary more.
        hard: draws are one-hot.
        straight_through: hard draws have a gradient, see `rsample`; else they have none.
    """

    log_probs: Tensor
    temperature: float
    hard: bool
    straight_through: bool = False

    @property
    def mu(self) -> Tensor:
        """(K, N, L·C) probabilities."""
        return self.log_probs.exp().flatten(2)

    def of(self, members: slice) -> CategoricalLatents:
        """The posteriors of some of the members."""
        return self._replace(log_probs=self.log_probs[members])

    def rsample(self, noise: Tensor) -> Tensor:
        """z (K, S, N, L·C) by Gumbel's trick; relaxed draws lie inside the simplex.

        The gradient of hard draws is ReinMax's, an estimate of second order: its expectation is
        the exact gradient of E[f(z)] wherever f is quadratic in each latent.

        Args:
            noise: broadcastable to (K, S, N, L·C), standard normal: Φ makes it uniform, as shared
                quasi-random draws need.

        Reference: Jang, Gu, Poole (2017), Categorical reparameterization with Gumbel-softmax,
            eq. 1, 2; Maddison, Mnih, Teh (2017), The concrete distribution, section 3; Liu, Dong,
            Liu, Yu, Gao (2023), Bridging discrete and backpropagation: straight-through and
            beyond, algorithm 2 (ReinMax).
        """
        uniform = noise.unflatten(-1, self.log_probs.shape[-2:])
        gumbel = -torch.log(-torch.special.log_ndtr(uniform))
        perturbed = self.log_probs[:, None] + gumbel
        if not self.hard:
            return torch.softmax(perturbed / self.temperature, dim=-1).flatten(3)
        drawn = _winners(perturbed)
        if not self.straight_through:
            return drawn.flatten(3)
        carrier = self._carrier(drawn)
        return (drawn + (carrier - carrier.detach())).flatten(3)

    def _carrier(self, drawn: Tensor) -> Tensor:
        """What lends hard draws (K, S, N, L, C) its gradient: 2 softmax(log (z + p) / 2) − p / 2,
        the softmax as a function of the logits about the draw."""
        log_probs = self.log_probs[:, None]
        p = log_probs.exp()
        middle = (0.5 * (drawn + p)).log().detach()
        moved = torch.softmax(middle + log_probs - log_probs.detach(), dim=-1)
        return 2 * moved - 0.5 * p

    def kl(self) -> Tensor:
        """KL(q(z|x) ‖ uniform) per latent, nats: (K, N, L), between 0 and log C."""
        categories = self.log_probs.shape[-1]
        return math.log(categories) + (self.log_probs.exp() * self.log_probs).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) of one-hot codes z (K, S, N, L·C), per latent: (K, S, N, L) nats."""
        return (z.unflatten(-1, self.log_probs.shape[-2:]) * self.log_probs[:, None]).sum(-1)


def _winners(scores: Tensor) -> Tensor:
    """One-hot of the largest of the last dimension."""
    return one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)
