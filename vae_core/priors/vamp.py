"""The VampPrior: the mean posterior of learned pseudo-rows.

Legend: K members, N rows, M pseudo-rows, W encoded width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..columns import Layout
from ..latents import Posterior
from .base import Encode, LatentPrior
from .mixture import Mixture


class VampPrior(LatentPrior):
    """p(z) = 1/M Σ_m q(z|u_m), with encoded rows u_m that are learned with the model.

    Args:
        layout: of the rows.
        members: K, each with pseudo-rows of its own.
        latent: L.
        components: M.
        generator: source of the first pseudo-rows, where no training rows take their place.

    Reference: Tomczak, Welling (2018), VAE with a VampPrior, eq. 9.
    """

    def __init__(
        self,
        layout: Layout,
        members: int,
        latent: int,
        components: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.latent = latent
        rows = torch.randn(members, components, layout.width, generator=generator)
        self.pseudo_rows = nn.Parameter(rows)

    @torch.no_grad()
    def start(self, rows: Tensor, generator: torch.Generator) -> None:
        """Each member's pseudo-rows become training rows, some of them twice where they are few."""
        components = self.pseudo_rows.shape[1]
        for own in self.pseudo_rows:
            order = torch.randperm(len(rows), generator=generator, device=rows.device)
            own.copy_(rows[order.repeat(-(-components // len(rows)))[:components]])

    def distribution(self, encode: Encode) -> Mixture:
        members, components, width = self.pseudo_rows.shape
        weights = self.pseudo_rows.new_full((members, components), -math.log(components))

        def chosen(index: Tensor) -> Posterior:
            return encode(self.pseudo_rows.gather(1, index[..., None].expand(-1, -1, width)))

        return Mixture(encode(self.pseudo_rows), weights, chosen, self.latent)
