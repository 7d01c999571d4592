"""Posterior of a ladder of latents: each layer given the one above it.

Legend: K members, S draws, N rows, M = S · N rows and draws in one, L width of a code: all layers
side by side, the one that the decoder reads first, the top one last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .gaussian import DiagonalGaussian

# p(z_t | z_t+1): the layer above (K, M, ·) and whose networks, to the outputs of a Gaussian
Step = Callable[[Tensor, slice], Tensor]


class Ladder:
    """q(z|x) = q(z_T|x) Π_t q(z_t | z_t+1, x).

    What x says about a layer and what the layer above says of it are both Gaussian; the posterior
    is their product, normalised: means weigh by their precision.

    Args:
        evidence: what x says about each of the T layers, (K, N, ·).
        steps: the T − 1 networks of p(z_t | z_t+1), shared with the prior.
        members: which of the networks' members these are.

    Reference: Sønderby, Raiko, Maaløe, Sønderby, Winther (2016), Ladder variational autoencoders,
        section 2.
    """

    def __init__(
        self,
        evidence: Sequence[DiagonalGaussian],
        steps: Sequence[Step],
        members: slice = slice(None),
    ) -> None:
        self.evidence, self.steps, self.members = tuple(evidence), tuple(steps), members

    @property
    def widths(self) -> list[int]:
        return [layer.mu.shape[-1] for layer in self.evidence]

    @property
    def top(self) -> DiagonalGaussian:
        """q(z_T|x)."""
        return self.evidence[-1]

    @property
    def mu(self) -> Tensor:
        """From the top down, each layer at its mean given the mean above."""
        return self.rsample(self.top.mu.new_zeros(1, 1, sum(self.widths)))[:, 0]

    def of(self, members: slice) -> Ladder:
        """The posteriors of some of all members."""
        return Ladder([layer.of(members) for layer in self.evidence], self.steps, members)

    def rsample(self, noise: Tensor) -> Tensor:
        members, rows, _ = self.top.mu.shape
        draws = noise.shape[-3]
        noise = noise.expand(members, draws, rows, -1).flatten(1, 2)
        *lower, last = noise.split(self.widths, dim=-1)
        z = [_draw(_spread(self.top, draws), last)]
        for t in reversed(range(len(lower))):
            q, _ = self._layer(t, z[0], draws)
            z.insert(0, _draw(q, lower[t]))
        return torch.cat(z, dim=-1).unflatten(1, (draws, rows))

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) per latent, nats; z (K, S, N, L)."""
        parts = [q.log_prob(own) for own, q, _ in self.layers(z)]
        *_, last = z.split(self.widths, dim=-1)
        flat = [part[:, 0].unflatten(1, z.shape[1:3]) for part in parts]
        return torch.cat([*flat, self.top.log_prob(last)], dim=-1)

    def layers(self, z: Tensor) -> list[tuple[Tensor, DiagonalGaussian, DiagonalGaussian]]:
        """Of each layer but the top one, for codes z (K, S, N, L): the layer's own latents
        (K, 1, M, ·), q(z_t | z_t+1, x) and p(z_t | z_t+1), (K, M, ·) each."""
        layers = z.flatten(1, 2).split(self.widths, dim=-1)
        return [
            (layers[t][:, None], *self._layer(t, layers[t + 1], z.shape[1]))
            for t in range(len(self.steps))
        ]

    def _layer(
        self, t: int, above: Tensor, draws: int
    ) -> tuple[DiagonalGaussian, DiagonalGaussian]:
        """q and p of layer t, given the latents above (K, M, ·)."""
        p = below(self.steps[t], above, self.members)
        return _product(_spread(self.evidence[t], draws), p), p


def below(step: Step, above: Tensor, members: slice = slice(None)) -> DiagonalGaussian:
    """p(z_t | z_t+1) for latents above (K, M, ·)."""
    return DiagonalGaussian.from_outputs(step(above, members).float())


def _product(a: DiagonalGaussian, b: DiagonalGaussian) -> DiagonalGaussian:
    """The Gaussian in proportion to the product of two densities."""
    logvar = -torch.logaddexp(-a.logvar, -b.logvar)
    # in log-precisions, so that weights sum to 1 however small the variances
    weight = torch.sigmoid(b.logvar - a.logvar)
    return DiagonalGaussian(weight * a.mu + (1 - weight) * b.mu, logvar)


def _spread(gaussian: DiagonalGaussian, draws: int) -> DiagonalGaussian:
    """(K, N, ·) for every draw: (K, S · N, ·)."""
    return DiagonalGaussian(*(part.repeat(1, draws, 1) for part in gaussian))


def _draw(gaussian: DiagonalGaussian, noise: Tensor) -> Tensor:
    """One draw each: (K, M, ·) from noise (K, M, ·)."""
    return gaussian.rsample(noise[:, None])[:, 0]
