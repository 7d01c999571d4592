"""Why a row was flagged, in words: the columns that made its score, most telling first.

A scorer's contributions are additive (they sum, with the latent part and a constant, to the
row's anomaly score, a joined one too), so the largest ones *are* the reasons. Words are added
from what the members behind the score expected in the same row: a number, and the probability of
a category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipeline.wording import number, percent, quoted
from vae_core import canonical, is_missing

if TYPE_CHECKING:
    from vae_core import Encoding

TOP = 3
PLACES = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the centre", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)
LATENT = "the combination of values as a whole is unusual, more than any single column"
LATENT_OF_PICTURE = "as a whole it is of a kind that training hardly saw"
_SMALL_SHARE = 0.02
_LOCAL = 0.35  # share of a picture's error in a ninth of it from which it is said where
_MOST = 0.75  # share of the error from which a place is called brighter, or darker
_ROUNDING = 1e-9
_FAR = 3.0
_NEAR = 1.0  # standard deviations within which a number is as expected
_COMMON = 0.5
_RARE_ONES = "(other)"  # what the encoding calls all categories too rare for a place of their own


class _Explanation(Protocol):
    @property
    def contributions(self) -> np.ndarray: ...
    @property
    def latent(self) -> np.ndarray: ...
    @property
    def names(self) -> Sequence[str]: ...


class Explainer(Protocol):
    """The part of `vae_core.Scorer` that reasons are made from."""

    @property
    def encoding(self) -> Encoding: ...
    def explain(self, data: Mapping[str, np.ndarray]) -> _Explanation: ...
    def reconstruct(self, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...
    def expected_probability(self, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...
    def heat(self, data: Mapping[str, np.ndarray]) -> Any: ...


def reasons(scorer: Explainer, data: Mapping[str, np.ndarray], top: int = TOP) -> list[list[str]]:
    """The strongest reasons for each row's score, in words.

    Only what pushes a score up is a reason, and what adds less than 2 % of all that does is
    left out, so a row may have fewer than `top`. That the row as a whole lies where training saw
    few is told last, and only where the latent part outweighs all columns together, or every
    column that is told is about as expected.

    Args:
        scorer: explains, and says what it expected.
        data: (N,) raw values per column, as the scorer takes them.
        top: largest number of reasons for a row, ≥ 1.

    Returns:
        N lists of at most `top` sentences' worth of text, strongest first; a list is empty
        only where nothing raised the score. Each begins with its column's name, but the one of
        the row as a whole.
    """
    explained = scorer.explain(data)
    expected, probability = _expectation(scorer, data)
    distances = _distances(scorer.encoding, data, expected)
    image = getattr(scorer.encoding, "image", None)
    errors = beyond = np.zeros(0)
    if image is not None:
        errors = scorer.heat(data).error.numpy()
        here, there = (
            np.reshape(cells[image.name], (*errors.shape, -1)).mean(-1)
            for cells in (data, expected)
        )
        beyond = here - there
    latent = LATENT if image is None else LATENT_OF_PICTURE
    names = [*explained.names, None]
    parts = np.column_stack([explained.contributions, explained.latent])
    parts = np.where(np.isfinite(parts), parts, -np.inf)
    out: list[list[str]] = []
    for row, line in enumerate(parts):
        worth = line[line > 0].sum() * _SMALL_SHARE
        told: list[str] = []
        usual = image is None
        for column in np.argsort(-line, kind="stable"):
            name = names[column]
            if line[column] <= max(worth, _ROUNDING) or len(told) == top:
                break
            if name is None:
                continue
            if image is not None and name == image.name:
                known = {
                    c.name: data[c.name][row] for c in scorer.encoding.conditions if c.name in data
                }
                told.append(say_picture(name, errors[row], beyond[row], known))
                continue
            value, wanted = data[name][row], expected[name][row]
            if name in probability:
                chance = float(probability[name][row])
                told.append(say_category(name, value, wanted, chance))
                usual &= chance >= _COMMON
            elif name in distances:
                told.append(say_number(name, value, wanted, bool(distances[name][row] > _FAR)))
                usual &= not is_missing(value) and bool(distances[name][row] <= _NEAR)
            else:
                told.append(say_constant(name, value, wanted))
                usual = False
        columns = line[:-1]
        if line[-1] > columns[columns > 0].sum() or (told and usual):
            told = [*told[: top - 1], latent]
        out.append(told)
    return out


def _expectation(
    scorer: Explainer, data: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By the members behind the score; versions of earlier releases only know what all expect."""
    ask = getattr(scorer, "expectation", None)
    if ask is not None:
        cells, probability = ask(data)
        return cells, probability
    return scorer.reconstruct(data), scorer.expected_probability(data)


def say_category(name: str, value: Any, expected: Any, probability: float) -> str:
    """One reason in words, for a categorical or binary column.

    Args:
        name: of the column.
        value: the row's raw value; None or NaN is missing.
        expected: the likeliest value in its place.
        probability: the model's probability of `value`.

    Returns:
        For instance "service 'ftp' is unlikely here (0.2 %): expected is 'http'".
    """
    wanted = "a rare value" if expected == _RARE_ONES else quoted(expected)
    spelt = canonical(value)
    if spelt is None:
        return f"{name} is missing: expected is {wanted}"
    text = f"{name} {quoted(spelt)}"
    if probability >= _COMMON:
        return f"{text} is expected, but only with {percent(probability)}"
    if spelt == expected:
        return f"{text} is the likeliest here, but only with {percent(probability)}"
    return f"{text} is unlikely here ({percent(probability)}): expected is {wanted}"


def say_number(name: str, value: Any, expected: Any, far: bool = False) -> str:
    """One reason in words, for a numeric column.

    Args:
        name: of the column.
        value: the row's raw value; None or NaN is missing.
        expected: what the model expects in its place, in the column's own units.
        far: whether they lie far apart for this column.

    Returns:
        For instance "src_bytes 9,120 is far above the expected 310".
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


def _distances(
    encoding: Encoding, data: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """(N,) for each numeric column: from value to expectation, in its standard deviations.

    Of heavy-tailed columns on their bent scale, so that far means the same everywhere.
    """
    here, there = encoding.encode(data)[0], encoding.encode(expected)[0]
    return {c.name: np.abs(here[:, i] - there[:, i]) for i, c in enumerate(encoding.numeric)}
