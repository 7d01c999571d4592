"""What every posterior q(z|x) answers.

Legend: K members, S draws, N rows, L width of a code; G groups of latents with a term each.
"""

from __future__ import annotations

from typing import Protocol, Self

from torch import Tensor


class Posterior(Protocol):
    """q(z|x) of N rows by K members."""

    @property
    def mu(self) -> Tensor:
        """(K, N, L) the code that stands for a row."""
        ...

    def of(self, members: slice) -> Self:
        """Those of some of the members."""
        ...

    def rsample(self, noise: Tensor) -> Tensor:
        """z (K, S, N, L), differentiable, from standard normal noise (…, S, N or 1, E)."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) in nats: (K, S, N, G)."""
        ...
