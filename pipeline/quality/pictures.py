"""Pictures against pictures, and how sharp they are.

Pictures are (N, H, W, C) arrays of values 0 … 255.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pictures = NDArray[Any]

WHITE = 255.0
MOST_DECIBELS = 100.0

__all__ = ["high_frequencies", "psnr", "sharpness", "ssim", "tensor"]


def tensor(pictures: Pictures) -> Tensor:
    """(N, C, H, W) float32 in [0, 1]."""
    values = np.asarray(pictures, dtype=np.float32) / WHITE
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))


def psnr(real: Pictures, other: Pictures) -> float:
    """Mean over pictures of the peak signal-to-noise ratio, dB; 100 for equal ones.

    −10 log₁₀ of the mean squared error in units of white.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    ratio = peak_signal_noise_ratio(
        tensor(other), tensor(real), data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    return float(ratio.clamp(max=MOST_DECIBELS).mean())


def ssim(real: Pictures, other: Pictures) -> float:
    """Mean structural similarity, in [−1, 1]; 1 for equal pictures.

    Windows are 11 pixels wide, fewer in smaller pictures.

    Reference: Wang et al. (2004), Image quality assessment, eq. 13.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = tensor(real), tensor(other)
    window = min(11, 2 * ((min(a.shape[-2:]) - 1) // 2) + 1)
    value = structural_similarity_index_measure(b, a, kernel_size=window, data_range=1.0)
    assert isinstance(value, Tensor)
    return float(value)


def sharpness(pictures: Pictures) -> float:
    """Mean over pictures of the variance of the Laplacian; low where edges are soft.

    In units of white squared. Noise counts as sharp.

    Reference: Pech-Pacheco et al. (2000), Diatom autofocusing in brightfield microscopy.
    """
    x = tensor(pictures)
    inner = x[..., 1:-1, 1:-1]
    laplacian = (
        x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:] - 4 * inner
    )
    return float(laplacian.flatten(1).var(dim=1, correction=0).mean())


def high_frequencies(pictures: Pictures) -> float:
    """Share of the pictures' variance at more than half of the highest frequency, in [0, 1].

    Of the spectrum without its mean; summed over pictures before it is divided, so that empty ones
    do not decide.

    Reference: Durall, Keuper, Keuper (2020), Watch your up-convolution, section 3.1.
    """
    x = tensor(pictures)
    power = torch.fft.fft2(x - x.mean(dim=(-2, -1), keepdim=True)).abs().square().sum(dim=(0, 1))
    down, across = (torch.fft.fftfreq(size) for size in power.shape)
    fine = torch.hypot(down[:, None], across[None]) > 0.25
    total = float(power.sum())
    return float(power[fine].sum()) / total if total > 0 else 0.0
