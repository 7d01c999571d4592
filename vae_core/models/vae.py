"""The variational autoencoder with a Gaussian latent and a standard normal prior."""

from __future__ import annotations

import torch
from torch import Tensor

from ..columns import Layout
from ..latents import DiagonalGaussian, quasi_normal_draws
from .base import Model, ModelConfig, bend


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
        self.build_mlps(layout, config, generator, posterior_width=2)
        draws = quasi_normal_draws(config.draws, config.latent_dim_for(layout), seed)
        self.register_buffer("draws", draws)

    def encode(self, x: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.from_outputs(self.encoder(bend(x, self.likelihood.layout.numeric)))
