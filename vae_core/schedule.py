"""When what happens in a training: steps, evaluations, warm-up and learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The course of one training.

    Attributes:
        batch: rows per member and step.
        steps: at most.
        steps_per_epoch: may be a fraction.
        evaluate_every: steps between two looks at the validation rows.
        warmup: share of each cycle over which the weight of the KL rises.
        cycles: how often it does; 1 is the plain warm-up.
    """

    batch: int
    steps: int
    steps_per_epoch: float
    evaluate_every: int
    warmup: float
    cycles: int

    @staticmethod
    def make(
        rows: int,
        *,
        batch_size: int,
        max_epochs: int,
        max_steps: int,
        warmup: float,
        cycles: int,
    ) -> Schedule:
        """For so many training rows; whichever of epochs and steps comes first ends it."""
        batch = min(batch_size, rows)
        per_epoch = rows / batch
        steps = max(1, min(max_steps, math.ceil(max_epochs * per_epoch)))
        # a look at the validation rows each epoch, or 40 in a training of few epochs, but none
        # before 25 steps, or a quarter of fewer than 100, are done
        every = max(1, min(math.ceil(per_epoch), steps // 40), min(25, steps // 4))
        return Schedule(batch, steps, per_epoch, every, warmup, cycles)

    def warmth(self, step: int) -> float:
        """Share of its full weight, in (0, 1], that the KL has in a step: 0, 1, ….

        Rises linearly from 0 over the first part of each cycle and stays at 1 for the rest.

        Reference: Bowman et al. (2016), section 3.1; Fu et al. (2019), Cyclical Annealing
            Schedule, eq. 6.
        """
        length = self.steps / self.cycles
        return min(1.0, (step % length + 1) / max(1.0, self.warmup * length))

    def settled(self, done: int) -> bool:
        """Whether the last warm-up is over after so many steps.

        Until then the objective is easier, so no weights are kept before.
        """
        return done >= (self.cycles - 1 + self.warmup) * self.steps / self.cycles

    def rate(self, step: int) -> float:
        """Share of the learning rate in a step, from 1 to 0 along half a cosine."""
        return 0.5 * (1 + math.cos(math.pi * step / self.steps))
