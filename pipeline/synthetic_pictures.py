"""Four kinds of made-up anomalies of pictures, to compare detectors where no labels exist.

Each starts from real pictures and breaks one thing:

- noise: Gaussian noise of a sixth of white in every pixel.
- inverted: a square of a third of the sides with black for white.
- pasted: such a square cut out of another picture (Li et al. 2021, CutPaste).
- turned: upside down, and left for right.

Legend: N pictures (N, H, W, C) uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[Any]
Generator = np.random.Generator

NOISE = 255 / 6
WHITE = 255


def _noise(pictures: Pictures, others: Pictures, rng: Generator) -> Pictures:
    moved = pictures + rng.normal(0, NOISE, pictures.shape)
    return np.clip(np.rint(moved), 0, WHITE).astype(np.uint8)


def _inverted(pictures: Pictures, others: Pictures, rng: Generator) -> Pictures:
    return _in_squares(pictures, WHITE - pictures, rng)


def _pasted(pictures: Pictures, others: Pictures, rng: Generator) -> Pictures:
    # from another place of the other picture: at its own place it often looks the same
    lines, columns = (max(1, size // 3) for size in pictures.shape[1:3])
    return _in_squares(pictures, np.roll(others, (lines, columns), axis=(1, 2)), rng)


def _turned(pictures: Pictures, others: Pictures, rng: Generator) -> Pictures:
    return pictures[:, ::-1, ::-1]


PICTURE_KINDS: dict[str, Callable[[Pictures, Pictures, Generator], Pictures]] = {
    "noise": _noise,
    "inverted": _inverted,
    "pasted": _pasted,
    "turned": _turned,
}


def synthesise_pictures(kind: str, pictures: Pictures, seed: int = 0) -> Pictures:
    """Each picture with one thing broken.

    Args:
        kind: a name of `PICTURE_KINDS`.
        pictures: (N, H, W, C) uint8, normal for the most part.
        seed: equal seeds give equal pictures.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in PICTURE_KINDS:
        raise ValueError(f"unknown kind of anomaly {kind!r}; known: {', '.join(PICTURE_KINDS)}")
    rng = np.random.default_rng([seed, *kind.encode()])
    others = pictures[rng.permutation(len(pictures))]
    return PICTURE_KINDS[kind](pictures, others, rng)


def _in_squares(pictures: Pictures, filling: Pictures, rng: Generator) -> Pictures:
    """A square of each picture, at random, from its filling."""
    out = pictures.copy()
    high, wide = (max(1, round(size / 3)) for size in pictures.shape[1:3])
    tops = rng.integers(0, pictures.shape[1] - high + 1, len(pictures))
    lefts = rng.integers(0, pictures.shape[2] - wide + 1, len(pictures))
    for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        place = (slice(top, top + high), slice(left, left + wide))
        out[i][place] = filling[i][place]
    return out
