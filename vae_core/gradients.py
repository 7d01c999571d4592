"""What is done to gradients before a step.

Legend: K members, the first dimension of every parameter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def tame(gradients: Sequence[Tensor], clip_norm: float) -> Tensor | int:
    """Clip each member's gradient; zero it where it is not finite. Returns how many were."""
    norms = [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]
    norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms), dim=0)
    # on a processor a look costs nothing, and most often there is nothing to do
    if norm.device.type == "cpu" and all(n <= clip_norm and n < math.inf for n in norm.tolist()):
        return 0
    finite = norm < torch.inf
    factor = torch.where(finite, (clip_norm / norm).clamp_max(1.0), 0.0)
    for g in gradients:
        # a NaN times 0 is a NaN: the cells must go before the factor comes
        torch.nan_to_num_(g, 0.0, 0.0, 0.0).mul_(factor.view(-1, *[1] * (g.dim() - 1)))
    return (~finite).sum()
