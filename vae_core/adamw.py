"""The step that training takes down the gradient.

Legend: K members.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class AdamW:
    """torch's fused AdamW over one tensor and its gradient.

    `torch.optim.AdamW` does the same to the bit; what it does around each step, for closures, hooks
    and groups of parameters, takes longer than the step of a small model.

    Args:
        values: (K, ·) with a gradient.
        weight_decay: decoupled.

    Reference: Loshchilov, Hutter (2019), Decoupled Weight Decay Regularization, algorithm 2.
    """

    def __init__(self, values: nn.Parameter, weight_decay: float) -> None:
        self.values, self.weight_decay = values, weight_decay
        self.mean, self.square = torch.zeros_like(values.data), torch.zeros_like(values.data)
        self.steps = torch.zeros((), device=values.device)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Once, with the gradient that `values` has, at a learning rate."""
        assert self.values.grad is not None
        adamw(
            [self.values], [self.values.grad], [self.mean], [self.square], [], [self.steps],
            fused=True, amsgrad=False, maximize=False, lr=rate, weight_decay=self.weight_decay,
            beta1=BETAS[0], beta2=BETAS[1], eps=EPSILON,
        )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """All of it, by name."""
        return {"mean": self.mean, "square": self.square, "steps": self.steps}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Become what `state` was taken of."""
        for name, mine in self.state().items():
            mine.copy_(state[name])
