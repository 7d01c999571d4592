"""Where an interrupted training goes on: a file of this machine, named by all that decides it.

The name is a hash of rows, split, settings, code and device, so that another training never finds
it. Files lie in the home's folder; of a home in an object store, in the folder on this machine that
stands in for it: a checkpoint is written often and read by whoever was interrupted, so another
machine begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.provenance import code_version

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home
    from pipeline.split import Split

__all__ = ["checkpoint", "training_key"]

# whoever was interrupted so long ago does not come back: rows or code have changed since
STALE_DAYS = 14.0


def training_key(config: Config, split: Split, data_hash: str) -> str:
    """What must be equal for one training to go on as another, as 24 hexadecimal digits.

    Args:
        config: what shapes a training counts; how often it is kept, or what comes after, does not.
        split: of the rows.
        data_hash: of the content of all rows that the training reads.
    """
    import torch

    from vae_core import choose_device

    shaping = {"name", "columns", "model", "training", "seed"}
    settings = config.model_dump(mode="json", include=shaping)
    del settings["training"]["checkpoint_minutes"]
    device = choose_device(config.device).type
    parts = [settings, split.to_dict(), data_hash, code_version(), torch.__version__, device]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


@contextmanager
def checkpoint(home: Home, name: str, key: str) -> Iterator[Path]:
    """The file of a training, for as long as the training and what follows from it takes.

    It goes once the work is done, and outlives whatever else ended it.
    """
    folder = home.path / "checkpoints" / name
    _sweep(folder)
    file = folder / f"{key}.safetensors"
    yield file
    file.unlink(missing_ok=True)
    _remove_parts(file)


def _remove_parts(file: Path) -> None:
    """Remove what processes that were killed while they wrote it have left of a training's file."""
    for part in file.parent.glob(f"{file.name}.*.part"):
        try:
            os.kill(int(part.name.split(".")[-2]), 0)
        except ProcessLookupError:
            part.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what interrupted trainings have left that nobody went on with."""
    for file in folder.glob("*") if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime > 86_400 * STALE_DAYS:
                file.unlink()
