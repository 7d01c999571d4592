"""Gaussian likelihood, with a variance learned per feature or fixed."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .base import Likelihood

LOG_2PI = math.log(2 * math.pi)


class Gaussian(Likelihood):
    """N(x; decoder output, σ_d²), one σ_d per feature and member.

    With `learned=False` σ is 1: the mean-squared-error loss as what it is, −log p up to ½log 2π.

    Args:
        columns: numeric columns in the block.
        members: K.
        learned: learn log σ² (the σ-VAE), else hold it at 0.
        shared: one σ for all features, as for the pixels of a picture.
        bounds: log σ² stays between them (nats); a feature at the lower bound is reported.
        start: of log σ².
        pace: how many times faster than the weights log σ² is learned.

    Reference: Rybkin, Daniilidis, Levine (2021), Simple and Effective VAE Training with
        Calibrated Decoders, eq. 5.
    """

    discrete = False

    def __init__(
        self,
        columns: int,
        members: int,
        *,
        learned: bool = True,
        shared: bool = False,
        bounds: tuple[float, float] = (-6.0, 4.0),
        start: float = 0.0,
        pace: float = 1.0,
    ) -> None:
        super().__init__(columns, columns, columns)
        self.bounds, self.start, self.pace = bounds, start, pace
        scales = 1 if shared else columns
        self.raw_log_variance = nn.Parameter(torch.zeros(members, scales), requires_grad=learned)

    @property
    def log_variance(self) -> Tensor:
        """(K, 1, 1, D or 1) nats, within bounds."""
        log_variance: Tensor = self.raw_log_variance
        if (self.start, self.pace) != (0.0, 1.0):
            log_variance = self.start + self.pace * log_variance
        return log_variance.clamp(*self.bounds)[:, None, None, :]

    def log_prob(self, parameters: Tensor, x: Tensor, members: slice = slice(None)) -> Tensor:
        log_variance = self.log_variance
        if members != slice(None):
            log_variance = log_variance[members]
        weight = -0.5 * torch.exp(-log_variance)
        return torch.addcmul(-0.5 * (log_variance + LOG_2PI), weight, (x - parameters).square())

    def mean(self, parameters: Tensor) -> Tensor:
        return parameters

    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        return (x - parameters).square()

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(parameters.shape, generator=generator, device=parameters.device)
        return parameters + noise * torch.exp(0.5 * self.log_variance)
