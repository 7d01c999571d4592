"""An affine layer and its activation as one operation, where no gradient is wanted.

oneDNN adds the bias and applies the activation while the numbers of a product are in registers;
otherwise every hidden value is written and read again for each of them. It is the operation that
torch's own compiler puts in their place; a build of torch without it takes the longer way.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

NAMES = {"silu": "swish", "relu": "relu"}  # oneDNN's, of activations
LARGE = 1 << 22  # multiplications of a product that is worth its way through Python
_linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def can_fuse(x: Tensor) -> bool:
    """Whether `affine` can take the place of separate operations on x."""
    return not torch.is_grad_enabled() and _serves(x)


def _serves(x: Tensor) -> bool:
    """Whether oneDNN's operation is there and is for rows like x."""
    return (
        _linear is not None
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )


def affine(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None
) -> Tensor:
    """activation(x · weight + bias).

    Args:
        x: (N, I) single precision.
        weight: (I, O).
        bias: (O,), or None.
        activation: key of `NAMES`, or None.

    Returns:
        (N, O).
    """
    assert _linear is not None
    name = "none" if activation is None else NAMES[activation]
    out: Tensor = _linear.default(x, weight.t(), bias, name, [], "")
    return out


def should_train(x: Tensor, weight: Tensor) -> bool:
    """Whether `trained` is faster than torch's own products of x (…, N, I) and weight (K, I, O)."""
    work = x.shape[-2] * weight.shape[-2] * weight.shape[-1]
    return work >= LARGE and torch.is_grad_enabled() and _serves(x) and _onednn_is_faster()


@cache
def _onednn_is_faster() -> bool:
    """MKL, which torch multiplies with, has half of oneDNN's speed on AMD's processors. On others
    the two were not compared in training, and torch's own products stay.
    """
    told = Path("/proc/cpuinfo")
    return told.exists() and "AuthenticAMD" in told.read_text()


def trained(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x · weight + bias, and its gradient (once), all by oneDNN.

    Args:
        x: (1 or K, N, I).
        weight: (K, I, O).
        bias: (K, 1, O).

    Returns:
        (K, N, O).
    """
    out: Tensor = _Affine.apply(x, weight, bias)
    return out


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return stacked([affine(of_member(x, k), w, bias[k, 0]) for k, w in enumerate(weight)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        inputs = None
        if ctx.needs_input_grad[0]:
            inputs = stacked([affine(s, w.t()) for s, w in zip(slope, weight, strict=True)])
            inputs = inputs.sum(0, keepdim=True) if len(x) < len(weight) else inputs
        weights = stacked([affine(of_member(x, k).t(), s) for k, s in enumerate(slope)])
        return inputs, weights, slope.sum(1, keepdim=True)


def of_member(x: Tensor, member: int) -> Tensor:
    """(N, I) one member's of inputs (1 or K, N, I)."""
    return x[member if len(x) > 1 else 0]


def stacked(parts: list[Tensor]) -> Tensor:
    """(K, …) members' results; a single one is not copied."""
    return parts[0][None] if len(parts) == 1 else torch.stack(parts)
