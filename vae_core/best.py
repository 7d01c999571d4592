"""The weights that a training keeps.

Legend: K members, the first dimension of every parameter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .models import Model


class Best:
    """Each member's weights at its lowest validation objective."""

    def __init__(self, model: Model) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.kept = [p.detach().clone() for p in self.parameters]
        device = self.parameters[0].device
        self.value = torch.full((model.members,), math.inf, device=device)
        self.epoch = torch.zeros(model.members, device=device)
        self.waited = torch.zeros(model.members, dtype=torch.long, device=device)

    def update(self, value: Tensor, epoch: float) -> None:
        """Keep the weights of the members whose objective (K,) is the lowest so far."""
        better = value < self.value
        self.value = torch.where(better, value, self.value)
        self.epoch = torch.where(better, epoch, self.epoch)
        self.waited = torch.where(better, 0, self.waited + 1)
        for kept, now in zip(self.kept, self.parameters, strict=True):
            shape = (-1, *[1] * (now.dim() - 1))
            kept.copy_(torch.where(better.view(shape), now.detach(), kept))

    def stale(self, patience: int) -> bool:
        """Whether no member has improved for so many updates."""
        return bool((self.waited >= patience).all())

    def epochs(self) -> list[int]:
        """(K,) of the kept weights."""
        return [round(e) for e in self.epoch.tolist()]

    def state(self) -> dict[str, Tensor]:
        """All of it, by name."""
        kept = {f"kept.{i}": weights for i, weights in enumerate(self.kept)}
        return {**kept, "value": self.value, "epoch": self.epoch, "waited": self.waited}

    def restore_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what `state` was taken of."""
        for name, mine in self.state().items():
            mine.copy_(state[name])

    @torch.no_grad()
    def restore(self) -> None:
        """Give each member its best weights.

        Raises:
            FloatingPointError: some member never had a finite objective.
        """
        if torch.isinf(self.value).any():
            raise FloatingPointError(
                "a member never reached a finite validation objective in training; "
                "look for absurd values in the training rows or lower the learning rate"
            )
        for kept, parameter in zip(self.kept, self.parameters, strict=True):
            parameter.copy_(kept)
