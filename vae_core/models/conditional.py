"""The conditional VAE: rows are judged by what is normal for their condition.

Legend: K members, S draws, N rows, W encoded width, L latents, C cells of all conditions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..columns import Layout
from ..latents import DiagonalGaussian
from ..priors import ConditionalPrior, Prior
from .base import Model, ModelConfig


class ConditionalVAE(Model):
    """p(x|y) = ∫ p(x|z, y) p(z) dz, or with p(z|y) where the config's prior is "conditional".

    Encoder and decoder read the condition y. Training hides it at random in its bucket for "not
    known", so that rows without one can be scored too, by what is normal whatever the condition.

    Reference: Sohn, Lee, Yan (2015), Learning structured output representation using deep
        conditional generative models, eq. 4.
    """

    conditional = True
    priors = (*Model.priors, "conditional")

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__(layout, config, seed)
        generator = torch.Generator().manual_seed(seed)
        latent = config.latent_dim_for(layout)
        self.condition = layout.condition
        reads = latent + self.condition.stop - self.condition.start
        self.build(layout, config, generator, posterior=2 * latent, reads=reads)
        self.keep_draws(config.draws, latent, seed)

    def encode(self, x: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.from_outputs(self.encoder_outputs(x))

    def decode(self, z: Tensor, x: Tensor | None = None, members: slice = slice(None)) -> Tensor:
        y = _needed(x)[:, None, :, self.condition].expand(*z.shape[:-1], -1)
        return super().decode(torch.cat([z, y], dim=-1), members=members)

    def prior(self, x: Tensor | None = None) -> Prior:
        if isinstance(self.latent_prior, ConditionalPrior):
            return self.latent_prior.given(_needed(x)[..., self.condition])
        return super().prior(x)


def _needed(x: Tensor | None) -> Tensor:
    if x is None:
        raise ValueError("a conditional model needs rows that hold the conditions")
    return x
