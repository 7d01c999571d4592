"""How far a row's code lies from those of training rows: what a single prior cannot tell.

Where normal rows form many dense pockets, a point between two of them has a high prior density
and is abnormal all the same. The distance to its nearest training codes shows it.

Legend: G generative members, N rows, L latents, M kept codes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .columns import round_up

MOST_CODES = 2048
# so many training rows have to lie near a row to vouch for it: a few anomalies among them do not
NEIGHBOURS = 10
# codes are compared in so many groups, where there are enough of them
GROUPS = 128
# rows whose distances to all codes stay in a core's cache
ROWS_AT_ONCE = 128


class Codes:
    """Latent means of training rows, and the distance to the k-th nearest of them.

    Args:
        points: (G, M, L) float32 codes; members see different spaces, so each has its own.
        neighbours: k, 1 to 128 and no more than M.

    Reference: Ramaswamy, Rastogi, Shim (2000), distance to the k-th neighbour as outlier score.
    """

    def __init__(self, points: Tensor, neighbours: int) -> None:
        self.points, self.neighbours = points, neighbours
        # squares cancel least around the middle; the padding is infinitely far away
        self._center = points.mean(dim=1, keepdim=True)
        centred = points - self._center
        self._grouped = points.shape[1] >= 4 * GROUPS
        kept = points.shape[1]
        missing = -kept % GROUPS if self._grouped else round_up(kept) - kept
        pad = torch.nn.functional.pad
        squares = pad(centred.square().sum(-1)[:, None], (0, missing), value=torch.inf)
        # a row's code and a 1, times this: all squared distances, less the row's own square
        self._factor = torch.cat([pad(-2.0 * centred, (0, 0, 0, missing)).mT, squares], dim=1)

    @staticmethod
    def of(means: Tensor, seed: int = 0) -> Codes:
        """Keep at most 2,048 of the codes (G, N, L), drawn at random with `seed`; k is 10."""
        kept = min(means.shape[1], MOST_CODES)
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(means.shape[1], generator=generator)[:kept]
        return Codes(means[:, chosen.to(means.device)].contiguous(), min(NEIGHBOURS, kept))

    def distance(self, mu: Tensor) -> Tensor:
        """(G, N) distance of codes mu (G, N, L) to their k-th nearest kept code, ≥ 0."""
        centred = mu - self._center
        size = mu.shape[1] if mu.is_cuda else ROWS_AT_ONCE
        rows = torch.nn.functional.pad(centred, (0, 1), value=1.0)
        # one buffer for all: a new one for each would have to be fetched into the cache first
        squared = mu.new_empty(len(mu), min(size, mu.shape[1]), self._factor.shape[-1])
        nearest = torch.cat([self._nearest(p, squared) for p in rows.split(size, dim=1)], dim=1)
        return (nearest + centred.square().sum(-1)).clamp_min(0.0).sqrt()

    def _nearest(self, rows: Tensor, buffer: Tensor) -> Tensor:
        """(G, N) k-th smallest squared distance, less the squared norm of the code itself."""
        squared = torch.bmm(rows, self._factor, out=buffer[:, : rows.shape[1]])
        k = self.neighbours
        if self._grouped:
            # the k smallest lie in the k groups with the smallest minima: a vectorised minimum
            # and two short searches take a quarter of the time of one long search
            groups = squared.unflatten(-1, (-1, GROUPS))
            chosen = _smallest(groups.amin(-2), k)
            where = chosen[..., None, :].expand(*groups.shape[:-1], k)
            squared = groups.gather(-1, where).flatten(-2)
        return _kth_smallest(squared, k)

    def to(self, device: torch.device) -> Codes:
        return Codes(self.points.to(device), self.neighbours)


# NumPy's selection has vector instructions, which torch's lacks on a CPU: a third of the time
def _smallest(values: Tensor, k: int) -> Tensor:
    """Where the k smallest of the last axis are, in any order."""
    if values.is_cuda:
        return values.topk(k, dim=-1, largest=False, sorted=False).indices
    return torch.from_numpy(np.argpartition(values.numpy(), k - 1, axis=-1)[..., :k])


def _kth_smallest(values: Tensor, k: int) -> Tensor:
    """The k-th smallest of the last axis."""
    if values.is_cuda:
        return values.topk(k, dim=-1, largest=False, sorted=False).values.amax(-1)
    return torch.from_numpy(np.partition(values.numpy(), k - 1, axis=-1)[..., k - 1])
