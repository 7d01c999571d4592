"""Student-t likelihood, its scale and degrees of freedom learned per feature: for heavy tails."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .base import Likelihood

# log of ν − 2: a variance exists, and beyond ν = 200 it is a Gaussian to every eye
TAIL_BOUNDS = (math.log(0.1), math.log(200.0))
TAIL_START = math.log(8.0)


class StudentT(Likelihood):
    """t_ν(x; decoder output, σ_d), one scale and one ν > 2 per feature and member.

    A far value costs (ν + 1) log |x − μ| nats instead of its square: a few extreme rows neither
    draw the model to themselves nor widen the scale of all others. Where tails are light ν grows,
    and what is left is the Gaussian. The scale σ is not the standard deviation, which is
    σ √(ν / (ν − 2)).

    Args:
        columns: numeric columns in the block.
        members: K.
        learned: learn σ, else hold it at 1; ν is learned always.
        bounds: log σ² stays between them (nats); a feature at the lower bound is reported.

    Reference: Takahashi, Iwata, Yamanaka, Yamada, Yagi (2018), Student-t variational autoencoder
        for robust density estimation, eq. 7; Lange, Little, Taylor (1989) for estimating ν.
    """

    discrete = False

    def __init__(
        self,
        columns: int,
        members: int,
        *,
        learned: bool = True,
        bounds: tuple[float, float] = (-6.0, 4.0),
    ) -> None:
        super().__init__(columns, columns, columns)
        self.bounds = bounds
        self.raw_log_variance = nn.Parameter(torch.zeros(members, columns), requires_grad=learned)
        self.raw_tail = nn.Parameter(torch.zeros(members, columns))

    @property
    def log_variance(self) -> Tensor:
        """(K, 1, 1, D) log σ², nats, within bounds."""
        return self.raw_log_variance.clamp(*self.bounds)[:, None, None, :]

    @property
    def degrees(self) -> Tensor:
        """(K, 1, 1, D) ν, between 2.1 and 202."""
        return 2.0 + (TAIL_START + self.raw_tail).clamp(*TAIL_BOUNDS).exp()[:, None, None, :]

    def log_prob(self, parameters: Tensor, x: Tensor, members: slice = slice(None)) -> Tensor:
        log_variance, nu = self.log_variance[members], self.degrees[members]
        scaled = (x - parameters).square() * torch.exp(-log_variance)
        constant = torch.lgamma(0.5 * (nu + 1)) - torch.lgamma(0.5 * nu)
        constant = constant - 0.5 * (torch.log(math.pi * nu) + log_variance)
        return constant - 0.5 * (nu + 1) * torch.log1p(scaled / nu)

    def mean(self, parameters: Tensor) -> Tensor:
        return parameters

    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        return (x - parameters).square()

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """By the polar method: no gamma variates, which take no generator.

        Reference: Bailey (1994), Polar generation of random variates with the t-distribution.
        """
        radius, angle = (
            torch.rand(parameters.shape, generator=generator, device=parameters.device)
            for _ in range(2)
        )
        # 1 − u lies in (0, 1]
        nu = self.degrees
        squared = nu * torch.expm1(-2.0 / nu * torch.log1p(-radius))
        t = squared.sqrt() * torch.cos(2 * math.pi * angle)
        return parameters + t * torch.exp(0.5 * self.log_variance)
