"""How complex a picture is: a model gives smooth pictures high likelihood whatever they show.

Legend: N rows, C channels, H × W pixels.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
from torch import Tensor

from .columns import WHITE, Layout


def complexity(layout: Layout, x: Tensor) -> np.ndarray:
    """Nats that a lossless compressor needs for each picture.

    Pixels are replaced by differences to their left neighbour, as PNG's "sub" filter does, and
    deflated.

    Args:
        layout: of the rows, with a picture.
        x: (N, W) encoded rows.

    Returns:
        (N,) float64, > 0.

    Raises:
        ValueError: the rows hold no picture.

    Reference: Serrà et al. (2020), Input complexity and out-of-distribution detection with
        likelihood-based generative models, eq. 2: −log p(x) minus this is a likelihood ratio
        against a universal model.
    """
    if layout.image is None:
        raise ValueError("input complexity is that of pictures: there is no image column")
    pixels = np.rint(x[:, layout.picture].cpu().numpy() * WHITE).astype(np.uint8)
    pictures = pixels.reshape(len(x), *layout.image).transpose(0, 2, 3, 1)
    filtered = pictures.copy()
    filtered[:, :, 1:] -= pictures[:, :, :-1]
    bits = (8 * len(zlib.compress(one.tobytes(), 9)) for one in filtered)
    return np.fromiter(bits, dtype=np.float64, count=len(x)) * math.log(2)
