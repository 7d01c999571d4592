"""Where in a picture a score comes from, pixel by pixel.

Legend: K members, S draws, N rows, H × W pixels, C channels, W encoded width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .models import Model
from .scores import averaged, in_chunks


class Heat(NamedTuple):
    """Per pixel, its channels summed.

    Attributes:
        error: (N, H, W) squared error at z = mu of the denoising members, pixels in [0, 1]. Its
            mean over the C·H·W values of a picture is the reconstruction error.
        surprise: (N, H, W) −E_q log p of the generative members, nats of scaled units. Its sum is
            the picture's term of the ELBO.
    """

    error: Tensor
    surprise: Tensor


def heat(model: Model, x: Tensor) -> Heat:
    """Maps of encoded pictures x (N, W), on the CPU; bit-identical in any batch, as scores are.

    Raises:
        ValueError: the rows are no pictures.
    """
    image = model.likelihood.image
    shape = model.likelihood.layout.image
    if image is None or shape is None:
        raise ValueError("a heat map is of pictures, and this model reads columns")
    cells, pixels = model.likelihood.layout.picture, image.pixels
    generative, denoising = model.roles

    def maps(chunk: Tensor) -> Tensor:
        posterior = model.encode(chunk[None])
        drawn = posterior.rsample(model.draws[:, None])
        codes = torch.cat([posterior.mu[:, None], drawn], dim=1)
        # a picture is a row's only column, so the decoder's outputs begin with its parameters
        parameters = model.decode(codes, chunk[None])[..., : pixels.parameter_width]
        rows = chunk[None, None, :, cells]
        error = averaged(pixels.squared_error(parameters[:, :1], rows)[denoising])
        value = averaged(pixels.log_prob(parameters[:, 1:], rows)[generative])
        return torch.cat([_by_pixel(error, shape), _by_pixel(-value, shape)], dim=1)

    both = in_chunks(model, x, maps, torch.float64).unflatten(1, (2, *shape[1:]))
    return Heat(both[:, 0], both[:, 1])


def _by_pixel(cells: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(N, H·W) from channel-major cells (N, C·H·W)."""
    return cells.unflatten(1, (shape[0], -1)).sum(1)
