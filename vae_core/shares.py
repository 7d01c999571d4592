"""The losses of a batch, whoever computes them: this process, or several by shares.

Legend: K members, B batch, W encoded width, R ranks.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .distributed import Team
from .models import Model
from .objectives import Goal, Pass, loss, run

# corrupted rows (K, B, W), noise (K, 1, B, E), rows (K, B, W), warmth to losses (K,)
Losses = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Pass]]


class _Share(nn.Module):
    """As a module, for DistributedDataParallel listens to the gradients of what it calls."""

    def __init__(self, model: Model, goal: Goal, team: Team) -> None:
        super().__init__()
        self.model, self.goal, self.team = model, goal, team

    def forward(
        self, corrupted: Tensor, noise: Tensor, x: Tensor, warmth: float
    ) -> tuple[Tensor, Pass]:
        if self.team.size == 1:
            passed = run(self.model, corrupted, noise, target=x)
            return loss(passed, self.goal, warmth), passed
        rows, batch = self.team.share(x.shape[1]), x.shape[1]
        mine = x[:, rows]
        passed = run(self.model, corrupted[:, rows], noise[:, :, rows], target=mine)
        losses = loss(passed, self.goal, warmth)
        # the mean over processes of these is the mean over the batch, for uneven shares too
        weight = mine.shape[1] * self.team.size / batch
        return losses * weight, passed


def share_losses(model: Model, goal: Goal, team: Team) -> Losses:
    """What each member minimises on a batch, and the way through the model it comes from.

    The mean over the team of its losses, and after the backward pass the gradients of each
    process, are those of the whole batch.

    Raises:
        ValueError: the team is more than one, and the loss is no mean over rows.
    """
    share = _Share(model, goal, team)
    if team.size == 1:
        return share
    _check_is_mean(model, goal)
    return DistributedDataParallel(share, broadcast_buffers=False)


def _check_is_mean(model: Model, goal: Goal) -> None:
    whole = {
        "free_bits": bool(goal.free_bits),
        "trim": bool(goal.trim),
        "capacity": goal.capacity is not None,
        "total_correlation": goal.total_correlation is not None,
        "the adversary of variant vae_gan": model.adversary(0) is not None,
    }
    found = [name for name, used in whole.items() if used]
    if found:
        raise ValueError(
            f"{' and '.join(found)} look at a batch as a whole, which several processes do not "
            "see: train in one process, or do without"
        )
