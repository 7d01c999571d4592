"""How far a row lies from training rows themselves: what an encoder may have thrown away.

A code keeps what helps to rebuild normal rows, so an anomaly's code can lie among theirs. The row
does not.

Legend: N rows, W encoded width, M kept rows, P directions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .bending import bend
from .columns import Layout
from .neighbours import Neighbours

# Fewer than codes: an anomaly among the training rows seldom is one of them, and each costs time.
MOST_ROWS = 1024
# Of wider rows distances are those along so many random directions, within about a tenth.
DIRECTIONS = 32


class Rows:
    """Training rows as the networks read them, and how far others lie from them.

    Args:
        points: (1, M, P) float32 rows, those wider than 32 along the directions.
        typical: (1, 2), see `Neighbours`.
        directions: (W, P) float32, of lengths about √(W / P); None for narrow rows.
        numeric: cells that are bent, the first ones.

    Reference: Johnson, Lindenstrauss (1984), of distances along random directions.
    """

    def __init__(
        self, points: Tensor, typical: Tensor, directions: Tensor | None, numeric: int
    ) -> None:
        self.neighbours = Neighbours(points, typical)
        self.directions, self.numeric = directions, numeric

    @staticmethod
    def fit(layout: Layout) -> bool:
        """Whether distances tell anything: not of pictures, whose pixels say little one by one, nor
        of rows with conditions, by which what is usual differs."""
        return not layout.image and not layout.conditions

    @staticmethod
    def of(x: Tensor, layout: Layout, seed: int = 0) -> Rows:
        """Keep at most 1,024 of the encoded rows x (N, W), drawn at random with `seed`."""
        directions = None
        if layout.width > DIRECTIONS:
            generator = torch.Generator().manual_seed(seed)
            directions = torch.randn(layout.width, DIRECTIONS, generator=generator)
            directions = (directions / DIRECTIONS**0.5).to(x.device)
        seen = _seen(x, directions, layout.numeric)
        kept = Neighbours.of(seen[None], seed, MOST_ROWS)
        return Rows(kept.points, kept.typical, directions, layout.numeric)

    def distance(self, x: Tensor) -> Tensor:
        """(N,) how far encoded rows x (N, W) lie from the kept ones, ≥ 0; about 1 is usual."""
        return self.neighbours.distance(_seen(x, self.directions, self.numeric)[None])[0]

    def to(self, device: torch.device) -> Rows:
        near, directions = self.neighbours, self.directions
        return Rows(
            near.points.to(device),
            near.typical.to(device),
            None if directions is None else directions.to(device),
            self.numeric,
        )


def _seen(x: Tensor, directions: Tensor | None, numeric: int) -> Tensor:
    bent = bend(x, numeric)
    return bent if directions is None else bent @ directions
