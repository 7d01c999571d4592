"""Bernoulli likelihood: binary cross-entropy for data that is binary."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .base import Likelihood

# An event never seen in training must not cost hundreds of nats: 16 nats is one in nine million.
LARGEST_LOGIT = 16.0


class Bernoulli(Likelihood):
    """p(x=1|z) = sigmoid(decoder output), logits within ±16.

    Args:
        columns: binary columns in the block.
    """

    def __init__(self, columns: int) -> None:
        super().__init__(columns, columns, columns)

    def log_prob(self, parameters: Tensor, x: Tensor, members: slice = slice(None)) -> Tensor:
        logits = parameters.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        return x * logits - softplus(logits)

    def mean(self, parameters: Tensor) -> Tensor:
        return torch.sigmoid(parameters.clamp(-LARGEST_LOGIT, LARGEST_LOGIT))

    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        # ½‖onehot − p‖² over the two values
        return (x - self.mean(parameters)).square()

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(parameters.shape, generator=generator, device=parameters.device)
        return (uniform < self.mean(parameters)).to(parameters.dtype)
