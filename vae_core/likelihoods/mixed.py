"""The likelihood of a whole row: each column its own kind, missing cells as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..columns import Layout, round_up
from .base import Likelihood
from .bernoulli import Bernoulli
from .categorical import Categorical
from .gaussian import Gaussian


class Terms(NamedTuple):
    """Per-column parts of log p(x|z), nats, (K, S, N, D) each; 0 at missing cells for `value`."""

    value: Tensor
    mask: Tensor | None


class Mixed(nn.Module):
    """Gaussian, Bernoulli and categorical blocks side by side, then the mask's Bernoulli.

    log p(row|z) = Σ over observed cells log p(x_d|z) + Σ over nullable columns log p(m_d|z).

    Args:
        layout: of the encoded rows.
        members: K.
        learned_variance: see `Gaussian`.
    """

    def __init__(self, layout: Layout, members: int, *, learned_variance: bool = True) -> None:
        super().__init__()
        self.layout = layout
        blocks: list[Likelihood] = []
        if layout.numeric:
            blocks.append(Gaussian(layout.numeric, members, learned=learned_variance))
        if layout.binary:
            blocks.append(Bernoulli(layout.binary))
        blocks.extend(Categorical(c) for c in layout.categories)
        self.blocks = nn.ModuleList(blocks)
        self.mask_likelihood = Bernoulli(len(layout.nullable))
        # blocks follow the encoded row's own order, so decoder outputs and data are cut alike
        self.widths = [b.width for b in blocks]
        self.parameter_width = round_up(layout.mask.stop)

    @property
    def gaussian(self) -> Gaussian | None:
        return next((b for b in self.blocks if isinstance(b, Gaussian)), None)

    def observed(self, x: Tensor) -> Tensor | None:
        """(…, D) 1 where the cell was observed; None where no column is nullable."""
        if not self.layout.nullable:
            return None
        out = torch.ones(*x.shape[:-1], self.layout.columns, device=x.device)
        out[..., list(self.layout.nullable)] = x[..., self.layout.mask]
        return out

    def log_prob(self, parameters: Tensor, x: Tensor) -> Terms:
        """Value and mask terms, (K, S, N, D) nats in scaled units."""
        value = torch.cat([b.log_prob(p, c) for b, p, c in self._cut(parameters, x)], dim=-1)
        observed = self.observed(x)
        if observed is None:
            return Terms(value, None)
        mask = torch.zeros_like(value)
        cells = self.layout.mask
        mask[..., list(self.layout.nullable)] = self.mask_likelihood.log_prob(
            parameters[..., cells], x[..., cells]
        )
        return Terms(value * observed, mask)

    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        """(K, S, N, D) squared error per source column in scaled units, 0 at missing cells."""
        error = torch.cat([b.squared_error(p, c) for b, p, c in self._cut(parameters, x)], dim=-1)
        observed = self.observed(x)
        return error if observed is None else error * observed

    def mean(self, parameters: Tensor) -> Tensor:
        """(K, S, N, W) expected encoded row, the mask's probabilities included."""
        return self._rows([b.mean(p) for b, p, _ in self._cut(parameters)], parameters)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """(K, S, N, W) a drawn encoded row."""
        drawn = [b.sample(p, generator) for b, p, _ in self._cut(parameters)]
        return self._rows(drawn, parameters, generator)

    def _cut(
        self, parameters: Tensor, x: Tensor | None = None
    ) -> Iterator[tuple[Likelihood, Tensor, Tensor]]:
        """Each block with its decoder outputs and its cells.

        One split, not a slice per block: the gradient of a slice is a tensor of the full width.
        """
        rest = parameters.shape[-1] - sum(self.widths)
        pieces = parameters.split([*self.widths, rest], dim=-1)
        cells = pieces if x is None else x.split([*self.widths, x.shape[-1] - sum(self.widths)], -1)
        for block, piece, cell in zip(self.blocks, pieces, cells, strict=False):
            assert isinstance(block, Likelihood)
            yield block, piece, cell

    def _rows(
        self, parts: list[Tensor], parameters: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        cells = parameters[..., self.layout.mask]
        mask = self.mask_likelihood
        parts.append(mask.mean(cells) if generator is None else mask.sample(cells, generator))
        padding = self.layout.width - self.layout.mask.stop
        parts.append(torch.zeros(*parameters.shape[:-1], padding, device=parameters.device))
        return torch.cat(parts, dim=-1)
