"""Large values, as networks read them."""

from __future__ import annotations

import torch
from torch import Tensor

# Networks see large values bent, x ↦ x inside and logarithmic outside; the likelihood sees them as
# they are. Without it one absurd cell saturates the whole latent.
KNEE = 10.0
# numbers below which an operation costs the same however few they are
FEW = 4096


def bend(x: Tensor, numeric: int) -> Tensor:
    """Rows x (…, W) with their first `numeric` cells bent."""
    if not numeric:
        return x
    bent = asinh(x[..., :numeric] / KNEE).mul_(KNEE)
    return bent if numeric == x.shape[-1] else torch.cat([bent, x[..., numeric:]], dim=-1)


def asinh(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine, to 2 units in the last place.

    On a processor torch's own takes one number at a time, a quarter of all that scoring a small
    model costs; its log1p and sqrt take eight or sixteen.
    """
    if x.numel() < FEW:
        return torch.asinh(x)
    size = x.abs()
    square = size * size
    root = torch.sqrt(1.0 + square)
    if x.requires_grad:
        return torch.log1p(size + square / (root + 1.0)).copysign(x)
    return size.add_(square.div_(root.add_(1.0))).log1p_().copysign_(x)
