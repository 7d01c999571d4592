"""The plain autoencoder: the deterministic baseline, without prior, KL or ELBO."""

from __future__ import annotations

import torch
from torch import Tensor

from ..columns import Layout
from ..latents import Point
from ..priors import Nothing
from .base import Model, ModelConfig


class Autoencoder(Model):
    """x → z → x with a bottleneck of L numbers; it scores without an ELBO."""

    has_elbo = False
    priors = ("normal",)  # the default, which nothing reads
    gaussian = False

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__(layout, config, seed)
        generator = torch.Generator().manual_seed(seed)
        latent = config.latent_dim_for(layout)
        self.build(layout, config, generator, posterior=latent)
        self.keep_draws(1, latent, seed)

    def encode(self, x: Tensor) -> Point:
        return Point(self.encoder_outputs(x))

    def prior(self, x: Tensor | None = None) -> Nothing:
        return Nothing()
