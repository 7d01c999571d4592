"""No prior: what a plain autoencoder has."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from ..latents import Posterior
from .base import Prior


class Nothing(Prior):
    """Charges no KL and draws nothing."""

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.zeros_like(z)

    def sample(self, count: int, generator: torch.Generator) -> NoReturn:
        raise ValueError("a model without prior cannot generate rows")

    def kl(self, posterior: Posterior, z: Tensor) -> Tensor:
        return torch.zeros_like(posterior.mu)
