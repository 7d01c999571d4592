"""Large values, as networks read them."""

from __future__ import annotations

import torch
from torch import Tensor

# Networks see large values bent, x ↦ x inside and logarithmic outside; the likelihood sees them as
# they are. Without it one absurd cell saturates the whole latent.
KNEE = 10.0
# numbers below which an operation costs the same however few they are
FEW = 4096


def bend(x: Tensor, numeric: int, few: int = FEW) -> Tensor:
    """Rows x (…, W) with their first `numeric` cells bent.

    Fewer cells than `few` take another way, which differs in the last digits: 0 where rows of
    several calls are held against each other, and equal ones have to stay equal.
    """
    if not numeric:
        return x
    cells = x[..., :numeric]
    one_by_one = x.requires_grad or cells.numel() < few
    bent = torch.asinh(cells / KNEE) * KNEE if one_by_one else _bent(cells)
    return bent if numeric == x.shape[-1] else torch.cat([bent, x[..., numeric:]], dim=-1)


def _bent(x: Tensor) -> Tensor:
    """KNEE · asinh(x / KNEE) to single precision of the knee, below 10¹⁹.

    On a processor torch's own takes one number at a time, a quarter of all that scoring a small
    model would cost; its logarithm and root take eight or sixteen.
    """
    root = torch.addcmul(x.new_tensor(KNEE**2), x, x).sqrt_()
    return root.add_(x.abs()).mul_(1.0 / KNEE).log_().mul_(KNEE).copysign_(x)
