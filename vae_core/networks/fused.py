"""An affine layer and its activation as one operation, where no gradient is wanted.

oneDNN adds the bias and applies the activation while the numbers of a product are in registers;
otherwise every hidden value is written and read again for each of them. It is the operation that
torch's own compiler puts in their place; a build of torch without it takes the longer way.
"""

from __future__ import annotations

import torch
from torch import Tensor

NAMES = {"silu": "swish", "relu": "relu"}  # oneDNN's, of activations
_linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def can_fuse(x: Tensor) -> bool:
    """Whether `affine` can take the place of separate operations on x."""
    return (
        _linear is not None
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
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
