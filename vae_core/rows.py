"""How far a row lies from training rows themselves: what an encoder may have thrown away.

A code keeps what helps to rebuild normal rows, so an anomaly's code can lie among theirs. The row
does not.

Legend: N rows, D columns (grouped order), W encoded width, M kept rows, P directions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .bending import bend
from .columns import Layout
from .neighbours import WIDE, Neighbours, some, typical_of

# Fewer than codes: an anomaly among the training rows seldom is one of them, and each costs time.
MOST_ROWS = 1024
# Of wider rows distances are those along so many random directions, within about a tenth.
DIRECTIONS = 32
# cells compared with others at a time
AT_ONCE = 2**22


class Rows:
    """Training rows as the networks read them, and how far others lie from them.

    Args:
        kept: (M, W) float32 encoded rows, bent.
        typical: (1, 2), see `Neighbours`.
        directions: (W, P) float32, of lengths about √(W / P); None for narrow rows.
        layout: of the rows.

    Reference: Johnson, Lindenstrauss (1984), of distances along random directions.
    """

    def __init__(
        self, kept: Tensor, typical: Tensor, directions: Tensor | None, layout: Layout
    ) -> None:
        self.kept, self.directions, self.layout = kept, directions, layout
        self.neighbours = Neighbours(_along(kept, directions)[None], typical)

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
        kept = bend(x[some(len(x), MOST_ROWS, seed).to(x.device)], layout.numeric, few=0)
        return Rows(kept, typical_of(_along(kept, directions)[None]), directions, layout)

    def distance(self, x: Tensor) -> Tensor:
        """(N,) how far encoded rows x (N, W) lie from the kept ones, ≥ 0; about 1 is usual."""
        bent = bend(x, self.layout.numeric, few=0)
        return self.neighbours.distance(_along(bent, self.directions)[None])[0]

    def shares(self, x: Tensor) -> Tensor:
        """(N, D) what each column has in the differences from the nearest twenty kept rows.

        They sum to 1, and are equal where those rows are the same. By the nearest row alone they
        would be chance, and by squares a few rare cells would outshout the others.
        """
        bent = bend(x, self.layout.numeric, few=0)
        along = self.neighbours.points[0]
        places = torch.from_numpy(self.layout.column_of_cell).to(x.device)
        exactly = "donot_use_mm_for_euclid_dist"
        wide = min(WIDE, len(along))
        parts = []
        # the nearest are those of `distance`; pair by pair, so that they do not depend on the batch
        for part in bent.split(max(1, AT_ONCE // (WIDE * x.shape[1]))):
            away = torch.cdist(_along(part, self.directions), along, compute_mode=exactly)
            near = self.kept[away.topk(wide, largest=False, sorted=False).indices]
            cells = (part[:, None] - near).abs_().sum(1).double()
            columns = cells.new_zeros(len(part), self.layout.columns + 1)  # the last is of padding
            parts.append(columns.index_add_(1, places, cells)[:, :-1])
        columns = torch.cat(parts)
        whole = columns.sum(1, keepdim=True)
        return torch.where(whole > 0, columns / whole, 1.0 / self.layout.columns)

    def to(self, device: torch.device) -> Rows:
        directions = None if self.directions is None else self.directions.to(device)
        typical = self.neighbours.typical.to(device)
        return Rows(self.kept.to(device), typical, directions, self.layout)


def _along(bent: Tensor, directions: Tensor | None) -> Tensor:
    return bent if directions is None else bent @ directions
