"""The plain autoencoder: the deterministic baseline, without prior, KL or ELBO."""

from __future__ import annotations

import torch
from torch import Tensor

from ..columns import Layout
from ..latents import Point
from .base import Model, ModelConfig, bend


class Autoencoder(Model):
    """x → z → x with a bottleneck of L numbers; it scores without an ELBO."""

    has_elbo = False

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.build_mlps(layout, config, generator, posterior_width=1)
        self.register_buffer("draws", torch.zeros(1, config.latent_dim_for(layout)))

    def encode(self, x: Tensor) -> Point:
        return Point(self.encoder(bend(x, self.likelihood.layout.numeric)))
