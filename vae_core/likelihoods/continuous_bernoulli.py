"""Continuous Bernoulli likelihood: the cross-entropy of grey values made a density.

Legend: η natural parameter (a logit), h = η / 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import Likelihood
from .cross_entropy import LARGEST_LOGIT

# |h| below which series replace formulas that divide 0 by 0
SMALL = 0.5


class ContinuousBernoulli(Likelihood):
    """p(x|z) = exp(ηx) · η / (exp(η) − 1) on [0, 1], η the decoder output, within ±16.

    Args:
        columns: columns in the block, values in [0, 1].

    Reference: Loaiza-Ganem, Cunningham (2019), The continuous Bernoulli: fixing a pervasive error
        in variational autoencoders, eq. 6–8.
    """

    discrete = False

    def __init__(self, columns: int) -> None:
        super().__init__(columns, columns, columns)

    def log_prob(self, parameters: Tensor, x: Tensor, members: slice = slice(None)) -> Tensor:
        eta = parameters.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        # η / (exp(η) − 1) = exp(−h) · h / sinh(h)
        return eta * (x - 0.5) - _log_sinhc(0.5 * eta)

    def mean(self, parameters: Tensor) -> Tensor:
        eta = parameters.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        return 0.5 + 0.5 * _langevin(0.5 * eta)

    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        return (x - self.mean(parameters)).square()

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """By the inverse of the distribution function, log(1 + u (exp(η) − 1)) / η."""
        eta = parameters.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        uniform = torch.rand(eta.shape, generator=generator, device=eta.device)
        size = eta.abs()
        steep = size > 1e-3
        safe = torch.where(steep, size, 1.0)
        drawn = torch.where(steep, torch.log1p(uniform * torch.expm1(safe)) / safe, uniform)
        return torch.where(eta < 0, 1.0 - drawn, drawn)


def _log_sinhc(h: Tensor) -> Tensor:
    """log(sinh(h) / h), an even function, 0 at 0; values and gradients finite everywhere."""
    size = h.abs()
    small = size < SMALL
    # the branch not taken must not divide by 0 either: its gradient would be NaN times 0
    far = torch.where(small, 1.0, size)
    exact = far + torch.log1p(-torch.exp(-2.0 * far)) - math.log(2.0) - far.log()
    square = torch.where(small, h, 0.0).square()
    series = square * (1 / 6 - square * (1 / 180 - square / 2835))
    return torch.where(small, series, exact)


def _langevin(h: Tensor) -> Tensor:
    """coth(h) − 1/h, the derivative of `_log_sinhc`."""
    small = h.abs() < SMALL
    far = torch.where(small, 1.0, h)
    exact = 1.0 / torch.tanh(far) - 1.0 / far
    square = h.square()
    series = h * (1 / 3 - square * (1 / 45 - square * (2 / 945 - square / 4725)))
    return torch.where(small, series, exact)
