"""Expectation–maximisation for mixtures of Gaussians with diagonal covariances.

Legend: N points, L dimensions, M components.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

STEPS = 200
TOLERANCE = 1e-4  # nats per point
LEAST_VARIANCE = 1e-4
# share of the points that judge the number of components
HELD_OUT = 0.2
# weight, in points, of the variance of all points round each mean: no component closes in on one
PRIOR_POINTS = 1.0


class Gaussians(NamedTuple):
    """A mixture: log-weights (M,), means and log-variances (M, L)."""

    log_weights: Tensor
    mu: Tensor
    logvar: Tensor

    def joint(self, z: Tensor) -> Tensor:
        """log w_m + log N(z; m), nats, (N, M) for z (N, L); cancels little in float64."""
        precision = torch.exp(-self.logvar)
        squares = z.square() @ precision.T - 2 * z @ (self.mu * precision).T
        squares = squares + (self.mu.square() * precision).sum(-1)
        constant = self.logvar.sum(-1) + self.mu.shape[1] * math.log(2 * math.pi)
        return self.log_weights - 0.5 * (squares + constant)


def best_mixture(z: Tensor, most: int, generator: torch.Generator) -> Gaussians:
    """The mixture of 1, 2, 4, … ≤ `most` components under which held-out points are likeliest.

    Args:
        z: (N, L) float64 points in random order.
        most: components at most.
        generator: of the first means, on the points' device.

    Returns:
        That many components, fitted to all points.
    """
    held_out = int(HELD_OUT * len(z))
    judged, learned = z[:held_out], z[held_out:]
    best, found = -math.inf, 1
    count = 1
    while held_out and count <= min(most, len(learned) // 2):
        candidate = fit_mixture(learned, count, generator)
        value = float(torch.logsumexp(candidate.joint(judged), dim=1).mean())
        if value <= best:
            break
        best, found = value, count
        count *= 2
    return fit_mixture(z, found, generator)


def fit_mixture(z: Tensor, components: int, generator: torch.Generator) -> Gaussians:
    """Maximum a posteriori by EM from spread-out points.

    Args:
        z: (N, L) float64, N ≥ components.
        components: M.
        generator: of the first means, on the points' device.

    Reference: Dempster, Laird, Rubin (1977); Arthur, Vassilvitskii (2007), k-means++ (the start).
    """
    variance = z.var(dim=0, correction=0).clamp_min(LEAST_VARIANCE)
    mixture = Gaussians(
        torch.full((components,), -math.log(components), dtype=z.dtype, device=z.device),
        z[_spread(z / variance.sqrt(), components, generator)],
        variance.log().expand(components, -1),
    )
    before = -math.inf
    for _ in range(STEPS):
        joint = mixture.joint(z)
        evidence = torch.logsumexp(joint, dim=1, keepdim=True)
        mixture = _maximise(z, torch.exp(joint - evidence), variance)
        now = float(evidence.mean())
        if now - before < TOLERANCE:
            break
        before = now
    return mixture


def _maximise(z: Tensor, shares: Tensor, spread: Tensor) -> Gaussians:
    """The M step, shares (N, M); each component starts with a point's worth of the whole spread."""
    weight = shares.sum(0) + 1e-9
    mu = (shares.T @ z) / weight[:, None]
    squares = (shares.T @ z.square()) / weight[:, None] - mu.square()
    variance = (weight[:, None] * squares.clamp_min(0.0) + PRIOR_POINTS * spread) / (
        weight[:, None] + PRIOR_POINTS
    )
    log_weights = torch.log(weight / weight.sum())
    return Gaussians(log_weights, mu, variance.clamp_min(LEAST_VARIANCE).log())


def _spread(z: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of points, each drawn in proportion to its squared distance to those before it."""
    first = torch.randint(len(z), (1,), generator=generator, device=z.device)
    chosen, nearest = [first], (z - z[first]).square().sum(1)
    for _ in range(count - 1):
        following = torch.multinomial(nearest + 1e-12, 1, generator=generator)
        chosen.append(following)
        nearest = torch.minimum(nearest, (z - z[following]).square().sum(1))
    return torch.cat(chosen)
