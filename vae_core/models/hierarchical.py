"""The hierarchical VAE: a ladder of latent layers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..columns import Layout
from ..latents import DiagonalGaussian, Ladder
from ..networks import MLP
from ..priors import LadderPrior, build_prior
from .base import Model, ModelConfig


class HierarchicalVAE(Model):
    """p(x|z_1) p(z_1|z_2) … p(z_T), inferred from the top down.

    One encoder says what the row tells about every layer; the layers below the top join it with
    what the layer above tells. The decoder reads the first layer only, the configured prior is
    that of the top one.

    Args:
        layout: of the encoded rows.
        config: shape; `ladder` holds the widths of the layers.
        seed: of the initial weights and of the fixed draws.

    Raises:
        ValueError: fewer than two layers, or one without latents.

    Reference: Sønderby, Raiko, Maaløe, Sønderby, Winther (2016), Ladder variational autoencoders.
    """

    gaussian = False

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__(layout, config, seed)
        generator = torch.Generator().manual_seed(seed)
        self.widths = ladder_widths(config, config.latent_dim_for(layout))
        code = sum(self.widths)
        top = build_prior(layout, replace(config, latent_dim=self.widths[-1]), generator)
        self.build(
            layout, config, generator,
            posterior=2 * code, code=code, reads=self.widths[0], prior=top,
        )  # fmt: skip
        self.decoded_width = self.widths[0]
        self.steps = nn.ModuleList(
            MLP(
                config.members,
                [above, *config.hidden[-1:], 2 * own],
                generator,
                config.activation,
            )
            for own, above in pairwise(self.widths)
        )
        self.keep_draws(config.draws, code, seed)

    def encode(self, x: Tensor) -> Ladder:
        outputs = self.encoder_outputs(x).split([2 * width for width in self.widths], dim=-1)
        return Ladder([DiagonalGaussian.from_outputs(one) for one in outputs], list(self.steps))

    def decode(self, z: Tensor, x: Tensor | None = None, members: slice = slice(None)) -> Tensor:
        return super().decode(z[..., : self.decoded_width], x, members)

    def prior(self, x: Tensor | None = None) -> LadderPrior:
        top = self.latent_prior.distribution(self._encode_top)
        return LadderPrior(top, list(self.steps), self.widths)

    def fit_prior(self, rows: Tensor, seed: int) -> None:
        self.latent_prior.fit(self._encode_top, rows, seed)

    def _encode_top(self, x: Tensor) -> DiagonalGaussian:
        return self.encode(x).top


def ladder_widths(config: ModelConfig, latent: int) -> tuple[int, ...]:
    """Widths of the layers, the decoder's first: as given, else L and half as many above.

    Raises:
        ValueError: fewer than two layers, or one without latents.
    """
    widths = config.ladder or (latent, max(1, latent // 2))
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(
            f"a ladder has at least two layers of at least one latent, got {list(widths)}"
        )
    return tuple(widths)
