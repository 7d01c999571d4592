"""The discrete VAE: a code is a handful of categories."""

from __future__ import annotations

import torch
from torch import Tensor

from ..columns import Layout
from ..latents import CategoricalLatents, quasi_normal_draws
from ..likelihoods.usual import usual_outputs
from ..priors import LatentPrior, UniformPrior, build_prior
from .base import Model, ModelConfig


class DiscreteVAE(Model):
    """q(z|x) of L categorical latents with C categories each, p(z) uniform or autoregressive.

    Training draws hard codes with an estimated gradient, as scores do: the ELBO is that of the
    categorical model all along. Without `straight_through` it draws relaxed codes, whose
    temperature falls from the first to the last of `temperature`: a long training learns to say
    in their fractions what the hard codes of scores cannot.

    The decoder adds to the outputs of the usual row: codes that had to learn that row first would
    take one value for all rows, and a latent so sure of itself has no gradient to leave it by.

    Args:
        layout: of the encoded rows.
        config: shape; `latent_dim` is L, `categories` is C.
        seed: of the initial weights and of the fixed draws.

    Raises:
        ValueError: fewer than two categories, or a temperature that is not positive.

    Reference: Jang, Gu, Poole (2017), Categorical reparameterization with Gumbel-softmax;
        Maddison, Mnih, Teh (2017), The concrete distribution; Liu et al. (2023), Bridging discrete
        and backpropagation, for the gradient of hard codes.
    """

    # "normal", the general default, stands for the plain prior of this kind of latent
    priors = ("normal", "autoregressive")
    gaussian = False

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__(layout, config, seed)
        _check(config)
        generator = torch.Generator().manual_seed(seed)
        self.shape = (config.latent_dim_for(layout), config.categories)
        self.categories = config.categories
        width = self.shape[0] * self.shape[1]
        prior: LatentPrior = UniformPrior(config.members, *self.shape)
        if config.prior != "normal":
            prior = build_prior(layout, config, generator)
        self.build(layout, config, generator, posterior=width, code=width, prior=prior)
        # a choice among categories lies in the tails of the noise: moments would not do
        self.register_buffer(
            "draws", quasi_normal_draws(config.draws, width, seed, standardised=False)
        )
        self.straight_through = config.straight_through
        self.first, self.last = config.temperature
        self.register_buffer("usual", torch.zeros(self.likelihood.parameter_width))
        self.anneal(0.0)

    def start(self, rows: Tensor, generator: torch.Generator) -> None:
        super().start(rows, generator)
        self.usual = usual_outputs(self.likelihood, rows, self.members)

    def anneal(self, progress: float) -> None:
        self.temperature = self.first * (self.last / self.first) ** progress

    def encode(self, x: Tensor) -> CategoricalLatents:
        logits = self.encoder_outputs(x).unflatten(-1, self.shape)
        return CategoricalLatents(
            torch.log_softmax(logits, dim=-1),
            self.temperature,
            hard=self.straight_through or not self.training,
            straight_through=self.straight_through and self.training,
        )

    def decode(self, z: Tensor, x: Tensor | None = None, members: slice = slice(None)) -> Tensor:
        return super().decode(z, x, members) + self.usual


def _check(config: ModelConfig) -> None:
    if config.categories < 2:
        raise ValueError(f"a latent needs at least 2 categories, got {config.categories}")
    if min(config.temperature) <= 0:
        raise ValueError(f"temperatures must be positive, got {list(config.temperature)}")
