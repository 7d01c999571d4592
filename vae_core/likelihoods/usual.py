"""The decoder outputs that fit all rows alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..adamw import AdamW
from .mixed import Mixed

ROWS = 128
STEPS = 60
PACE = 0.1  # six logits in all: a cell that never varies need not be surer at first


def usual_outputs(likelihood: Mixed, rows: Tensor, members: int) -> Tensor:
    """(P,) outputs of about the largest mean log p, were they the same for every row.

    By gradient, since the kinds of columns share no formula: means, logits of shares.

    Args:
        likelihood: of the rows.
        rows: (N, W) encoded; where there are many, some of them, evenly spaced.
        members: K of the likelihood.
    """
    some = rows[:: max(1, len(rows) // ROWS)][None, None]
    outputs = nn.Parameter(torch.zeros(likelihood.parameter_width, device=rows.device))
    optimizer = AdamW(outputs, weight_decay=0.0)
    for _ in range(STEPS):
        per_row = likelihood.log_prob(outputs.expand(members, 1, 1, -1), some).per_row
        (outputs.grad,) = torch.autograd.grad(-per_row.mean(), outputs)
        optimizer.step(PACE)
    return outputs.detach()
