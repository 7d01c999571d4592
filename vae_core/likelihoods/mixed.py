"""The likelihood of a whole row: each column its own kind, missing cells as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..columns import Layout, round_up
from .base import Likelihood
from .bernoulli import Bernoulli
from .categorical import Categorical
from .gaussian import Gaussian
from .image import Image, image_likelihood
from .student_t import StudentT

# of the numeric columns: of how many, K, whether the scale is learned
NUMERIC: dict[str, type[Gaussian] | type[StudentT]] = {"gaussian": Gaussian, "student_t": StudentT}


class Terms(NamedTuple):
    """Per-column parts of log p(x|z), nats, (K, S, N, D) each; 0 at missing cells for `value`."""

    value: Tensor
    mask: Tensor | None

    @property
    def per_row(self) -> Tensor:
        """(K, S, N) log p(row|z), nats."""
        value = self.value.sum(-1)
        return value if self.mask is None else value + self.mask.sum(-1)


class Mixed(nn.Module):
    """Numeric, Bernoulli, categorical and image blocks side by side, then the mask's Bernoulli.

    log p(row|z) = Σ over observed cells log p(x_d|z) + Σ over nullable columns log p(m_d|z).

    Args:
        layout: of the encoded rows.
        members: K.
        learned_variance: see `Gaussian`.
        pixels: likelihood of a picture's pixels, a key of `image.PIXELS`.
        numeric: likelihood of the numeric columns, a key of `NUMERIC`.

    Raises:
        ValueError: the likelihood of pixels or numeric columns is unknown.
    """

    def __init__(
        self,
        layout: Layout,
        members: int,
        *,
        learned_variance: bool = True,
        pixels: str = "gaussian",
        numeric: str = "gaussian",
    ) -> None:
        super().__init__()
        self.layout = layout
        blocks: list[Likelihood] = []
        if numeric not in NUMERIC:
            raise ValueError(
                f"unknown likelihood {numeric!r} for numeric columns; known: {', '.join(NUMERIC)}"
            )
        if layout.numeric:
            blocks.append(NUMERIC[numeric](layout.numeric, members, learned=learned_variance))
        if layout.binary:
            blocks.append(Bernoulli(layout.binary))
        blocks.extend(Categorical(c, i in layout.closed) for i, c in enumerate(layout.categories))
        if layout.image:
            blocks.append(
                image_likelihood(pixels, layout.image, members, learned_variance=learned_variance)
            )
        self.blocks = nn.ModuleList(blocks)
        self.mask_likelihood = Bernoulli(len(layout.nullable))
        # blocks follow the encoded row's own order, so decoder outputs and data are cut alike
        self.widths = [b.width for b in blocks]
        self.parameter_widths = [b.parameter_width for b in blocks]
        mask = sum(self.parameter_widths)
        self.mask_parameters = slice(mask, mask + len(layout.nullable))
        self.parameter_width = round_up(self.mask_parameters.stop)

    @property
    def scaled(self) -> Gaussian | StudentT | None:
        """The likelihood with a scale: of the numeric columns, or of the pixels."""
        blocks = (b.pixels if isinstance(b, Image) else b for b in self.blocks)
        return next((b for b in blocks if isinstance(b, Gaussian | StudentT)), None)

    @property
    def image(self) -> Image | None:
        return next((b for b in self.blocks if isinstance(b, Image)), None)

    @property
    def density(self) -> bool:
        """Whether log p(row|z) is one, so that ELBOs may be compared between models."""
        return all(block.density for block in self.blocks)

    def observed(self, x: Tensor) -> Tensor | None:
        """(…, D) 1 where the cell was observed; None where no column is nullable."""
        if not self.layout.nullable:
            return None
        out = torch.ones(*x.shape[:-1], self.layout.columns, device=x.device)
        out[..., list(self.layout.nullable)] = x[..., self.layout.mask]
        return out

    def log_prob(self, parameters: Tensor, x: Tensor, members: slice = slice(None)) -> Terms:
        """Value and mask terms, (K, S, N, D) nats in scaled units; see `Likelihood.log_prob`."""
        value = joined([b.log_prob(p, c, members) for b, p, c in self._cut(parameters, x)])
        observed = self.observed(x)
        if observed is None:
            return Terms(value, None)
        mask = torch.zeros_like(value)
        cells = self.layout.mask
        mask[..., list(self.layout.nullable)] = self.mask_likelihood.log_prob(
            parameters[..., self.mask_parameters], x[..., cells]
        )
        return Terms(value * observed, mask)

    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        """(K, S, N, D) squared error per source column in scaled units, 0 at missing cells."""
        error = joined([b.squared_error(p, c) for b, p, c in self._cut(parameters, x)])
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
        rest = parameters.shape[-1] - sum(self.parameter_widths)
        pieces = _split(parameters, [*self.parameter_widths, rest])
        cells = pieces if x is None else _split(x, [*self.widths, x.shape[-1] - sum(self.widths)])
        for block, piece, cell in zip(self.blocks, pieces, cells, strict=False):
            assert isinstance(block, Likelihood)
            yield block, piece, cell

    def _rows(
        self, parts: list[Tensor], parameters: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        cells = parameters[..., self.mask_parameters]
        mask = self.mask_likelihood
        parts.append(mask.mean(cells) if generator is None else mask.sample(cells, generator))
        padding = self.layout.width - self.layout.mask.stop
        parts.append(torch.zeros(*parameters.shape[:-1], padding, device=parameters.device))
        return torch.cat(parts, dim=-1)


def _split(x: Tensor, widths: list[int]) -> Sequence[Tensor]:
    """Along the last dimension; where the first piece is all there is, it itself."""
    return (x,) if widths[0] == x.shape[-1] else x.split(widths, dim=-1)


def joined(parts: list[Tensor]) -> Tensor:
    """Side by side; a table of one kind of columns has one part, which is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
