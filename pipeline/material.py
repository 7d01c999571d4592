"""What a training reads: rows in memory, or a stream of more rows than fit there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.frames import to_columns
from pipeline.progress import Progress
from pipeline.provenance import content_hash
from pipeline.sampling import Rows, read_rows
from pipeline.split import Range

if TYPE_CHECKING:
    from pipeline.lake import Lake
    from pipeline.split import Split
    from vae_core import Encoding, Stream

__all__ = ["Material", "read_material"]

# of a stream's rows, for encodings, codes and figures: they settle with far fewer
SAMPLE_ROWS = 200_000
# at a time from the table, where the memory's share allows it; and blocks that are held at once
BLOCK_ROWS = 131_072
FEWEST_BLOCKS = 8

StreamOf = Callable[["Encoding"], "Stream"]


class Material(NamedTuple):
    """The rows of one training.

    Attributes:
        rows: that train; with a stream, a uniform sample of its rows.
        held_out: validation rows.
        train_hash, validation_hash: of the content of all rows that are read.
        stream: makes the stream, given the encoding; None where `rows` are all that train.
    """

    rows: Rows
    held_out: Rows
    train_hash: str
    validation_hash: str
    stream: StreamOf | None = None

    @property
    def both(self) -> str:
        """Hash of all of it."""
        return f"{self.train_hash}-{self.validation_hash}"


def read_material(lake: Lake, split: Split, progress: Progress | None = None) -> Material:
    """Read training and validation rows as the config's `training.rows` and `stream` ask for."""
    config = lake.config
    settings = config.training
    held_out = read_rows(lake, config, split.validation, most=settings.rows, seed=config.seed)
    if not settings.stream or split.train.rows <= settings.rows:
        rows = read_rows(
            lake, config, split.train, most=settings.rows, seed=config.seed, progress=progress
        )
        return Material(rows, held_out, content_hash(rows.columns), content_hash(held_out.columns))
    digest = hashlib.sha256()

    def count(piece: pa.Table) -> None:
        digest.update(content_hash(to_columns(piece, config)).encode())

    rows = read_rows(
        lake, config, split.train,
        most=min(SAMPLE_ROWS, settings.rows), seed=config.seed, progress=progress, each=count,
    )  # fmt: skip
    return Material(
        rows,
        held_out,
        digest.hexdigest()[:32],
        content_hash(held_out.columns),
        lambda encoding: stream_of(lake, split.train, encoding, settings.rows),
    )


def stream_of(lake: Lake, rows: Range, encoding: Encoding, at_most: int) -> Stream:
    """A range of ingested rows as blocks that are read and encoded when they are asked for.

    Args:
        lake: to read from.
        rows: the range.
        encoding: of them.
        at_most: rows in memory.
    """
    import torch

    from vae_core import Stream

    size = max(1, min(BLOCK_ROWS, at_most // FEWEST_BLOCKS))
    blocks = -(-rows.rows // size)
    edges = np.linspace(0, rows.rows, blocks + 1).astype(int)

    def read(block: int) -> torch.Tensor:
        first, last = rows.first + edges[block], rows.first + edges[block + 1] - 1
        names = lake.config.features
        pieces = [
            encoding.encode(to_columns(piece, lake.config))[0]
            for piece in lake.scan_rows(int(first), int(last), names)
        ]
        return torch.from_numpy(np.concatenate(pieces))

    return Stream(rows.rows, blocks, read, max(1, at_most // size))
