"""What a likelihood p(x|z) must answer.

Legend: parameters come from a decoder as (K, S, N, P): K members, S draws of z, N rows; data as
(1 or K, 1, N, W); terms leave as (K, S, N, C), one per source column.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Likelihood(nn.Module, ABC):
    """p(x|z) of a block of source columns.

    Attributes:
        width: encoded columns of the block.
        parameter_width: decoder outputs it reads.
        columns: source columns, C.
        density: whether `log_prob` is a normalised log-probability, so that values can be compared
            between models.
        discrete: whether it is a probability of values rather than a density over their range.
    """

    density: bool = True
    discrete: bool = True

    def __init__(self, width: int, parameter_width: int, columns: int) -> None:
        super().__init__()
        self.width = width
        self.parameter_width = parameter_width
        self.columns = columns

    @abstractmethod
    def log_prob(self, parameters: Tensor, x: Tensor, members: slice = slice(None)) -> Tensor:
        """log p(x|z) in nats, every constant included: (K, S, N, C).

        With `members`, the parameters are those of some of the K only.
        """

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """E[x|z]: (K, S, N, width); probabilities for binary and categorical columns."""

    @abstractmethod
    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Squared distance of x to the mean, in scaled units: (K, S, N, C)."""

    @abstractmethod
    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of x|z: (K, S, N, width)."""
