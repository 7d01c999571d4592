"""One reason of a row's score, in words: what its cell holds, and what was expected there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.wording import number, percent, quoted
from vae_core import canonical, is_missing

PLACES = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the centre", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)
COMMON = 0.5  # probability from which a category is as expected
_UNLIKELY = 0.1
_RARE_ONES = "(other)"  # what the encoding calls all categories too rare for a place of their own
_LOCAL = 0.35  # share of a picture's error in a ninth of it from which it is said where
_MOST = 0.75  # share of the error from which a place is called brighter, or darker


def say_category(
    name: str, value: Any, expected: Any, probability: float, seen: bool = True
) -> str:
    """One reason in words, for a categorical or binary column.

    Args:
        name: of the column.
        value: the row's raw value; None or NaN is missing.
        expected: the likeliest value in its place.
        probability: the model's probability of `value`.
        seen: whether training rows held it.

    Returns:
        For instance "service 'ftp' is unlikely here (0.2 %): expected is 'http'".
    """
    wanted = "a rare value" if expected == _RARE_ONES else quoted(expected)
    spelt = canonical(value)
    if spelt is None:
        return f"{name} is missing: expected is {wanted}"
    text = f"{name} {quoted(spelt)}"
    if not seen:
        return f"{text} was never seen in training: expected is {wanted}"
    if probability >= COMMON or spelt == expected:
        return f"{text} is the likeliest here, with {percent(probability)}"
    if probability >= _UNLIKELY:
        return f"{text} is less likely here ({percent(probability)}) than {wanted}"
    return f"{text} is unlikely here ({percent(probability)}): expected is {wanted}"


def say_number(name: str, value: Any, expected: Any, far: bool = False) -> str:
    """One reason in words, for a numeric column.

    Args:
        name: of the column.
        value: the row's raw value; None or NaN is missing.
        expected: what the model expects in its place, in the column's own units.
        far: whether they lie far apart for this column.

    Returns:
        For instance "src_bytes 9120 is far above the expected 310".
    """
    if is_missing(value):
        return f"{name} is missing: expected is about {number(expected)}"
    digits = 3
    shown, wanted = number(value), number(expected)
    while shown == wanted and digits < 12:
        digits += 1
        shown, wanted = number(value, digits), number(expected, digits)
    degree = "far " if far else "just " if digits > 3 else ""
    side = "above" if value > expected else "below"
    return f"{name} {shown} is {degree}{side} the expected {wanted}"


def say_picture(
    name: str, error: np.ndarray, beyond: np.ndarray, conditions: Mapping[str, Any]
) -> str:
    """One reason in words, for a column of pictures.

    Args:
        name: of the column.
        error: (H, W) squared error of each pixel.
        beyond: (H, W) by how much each is brighter than expected.
        conditions: what the model was told of the picture.

    Returns:
        For instance "picture is unlike the training pictures, most in the upper left, where it is
        brighter than expected".
    """
    given = [f"{n} {quoted(v)}" for n, v in conditions.items() if not is_missing(v)]
    whose = f" of {' and '.join(given)}" if given else ""
    text = f"{name} is unlike the training pictures{whose}"
    worst, share = _worst_square(error)
    if share <= _LOCAL:
        return f"{text}, all over{_shade(error, beyond)}"
    # thirds of the picture by the middle of the square
    line, place = (
        min(2, 3 * (part.start + part.stop) // (2 * size))
        for part, size in zip(worst, error.shape, strict=True)
    )
    return f"{text}, most {PLACES[line][place]}{_shade(error[worst], beyond[worst])}"


def _worst_square(error: np.ndarray) -> tuple[tuple[slice, slice], float]:
    """The part of a third of both sides that holds most of the error, and its share of it."""
    high, wide = (-(-size // 3) for size in error.shape)
    sums = np.lib.stride_tricks.sliding_window_view(error, (high, wide)).sum((2, 3))
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    place = slice(int(top), int(top) + high), slice(int(left), int(left) + wide)
    return place, float(sums.max() / max(error.sum(), np.finfo(np.float64).tiny))


def _shade(error: np.ndarray, beyond: np.ndarray) -> str:
    """Brighter or darker, where most of the error is the one or the other."""
    brighter = error[beyond > 0].sum() / max(error.sum(), np.finfo(np.float64).tiny)
    if 1 - _MOST < brighter < _MOST:
        return ""
    return f", where it is {'brighter' if brighter > 0.5 else 'darker'} than expected"


def say_constant(name: str, value: Any, usual: Any) -> str:
    """One reason in words, for a column that held one value in all training rows."""
    return f"{name} {_shown(value)} is new: in training it was always {_shown(usual)}"


def _shown(value: Any) -> str:
    if is_missing(value):
        return "missing"
    return quoted(value) if isinstance(value, str) else number(value)
