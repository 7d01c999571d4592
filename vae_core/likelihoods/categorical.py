"""Categorical likelihood for one column of named categories."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot, softmax

from .base import Likelihood

NEVER = -1e4  # a logit whose probability is 0, and whose gradient too


class Categorical(Likelihood):
    """p = (1 − ε) softmax(decoder output) + ε / C.

    The ε share keeps a category that training never saw at a rare but finite probability, so
    that it scores as rare and one odd cell cannot drown all other columns.

    Args:
        categories: C, the bucket of unseen categories included, which is the first.
        closed: training saw none of the bucket, so that nothing teaches a network how seldom it
            is: the ε share is all it has.
        smoothing: ε in (0, 1).
    """

    bar: Tensor | None

    def __init__(self, categories: int, closed: bool = False, smoothing: float = 1e-4) -> None:
        super().__init__(categories, categories, 1)
        self.smoothing = smoothing
        bar = torch.tensor([NEVER] + [0.0] * (categories - 1)) if closed else None
        self.register_buffer("bar", bar, persistent=False)

    def log_prob(self, parameters: Tensor, x: Tensor, members: slice = slice(None)) -> Tensor:
        chosen = (x * log_softmax(self._logits(parameters), dim=-1)).sum(-1, keepdim=True)
        floor = torch.full((), math.log(self.smoothing / self.width), device=x.device)
        return torch.logaddexp(chosen + math.log1p(-self.smoothing), floor)

    def mean(self, parameters: Tensor) -> Tensor:
        kept = (1.0 - self.smoothing) * softmax(self._logits(parameters), dim=-1)
        return kept + self.smoothing / self.width

    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        return 0.5 * (x - self.mean(parameters)).square().sum(-1, keepdim=True)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        p = self.mean(parameters)
        drawn = torch.multinomial(p.reshape(-1, self.width), 1, generator=generator)
        return one_hot(drawn[:, 0], self.width).to(p.dtype).reshape(p.shape)

    def _logits(self, parameters: Tensor) -> Tensor:
        return parameters if self.bar is None else parameters + self.bar
