"""What scores hold a row against: training rows, and their codes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .models import Model
from .neighbours import Neighbours
from .rows import Rows
from .scores import latent_means


class References(NamedTuple):
    """Training rows that vouch for others near them.

    Attributes:
        codes: latent means, in the space of each generative member.
        rows: the rows themselves; None where these tell nothing, see `Rows.fit`.
    """

    codes: Neighbours
    rows: Rows | None

    @staticmethod
    def of(model: Model, x: Tensor, seed: int = 0) -> References:
        """Of encoded training rows x (N, W), some drawn at random with `seed`."""
        place = model.draws.device
        codes = Neighbours.of(latent_means(model, x.cpu()).to(place), seed)
        layout = model.likelihood.layout
        return References(codes, Rows.of(x.to(place), layout, seed) if Rows.fit(layout) else None)
