"""Pictures as the rows that models read, and back.

Legend: N pictures, H × W pixels, C channels, E encoded width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vae_core.columns import Layout


def layout_of(pictures: np.ndarray) -> Layout:
    """Rows of nothing but such pictures (N, H, W, C)."""
    height, width, channels = pictures.shape[1:]
    return Layout(0, 0, (), (), image=(channels, height, width))


def pixels(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W, C) of 0 … 255 as (N, C·H·W) float32 in [0, 1], channel by channel."""
    return pictures.transpose(0, 3, 1, 2).reshape(len(pictures), -1).astype(np.float32) / 255


def encoded(layout: Layout, flat: np.ndarray) -> Tensor:
    """(N, E) of `pixels`; all other cells are 0."""
    x = torch.zeros(len(flat), layout.width)
    x[:, layout.picture] = torch.from_numpy(flat.astype(np.float32))
    return x


def pictures_of(flat: np.ndarray, layout: Layout) -> np.ndarray:
    """The way back from `pixels`."""
    assert layout.image is not None
    return 255 * flat.reshape(len(flat), *layout.image).transpose(0, 2, 3, 1)
