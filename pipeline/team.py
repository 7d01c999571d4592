"""Training in several processes that torchrun has started: the first leads, the others follow.

`torchrun --nproc-per-node 4 -m pipeline.cli train CONFIG`. Every process reads the rows; the first
one alone logs, keeps the checkpoint and prints.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.split import Range, Split

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home
    from vae_core import Team

__all__ = ["TeamError", "agreed_split", "check_alike", "follow", "follows", "meet"]

TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR")


class TeamError(UserError):
    """The processes cannot train together."""


def follows() -> bool:
    """Whether this process is one of torchrun's, and not the first."""
    return all(name in os.environ for name in TORCHRUN) and os.environ["RANK"] != "0"


@contextmanager
def meet(config: Config) -> Iterator[Team]:
    """The team of this training; of one process where torchrun has started none.

    Raises:
        TeamError: the configured device is not to be had.
    """
    from vae_core import ALONE, choose_device, joined

    if not all(name in os.environ for name in TORCHRUN):
        yield ALONE
        return
    try:
        device = choose_device(config.device)
    except ValueError as error:
        raise TeamError(f"{config.name!r} cannot be trained: {error}") from error
    with joined(device) as team:
        yield team


def agreed_split(team: Team, split: Split) -> Split:
    """The first process's: rows may have arrived since it looked."""
    import torch

    if team.size == 1:
        return split
    own = torch.tensor(
        [astuple(part) for part in (split.train, split.validation, split.calibration)]
    )
    return Split(*(Range(*part) for part in team.agreed(own.to(team.device)).tolist()))


def check_alike(team: Team, key: str) -> None:
    """All processes are about to do the same training.

    Raises:
        TeamError: this one has other rows, settings or code than the first one.
    """
    first = team.told(key.encode())
    if first != key.encode():
        raise TeamError(
            f"process {team.rank} of {team.size} has other rows, settings, code or torch than the "
            "first one",
            hint="Give all machines the same home, config and release, and the same `device`.",
        )


def follow(home: Home, config: Config) -> None:
    """What every process but the first does: compute its share of each batch, and tell nobody.

    Raises:
        TeamError: see `check_alike`.
        UserError: as `training.train`.
    """
    from pipeline.checkpoints import training_key
    from pipeline.lake import Lake
    from pipeline.material import read_material
    from pipeline.split import make_split
    from pipeline.training import fit_share

    lake = Lake(config, home)
    with meet(config) as team:
        split = agreed_split(team, make_split(lake, config))
        material = read_material(lake, split)
        check_alike(team, training_key(config, split, material.both))
        fit_share(config, material, team)
