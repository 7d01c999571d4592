"""The VAE-GAN: a VAE whose rows must also pass for real before a discriminator."""

from __future__ import annotations

from ..adversary import Adversary
from ..columns import Layout
from .base import ModelConfig
from .vae import VAE


class VAEGAN(VAE):
    """A VAE in all that it answers; in training an adversarial term stands beside the ELBO.

    The discriminator judges rows while training and has no part in any score, so a saved model
    goes without it: bound, scores and calibration are those of a VAE.

    Reference: Larsen, Sønderby, Larochelle, Winther (2016), Autoencoding beyond pixels using a
        learned similarity metric.
    """

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__(layout, config, seed)
        self.layout, self.config = layout, config

    def adversary(self, seed: int) -> Adversary:
        return Adversary(self.layout, self.config, seed, self.draws.device)
