"""Cells that hold pictures, in the forms that callers have them, to one array.

Legend: N rows, H × W pixels, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .canonical import is_missing

MISSING = "missing, but required"
VALUES = "pixels that are no whole numbers from 0 to 255"


def read_pictures(
    cells: Sequence[Any] | np.ndarray, shape: tuple[int, int, int]
) -> tuple[np.ndarray, dict[int, str]]:
    """Pictures of one size out of cells.

    Args:
        cells: N of them, each an array or nested list (H, W) or (H, W, C), a flat one of H·W·C
            values line by line, or that many bytes; or one numeric array (N, …) of such.
        shape: (H, W, C).

    Returns:
        (N, H, W, C) uint8, 0 where a cell is no such picture; and what is wrong by row.
    """
    if isinstance(cells, np.ndarray) and cells.dtype.kind != "O" and cells.ndim > 1:
        fits = cells.shape[1:] in _shapes(shape)
        if fits and cells.dtype == np.uint8:
            return cells.reshape(-1, *shape), {}
    out = np.zeros((len(cells), *shape), dtype=np.uint8)
    wrong: dict[int, str] = {}
    for row, cell in enumerate(cells):
        found = _read(cell, shape)
        if isinstance(found, str):
            wrong[row] = found
        else:
            out[row] = found
    return out, wrong


def size_in_words(shape: Sequence[int]) -> str:
    """Such as "28 × 28 pixels", "32 × 32 pixels of 3 channels"."""
    high, wide, channels = (*shape, 1)[:3]
    return f"{high} × {wide} pixels" + (f" of {channels} channels" if channels > 1 else "")


def _read(cell: Any, shape: tuple[int, int, int]) -> np.ndarray | str:
    if is_missing(cell):
        return MISSING
    if isinstance(cell, (bytes, bytearray, memoryview)):
        raw = np.frombuffer(cell, dtype=np.uint8)
        if len(raw) != math.prod(shape):
            return f"{len(raw):,} bytes, no picture of {size_in_words(shape)}"
        return raw.reshape(shape)
    values = _array(cell)
    if values is None:
        return "no picture"
    if values.shape not in _shapes(shape):
        if values.ndim in (2, 3):
            return f"a picture of {size_in_words(values.shape)} instead of {size_in_words(shape)}"
        return f"{values.size:,} values, no picture of {size_in_words(shape)}"
    fits = values.min() >= 0 and values.max() <= 255 and bool((values == np.rint(values)).all())
    return values.reshape(shape) if fits else VALUES


def _array(cell: Any) -> np.ndarray | None:
    """Numbers in an array; None where the cell is none. Lists of arrays come from Parquet."""
    try:
        values = np.asarray(cell)
        if values.dtype.kind == "O" and values.ndim:
            parts = [_array(part) for part in values]
            if any(part is None for part in parts):
                return None
            values = np.stack([part for part in parts if part is not None])
    except ValueError:
        return None
    return values if values.dtype.kind in "buif" else None


def _shapes(shape: tuple[int, int, int]) -> tuple[tuple[int, ...], ...]:
    """In which a picture may come."""
    flat = (math.prod(shape),)
    return (shape, flat, shape[:2]) if shape[2] == 1 else (shape, flat)
