"""The VAE-GAN: a VAE whose rows must also pass for real before a discriminator."""

from __future__ import annotations

import torch

from ..adversary import Adversary
from ..columns import Layout
from ..latents import DiagonalGaussian
from .base import Model, ModelConfig


class VAEGAN(Model):
    """A VAE in all that it answers; in training an adversarial term stands beside the ELBO.

    The discriminator judges rows while training and has no part in any score, so a saved model
    goes without it: bound, scores and calibration are those of a VAE.

    Reference: Larsen, Sønderby, Larochelle, Winther (2016), Autoencoding beyond pixels using a
        learned similarity metric.
    """

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__(layout, config, seed)
        generator = torch.Generator().manual_seed(seed)
        latent = config.latent_dim_for(layout)
        self.layout, self.config = layout, config
        self.build(layout, config, generator, posterior=2 * latent)
        self.keep_draws(config.draws, latent, seed)

    def encode(self, x: torch.Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.from_outputs(self.encoder_outputs(x))

    def adversary(self, seed: int) -> Adversary:
        return Adversary(self.layout, self.config, seed, self.draws.device)
