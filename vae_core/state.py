"""All that the next step of a training depends on, beside its rows, config and seed.

What is not named here does not survive: a resumed training would take another course.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .adamw import AdamW
from .adversary import Adversary
from .batches import Batches
from .best import Best
from .checkpoint import Saved, generator_state
from .models import Model


class State:
    """The state of one training.

    Attributes:
        model: weights and buffers.
        optimizer: moments of the gradients, and their steps.
        best: each member's weights at its lowest validation objective, and for how long.
        generator: of batches, corruption and noise.
        batches: the place in the rows' order.
        adversary: its weights, its optimizer and its generator; None for most variants.
        step: steps taken.
        since: those since the last evaluation.
        running: (K,) sum of the losses of these.
        skipped: scalar, member-steps dropped.
        history: one dict per evaluation.
    """

    def __init__(
        self,
        model: Model,
        optimizer: AdamW,
        best: Best,
        generator: torch.Generator,
        batches: Batches,
        adversary: Adversary | None,
    ) -> None:
        self.model, self.optimizer, self.best = model, optimizer, best
        self.generator, self.batches, self.adversary = generator, batches, adversary
        device = model.draws.device
        self.step = self.since = 0
        self.running = torch.zeros(model.members, device=device)
        self.skipped = torch.zeros((), dtype=torch.long, device=device)
        self.history: list[dict[str, float]] = []

    def save(self) -> Saved:
        """A view of it all; nothing is copied yet."""
        tensors = {
            **_named("model", self.model.state_dict()),
            **_named("optimizer", self.optimizer.state()),
            **_named("best", self.best.state()),
            **_named("batches", self.batches.state()),
            "generator": generator_state(self.generator),
            "running": self.running,
            "skipped": self.skipped,
        }
        if self.adversary is not None:
            own = self.adversary
            tensors |= _named("adversary.model", own.discriminator.state_dict())
            tensors |= _named("adversary.optimizer", _moments(own.optimizer))
            tensors["adversary.generator"] = generator_state(own.generator)
        numbers: dict[str, Any] = {"step": self.step, "since": self.since}
        return Saved(tensors, {**numbers, "history": self.history})

    def restore(self, saved: Saved) -> None:
        """Go on from there, to the bit, with the same rows, config, seed, code and device."""
        tensors, numbers = saved
        self.model.load_state_dict(_of("model", tensors))
        self.optimizer.restore(_of("optimizer", tensors))
        self.best.restore_state(_of("best", tensors))
        self.batches.restore(_of("batches", tensors))
        self.generator.set_state(tensors["generator"])
        self.running.copy_(tensors["running"])
        self.skipped.copy_(tensors["skipped"])
        if self.adversary is not None:
            own = self.adversary
            own.discriminator.load_state_dict(_of("adversary.model", tensors))
            _load_moments(own.optimizer, _of("adversary.optimizer", tensors))
            own.generator.set_state(tensors["adversary.generator"])
        self.step, self.since = numbers["step"], numbers["since"]
        self.history = list(numbers["history"])


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors as "parameter.name"; its settings come from the config."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, own in state.items() for name, value in own.items()}


def _load_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        i, name = key.split(".", 1)
        state.setdefault(int(i), {})[name] = value
    settings = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": settings})


def _named(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}.{name}": value for name, value in tensors.items()}


def _of(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{part}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
