"""Bernoulli likelihood: binary cross-entropy for data that is binary."""

from __future__ import annotations

import torch
from torch import Tensor

from .cross_entropy import CrossEntropy


class Bernoulli(CrossEntropy):
    """p(x=1|z) = sigmoid(decoder output), logits within ±16.

    Its squared error is ½‖onehot − p‖² over the two values.

    Args:
        columns: binary columns in the block.
    """

    density = True
    discrete = True

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(parameters.shape, generator=generator, device=parameters.device)
        return (uniform < self.mean(parameters)).to(parameters.dtype)
