"""The variational autoencoder with a Gaussian latent."""

from __future__ import annotations

import torch
from torch import Tensor

from ..columns import Layout
from ..latents import DiagonalGaussian
from .base import Model, ModelConfig


class VAE(Model):
    """q(z|x) diagonal Gaussian, p(z) = N(0, I) unless the config says otherwise.

    Also known as β-VAE when the training objective weighs the KL with β ≠ 1.

    Args:
        layout: of the encoded rows.
        config: shape.
        seed: of the initial weights and of the fixed draws.

    Reference: Kingma, Welling (2014); Higgins et al. (2017) for β.
    """

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__(layout, config, seed)
        generator = torch.Generator().manual_seed(seed)
        latent = config.latent_dim_for(layout)
        self.build(layout, config, generator, posterior=2 * latent)
        self.keep_draws(config.draws, latent, seed)

    def encode(self, x: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.from_outputs(self.encoder_outputs(x))
