"""The flow VAE: a posterior that need not be Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor

from ..columns import Layout
from ..latents import DiagonalGaussian, FlowPosterior
from ..networks.flow import Flow
from .base import Model, ModelConfig

CONTEXT = 32  # numbers that tell the flow about the row


class FlowVAE(Model):
    """q(z|x) a Gaussian bent by coupling layers that know the row.

    With `prior: flow` the prior is one too. The KL is a Monte Carlo estimate.

    Reference: Rezende, Mohamed (2015), Variational Inference with Normalizing Flows; Kingma et al.
        (2016), Improving Variational Inference with Inverse Autoregressive Flow, section 3 (a
        context from the encoder).
    """

    gaussian = False

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__(layout, config, seed)
        generator = torch.Generator().manual_seed(seed)
        latent = config.latent_dim_for(layout)
        self.build(layout, config, generator, posterior=2 * latent + CONTEXT)
        self.flow = Flow(config.members, latent, config.couplings, CONTEXT, generator)
        self.keep_draws(config.draws, latent, seed)

    def encode(self, x: Tensor) -> FlowPosterior:
        gaussian, context = self.encoder_outputs(x).split([2 * self.code_width, CONTEXT], dim=-1)
        return FlowPosterior(DiagonalGaussian.from_outputs(gaussian), context, self.flow)
