"""K copies of any network, with their parameters stacked.

The trainer clips, keeps and restores members by the first dimension of every parameter; networks
whose layers are not written for K members at once get that dimension here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call


class Stacked(nn.Module):
    """Members run one after the other on their share of the inputs.

    Args:
        members: K.
        make: a fresh network; its buffers, if any, are the same in every copy.
        generator: source of the seeds.

    Called with tensors (1 or K, …); each member gets its own, without the first dimension, and
    returns a tensor; the results are stacked to (K, …). With `members`, some of the K only.
    """

    def __init__(
        self, members: int, make: Callable[[], nn.Module], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.members = members
        copies = [_seeded(make, generator) for _ in range(members)]
        named = [dict(copy.named_parameters()) for copy in copies]
        self._names = list(named[0])
        self.stack = nn.ParameterList(
            nn.Parameter(torch.stack([one[name].detach() for one in named])) for name in self._names
        )
        for parameter in copies[0].parameters():
            parameter.data = torch.empty(0)
        # A shell is a network without parameters of its own: a call lends it a member's. Scoring
        # runs in threads, and each needs one to itself. In containers they hide from
        # `parameters()`.
        self._pattern = (copies[0],)
        self._idle: list[nn.Module] = []

    def forward(self, *inputs: Tensor, members: slice = slice(None)) -> Tensor:
        parts = [p[members].unbind(0) for p in self.stack]
        outputs = []
        shell = self._shell()
        for member in range(len(parts[0])):
            own = {name: part[member] for name, part in zip(self._names, parts, strict=True)}
            given = tuple(x[member if len(x) > 1 else 0] for x in inputs)
            outputs.append(functional_call(shell, own, given))
        self._idle.append(shell)
        return torch.stack(outputs)

    def _shell(self) -> nn.Module:
        try:
            return self._idle.pop()
        except IndexError:
            return copy.deepcopy(self._pattern[0])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Stacked:
        """As `nn.Module`, for the shells' buffers too: they move with the device."""
        self._pattern[0]._apply(fn, recurse)
        self._idle.clear()
        super()._apply(fn, recurse)
        return self


def _seeded(make: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """A network whose initial weights come from the generator and leave torch's own state alone."""
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
