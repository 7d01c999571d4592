"""What a model is: encoder → latent → decoder → likelihood.

Legend: K members, S draws, N rows, W encoded width, L latents, P decoder outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from ..columns import Layout
from ..latents import Posterior
from ..likelihoods import Mixed


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a model.

    Attributes:
        variant: key of `MODELS`.
        members: K networks trained side by side; scores are means over them.
        latent_dim: L; None chooses from the number of encoded columns.
        hidden: widths of the hidden layers (multiples of 8), encoder order.
        draws: S points for E_q in scores; 1 or even.
        learned_variance: learn each numeric column's variance; False fixes it at 1 (MSE).
    """

    variant: str = "vae"
    members: int = 4
    latent_dim: int | None = None
    hidden: tuple[int, ...] = (128, 128)
    draws: int = 4
    learned_variance: bool = True

    def latent_dim_for(self, layout: Layout) -> int:
        """L: as given, else half the columns' encoded width within 2 … 24."""
        if self.latent_dim is not None:
            return self.latent_dim
        return max(2, min(24, layout.mask.stop // 2))


class Model(nn.Module, ABC):
    """One variant of the family.

    Attributes:
        has_elbo: whether the model defines a bound on log p(x).
        members: K.
        likelihood: p(x|z) of a row.
        draws: (S, L) the fixed points that every score uses.
    """

    has_elbo: bool
    members: int
    likelihood: Mixed
    draws: Tensor

    @abstractmethod
    def encode(self, x: Tensor) -> Posterior:
        """q(z|x) for x (1 or K, N, W)."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Likelihood parameters (K, S, N, P) for z (K, S, N, L)."""
