"""What denoising training does to the rows that the encoder sees."""

from __future__ import annotations

import torch
from torch import Tensor

from .columns import Layout


class Corruption:
    """Noise on the encoder's input; the target stays clean.

    Args:
        layout: of the rows.
        noise: (K,) standard deviation that each member's numeric cells get, scaled units.
        drop: probability that a category or condition is hidden in the bucket of the unseen or
            unknown, and that an observed nullable cell is blanked.
        generator: on the rows' device.

    Reference: Vincent et al. (2008); Im et al. (2017), Denoising Criterion for VAEs.
    """

    def __init__(
        self, layout: Layout, noise: Tensor, drop: float, generator: torch.Generator
    ) -> None:
        self.layout, self.drop, self.generator = layout, drop, generator
        self.noisy = noise.nonzero().squeeze(1)
        self.noise = noise[self.noisy].view(-1, 1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        layout = self.layout
        if not (self.drop or len(self.noisy)):
            return x
        x = x.clone()
        if len(self.noisy) and layout.numeric:
            rows = x[self.noisy]
            rows[..., : layout.numeric] += self.noise * self._random(
                rows, layout.numeric, normal=True
            )
            x[self.noisy] = rows
        if not self.drop:
            return x
        for block in (*layout.one_hots, *layout.condition_one_hots):
            hidden = self._random(x, 1) < self.drop
            other = torch.zeros(block.stop - block.start, device=x.device)
            other[0] = 1.0
            # a missing cell has no category to hide
            known = x[..., block].sum(-1, keepdim=True) > 0
            x[..., block] = torch.where(hidden & known, other, x[..., block])
        if layout.nullable:
            blank = self._random(x, len(layout.nullable)) < self.drop
            for i, column in enumerate(layout.nullable):
                cells = layout.cells(column)
                x[..., cells] = torch.where(blank[..., i : i + 1], 0.0, x[..., cells])
            x[..., layout.mask] = torch.where(blank, 0.0, x[..., layout.mask])
        return x

    def _random(self, x: Tensor, width: int, normal: bool = False) -> Tensor:
        make = torch.randn if normal else torch.rand
        return make(*x.shape[:-1], width, generator=self.generator, device=x.device)
