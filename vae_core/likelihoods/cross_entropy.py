"""Binary cross-entropy of grey values: a loss that many use, and no likelihood."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .base import Likelihood

# An event never seen in training must not cost hundreds of nats: 16 nats is one in nine million.
LARGEST_LOGIT = 16.0


class CrossEntropy(Likelihood):
    """x log p + (1 − x) log(1 − p), p = sigmoid(decoder output), for x in [0, 1].

    Its exponential does not integrate to 1 over [0, 1], so it is a score, but there is no NLL, no
    bits per dimension, and no comparison with a model of another likelihood. The density that
    repairs it is `ContinuousBernoulli`; of 0 and 1 alone it is a probability, `Bernoulli`.

    Args:
        columns: columns in the block, values in [0, 1].

    Reference: Loaiza-Ganem, Cunningham (2019), section 2.
    """

    density = False
    discrete = False

    def __init__(self, columns: int) -> None:
        super().__init__(columns, columns, columns)

    def log_prob(self, parameters: Tensor, x: Tensor, members: slice = slice(None)) -> Tensor:
        logits = parameters.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        return x * logits - softplus(logits)

    def mean(self, parameters: Tensor) -> Tensor:
        return torch.sigmoid(parameters.clamp(-LARGEST_LOGIT, LARGEST_LOGIT))

    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        return (x - self.mean(parameters)).square()

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """The mean: what is no density cannot be drawn from."""
        return self.mean(parameters)
