"""Rows changed on purpose, to be mended: noise added, cells emptied; and spelled as models do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.making.source import Columns, Source

if TYPE_CHECKING:
    from vae_core import Scorer

Cells = np.ndarray[Any, Any]


def noisy(source: Source, real: Columns, noise: float, seed: int) -> Columns:
    """Numbers of a row in standard deviations of their column, pixels in shares of white."""
    rng, out = np.random.default_rng(seed), dict(real)
    if source.image is not None:
        pixels = real[source.image]
        moved = pixels + 255 * noise * rng.normal(size=pixels.shape)
        out[source.image] = np.clip(moved, 0, 255).astype(np.uint8)
    for column in source.scorer.encoding.numeric:
        values = real[column.name]
        out[column.name] = values + noise * np.nanstd(values) * rng.normal(size=len(values))
    return out


def blanked(source: Source, real: Columns, share: float, seed: int) -> Columns:
    rng, out = np.random.default_rng(seed), dict(real)
    for name in source.scorer.encoding.required:
        values = real[name]
        out[name] = values.copy() if values.dtype == object else values.astype(np.float64)
        out[name][rng.random(values.shape) < share] = None if values.dtype == object else np.nan
    return out


def spelled(scorer: Scorer, rows: Columns) -> Columns:
    """Modelled columns as the model spells them: rare categories in one bucket."""
    decoded = scorer.encoding.decode(scorer.encoding.encode(rows)[0])
    numeric = {column.name for column in scorer.encoding.numeric}
    return {n: rows[n] if n in numeric else decoded[n] for n in scorer.encoding.required}


def empty(values: Cells) -> Cells:
    """(N,) where cells are NaN or None."""
    return np.array([v is None or v != v for v in values.tolist()], dtype=bool)


def hidden(values: Cells, cells: Cells) -> Cells:
    """(N,) values without some of their cells."""
    out = values.copy()
    out[cells] = None if values.dtype == object else np.nan
    return out


def without(rows: Columns, holes: Columns) -> Columns:
    """Rows (N,) per column without the cells that are not missing in `holes`."""
    return {name: hidden(values, ~empty(holes[name])) for name, values in rows.items()}
