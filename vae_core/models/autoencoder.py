"""The plain autoencoder: the deterministic baseline, without prior, KL or ELBO."""

from __future__ import annotations

import torch
from torch import Tensor

from ..columns import Layout
from ..latents import Point
from ..likelihoods import Mixed
from ..networks import MLP
from .base import Model, ModelConfig
from .vae import bend


class Autoencoder(Model):
    """x → z → x with a bottleneck of L numbers; it scores by reconstruction error alone."""

    has_elbo = False

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        latent = config.latent_dim_for(layout)
        self.members = config.members
        self.likelihood = Mixed(layout, config.members, learned_variance=config.learned_variance)
        self.encoder = MLP(config.members, [layout.width, *config.hidden, latent], generator)
        outputs = self.likelihood.parameter_width
        self.decoder = MLP(config.members, [latent, *reversed(config.hidden), outputs], generator)
        self.register_buffer("draws", torch.zeros(1, latent))

    def encode(self, x: Tensor) -> Point:
        return Point(self.encoder(bend(x, self.likelihood.layout.numeric)))

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z.flatten(1, 2)).unflatten(1, z.shape[1:3])
