"""Residual convolutional networks for pictures of any size.

Legend: N rows, C channels, H × W pixels; cells lie channel by channel, line by line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

GROUP = 8  # channels normalised together; every width is a multiple of it


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), the last one starting at 0.

    Reference: He et al. (2016), Identity Mappings in Deep Residual Networks; group normalisation
        (Wu, He 2018) keeps a row's result independent of its batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(channels // GROUP, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second_norm = nn.GroupNorm(channels // GROUP, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(silu(self.first_norm(x)))
        return x + self.second(silu(self.second_norm(hidden)))


class ConvEncoder(nn.Module):
    """Rows (N, W) to (N, outputs): pixels centred, halved in size at each width of `channels`.

    Args:
        image: (C, H, W) of the picture, the first cells of a row.
        given: number of cells after the picture that are read as they are, such as a condition.
        channels: widths from the picture inwards, multiples of 8.
        blocks: residual blocks at each width.
        outputs: numbers per row.

    Raises:
        ValueError: a width is not a multiple of 8.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        given: int,
        channels: Sequence[int],
        blocks: int,
        outputs: int,
    ) -> None:
        super().__init__()
        check_widths(channels)
        self.image, self.pixels, self.given = image, math.prod(image), given
        layers: list[nn.Module] = []
        width = image[0]
        for wider in channels:
            layers.append(nn.Conv2d(width, wider, 3, stride=2, padding=1))
            layers.extend(Residual(wider) for _ in range(blocks))
            width = wider
        self.body = nn.Sequential(*layers)
        self.norm = nn.GroupNorm(width // GROUP, width)
        height, wide = sizes(image, len(channels))[-1]
        self.head = nn.Linear(width * height * wide + given, outputs)

    def forward(self, rows: Tensor) -> Tensor:
        picture, rest = rows[:, : self.pixels], rows[:, self.pixels : self.pixels + self.given]
        features = self.body(2.0 * picture.unflatten(1, self.image) - 1.0)
        return self.head(torch.cat([silu(self.norm(features)).flatten(1), rest], dim=1))


class ConvDecoder(nn.Module):
    """Codes (N, inputs) to likelihood parameters (N, outputs), the encoder's way back.

    Args:
        image: (C, H, W) of the picture.
        inputs: width of a code and what is given beside it.
        channels, blocks: as the encoder's.
        planes: parameters of each pixel; they come plane by plane, line by line.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        inputs: int,
        channels: Sequence[int],
        blocks: int,
        planes: int,
    ) -> None:
        super().__init__()
        check_widths(channels)
        self.sizes = sizes(image, len(channels))[::-1]
        self.start = (channels[-1], *self.sizes[0])
        self.stem = nn.Linear(inputs, math.prod(self.start))
        widths = [*reversed(channels), channels[0]]
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(Residual(width) for _ in range(blocks)), nn.Conv2d(width, narrower, 3, padding=1)
            )
            for width, narrower in pairwise(widths)
        )
        self.norm = nn.GroupNorm(channels[0] // GROUP, channels[0])
        self.head = nn.Conv2d(channels[0], planes, 3, padding=1)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.stem(codes).unflatten(1, self.start)
        for stage, size in zip(self.stages, self.sizes[1:], strict=True):
            x = nn.functional.interpolate(stage(x), size=size, mode="nearest")
        return self.head(silu(self.norm(x))).flatten(1)


def sizes(image: tuple[int, int, int], halvings: int) -> list[tuple[int, int]]:
    """(H, W) before, and after each convolution of stride 2."""
    out = [image[1:]]
    for _ in range(halvings):
        height, width = out[-1]
        out.append(((height + 1) // 2, (width + 1) // 2))
    return out


def check_widths(channels: Sequence[int]) -> None:
    for width in channels:
        if width < GROUP or width % GROUP:
            raise ValueError(f"channels must be multiples of {GROUP}, got {width}")
