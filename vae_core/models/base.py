"""What a model is: encoder → latent → decoder → likelihood.

Legend: K members, S draws, N rows, W encoded width, L latents, P decoder outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..columns import Layout
from ..latents import Posterior
from ..likelihoods import Mixed
from ..networks import MLP


class Roles(NamedTuple):
    """Which members answer for what.

    Attributes:
        generative: trained for the ELBO; theirs are `elbo`, the latent and generated rows.
        denoising: trained to undo noise, with a light KL; theirs is the reconstruction.
    """

    generative: slice
    denoising: slice


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a model.

    Attributes:
        variant: key of `MODELS`.
        members: K networks trained side by side; scores are means over them.
        denoisers: how many of them, the last ones, learn to denoise; None: half of them, 0: every
            member plays both roles.
        latent_dim: L; None: as many as encoded columns, within 2 … 24.
        hidden: widths of the hidden layers (multiples of 8), encoder order.
        draws: S points for E_q in scores; 1 or even.
        learned_variance: learn each numeric column's variance; False fixes it at 1 (MSE).
    """

    variant: str = "vae"
    members: int = 4
    denoisers: int | None = None
    latent_dim: int | None = None
    hidden: tuple[int, ...] = (128, 128)
    draws: int = 4
    learned_variance: bool = True

    def latent_dim_for(self, layout: Layout) -> int:
        """L: as given, else the columns' encoded width within 2 … 24."""
        if self.latent_dim is not None:
            return self.latent_dim
        return max(2, min(24, layout.mask.stop))

    @property
    def roles(self) -> Roles:
        """Who of the K members does what.

        Raises:
            ValueError: no member would be left for the ELBO.
        """
        denoisers = self.members // 2 if self.denoisers is None else self.denoisers
        if not 0 <= denoisers < self.members:
            raise ValueError(
                f"denoisers must be at least 0 and fewer than the {self.members} members, "
                f"got {denoisers}"
            )
        everyone = slice(0, self.members)
        if denoisers == 0:
            return Roles(everyone, everyone)
        first = self.members - denoisers
        return Roles(slice(0, first), slice(first, self.members))


class Model(nn.Module, ABC):
    """One variant of the family.

    Attributes:
        has_elbo: whether the model defines a bound on log p(x).
        members: K.
        roles: who of them does what.
        likelihood: p(x|z) of a row.
        draws: (S, L) the fixed points that every score uses.
    """

    has_elbo: bool
    draws: Tensor

    members: int
    roles: Roles
    likelihood: Mixed

    def build_mlps(
        self, layout: Layout, config: ModelConfig, generator: torch.Generator, posterior_width: int
    ) -> None:
        """Likelihood and both networks; the encoder gives `posterior_width` numbers per latent."""
        self.members, self.roles = config.members, config.roles
        latent = config.latent_dim_for(layout)
        self.likelihood = Mixed(layout, config.members, learned_variance=config.learned_variance)
        inputs, outputs = layout.width, self.likelihood.parameter_width
        self.encoder = MLP(
            config.members, [inputs, *config.hidden, posterior_width * latent], generator
        )
        self.decoder = MLP(config.members, [latent, *reversed(config.hidden), outputs], generator)

    @abstractmethod
    def encode(self, x: Tensor) -> Posterior:
        """q(z|x) for x (1 or K, N, W)."""

    def decode(self, z: Tensor) -> Tensor:
        """Likelihood parameters (K, S, N, P) for z (K, S, N, L)."""
        return self.decoder(z.flatten(1, 2)).unflatten(1, z.shape[1:3])


# The encoder sees large values bent, x ↦ x inside and logarithmic outside; the likelihood sees
# them as they are. Without it one absurd cell saturates the whole latent.
ENCODER_KNEE = 10.0


def bend(x: Tensor, numeric: int) -> Tensor:
    """Rows x (…, W) with their first `numeric` cells bent."""
    if not numeric:
        return x
    bent = ENCODER_KNEE * torch.asinh(x[..., :numeric] / ENCODER_KNEE)
    return torch.cat([bent, x[..., numeric:]], dim=-1)
