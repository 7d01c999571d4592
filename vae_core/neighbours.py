"""How far points lie from training points near them: what a single prior cannot tell.

Where normal rows form many dense pockets, a point between two of them has a high prior density
and is abnormal all the same. The distances to training codes near it show it: that to the nearest
one tells most where training rows are clean, but a single anomaly among them vouches for its like;
so twenty have to lie near, too.

Legend: G spaces, N points, L coordinates, M kept points. Of codes a space is a generative member's
latent; rows have a single space, see `rows`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MOST_CODES = 2048
# points are dealt into so many groups, and each group's nearest one counts: the minimum over a
# group is vectorised, and leaves a short search for the twentieth
GROUPS = 128
WIDE = 20
# no distance is typical that is less than this share of the points' own spread: where rows repeat
# themselves, or lie on a line, the last digits of a code would decide
LEAST = 0.01
# rows whose distances to all codes stay in a core's cache; two threads that take turns at Python
# want few and long operations
ROWS_AT_ONCE = 64


class Neighbours:
    """Training points, and how far others lie from them.

    Args:
        points: (G, M, L) float32 in random order.
        typical: (G, 2) distances that count as 1, > 0: to the nearest point, and to the nearest
            points of twenty groups.

    Reference: Ramaswamy, Rastogi, Shim (2000), distance to the k-th neighbour as outlier score.
    """

    def __init__(self, points: Tensor, typical: Tensor) -> None:
        self.points, self.typical = points, typical
        # squares of large points cancel where two are close: around the middle, and in double
        # precision, that leaves distances the same on every machine
        self._center = points.double().mean(dim=1, keepdim=True)
        centred = points.double() - self._center
        # the padding is infinitely far away
        missing = -points.shape[1] % GROUPS
        pad = torch.nn.functional.pad
        squares = pad(centred.square().sum(-1)[:, None], (0, missing), value=torch.inf)
        # a point and a 1, times this: all squared distances, less the point's own square
        self._factor = torch.cat([pad(-2.0 * centred, (0, 0, 0, missing)).mT, squares], dim=1)
        self._wide = min(WIDE, points.shape[1])

    @staticmethod
    def of(points: Tensor, seed: int = 0) -> Neighbours:
        """Keep at most 2,048 of the points (G, N, L), drawn at random with `seed`."""
        chosen = some(points.shape[1], MOST_CODES, seed).to(points.device)
        kept = points[:, chosen].contiguous()
        return Neighbours(kept, typical_of(kept))

    def distance(self, points: Tensor) -> Tensor:
        """(G, N) how far points (G, N, L) lie from the kept ones, ≥ 0; about 1 is usual.

        The larger of two: to the nearest point, and to the nearest points of twenty groups, each
        over its typical value.
        """
        centred = points - self._center
        size = points.shape[1] if points.is_cuda else ROWS_AT_ONCE
        rows = torch.nn.functional.pad(centred, (0, 1), value=1.0)
        # one buffer for all: a new one for each would have to be fetched into the cache first
        buffer = rows.new_empty(len(points), min(size, points.shape[1]), self._factor.shape[-1])
        in_groups = [
            _nearest_in_groups(torch.bmm(part, self._factor, out=buffer[:, : part.shape[1]]))
            for part in rows.split(size, dim=1)
        ]
        squared = _near_and_wide(torch.cat(in_groups, dim=1), self._wide)
        squared = (squared + centred.square().sum(-1, keepdim=True)).clamp_min(0.0)
        return (squared.sqrt() / self.typical[:, None]).amax(-1).float()

    def to(self, device: torch.device) -> Neighbours:
        return Neighbours(self.points.to(device), self.typical.to(device))


def some(count: int, most: int, seed: int) -> Tensor:
    """At most so many of so many places, in random order."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most]


def typical_of(points: Tensor) -> Tensor:
    """(G, 2) distances of points (G, M, L) that count as 1, see `Neighbours`."""
    return torch.stack([_typical(one.cpu()) for one in points]).to(points.device)


def _nearest_in_groups(distances: Tensor) -> Tensor:
    """(…, GROUPS) smallest distances of each group, of (…, M)."""
    return distances.unflatten(-1, (-1, GROUPS)).amin(-2)


def _near_and_wide(in_groups: Tensor, wide: int) -> Tensor:
    """(…, 2) the smallest, and the `wide`-th smallest, of (…, GROUPS)."""
    return torch.stack([in_groups.amin(-1), _kth_smallest(in_groups, wide)], dim=-1)


def _kth_smallest(values: Tensor, k: int) -> Tensor:
    """The k-th smallest of the last axis."""
    if values.is_cuda:
        return values.topk(k, dim=-1, largest=False, sorted=False).values.amax(-1)
    # NumPy's selection has vector instructions that torch's lacks: a third of the time
    return torch.from_numpy(np.partition(values.numpy(), k - 1, axis=-1)[..., k - 1])


def _typical(points: Tensor) -> Tensor:
    """(2,) medians over points (M, L) of their distances to the others, not below `LEAST`."""
    others = len(points) - 1
    radius = (points - points.mean(0)).square().sum(-1).mean().sqrt()
    if radius == 0:
        return torch.ones(2)
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    padded = torch.nn.functional.pad(distances, (0, -len(points) % GROUPS), value=torch.inf)
    usual = _near_and_wide(_nearest_in_groups(padded), min(WIDE, others)).median(dim=0).values
    return usual.clamp_min(LEAST * radius)
