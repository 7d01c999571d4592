"""The variational autoencoder with a Gaussian latent and a standard normal prior."""

from __future__ import annotations

import torch
from torch import Tensor

from ..columns import Layout
from ..latents import DiagonalGaussian, quasi_normal_draws
from ..likelihoods import Mixed
from ..networks import MLP
from .base import Model, ModelConfig

# The encoder sees large values bent, x ↦ x inside and logarithmic outside; the likelihood sees
# them as they are. Without it one absurd cell saturates the whole latent.
ENCODER_KNEE = 10.0


def bend(x: Tensor, numeric: int) -> Tensor:
    """Rows x (…, W) with their first `numeric` cells bent."""
    if not numeric:
        return x
    bent = ENCODER_KNEE * torch.asinh(x[..., :numeric] / ENCODER_KNEE)
    return torch.cat([bent, x[..., numeric:]], dim=-1)


class VAE(Model):
    """p(z) = N(0, I), q(z|x) diagonal Gaussian, both networks MLPs.

    Also known as β-VAE when the training objective weighs the KL with β ≠ 1.

    Args:
        layout: of the encoded rows.
        config: shape.
        seed: of the initial weights and of the fixed draws.

    Reference: Kingma, Welling (2014); Higgins et al. (2017) for β.
    """

    has_elbo = True

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        latent = config.latent_dim_for(layout)
        self.members = config.members
        self.likelihood = Mixed(layout, config.members, learned_variance=config.learned_variance)
        self.encoder = MLP(config.members, [layout.width, *config.hidden, 2 * latent], generator)
        outputs = self.likelihood.parameter_width
        self.decoder = MLP(config.members, [latent, *reversed(config.hidden), outputs], generator)
        self.register_buffer("draws", quasi_normal_draws(config.draws, latent, seed))

    def encode(self, x: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.from_outputs(self.encoder(bend(x, self.likelihood.layout.numeric)))

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z.flatten(1, 2)).unflatten(1, z.shape[1:3])
