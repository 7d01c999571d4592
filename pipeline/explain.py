"""Why a row was flagged, in words: the columns that made its score, most telling first.

A scorer's contributions are additive (they sum, with the latent part and a constant, to the
row's anomaly score, a joined one too), so the largest ones *are* the reasons. Words are added
from what the members behind the score expect in their place, given the row's other cells: a
number, and the probability of a category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

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
_UNLIKELY = 0.1
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
    @property
    def score_kind(self) -> str: ...
    def explain(self, data: Mapping[str, np.ndarray]) -> _Explanation: ...
    def reconstruct(self, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...
    def expected_probability(self, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...
    def heat(self, data: Mapping[str, np.ndarray]) -> Any: ...


def reasons(scorer: Explainer, data: Mapping[str, np.ndarray], top: int = TOP) -> list[list[str]]:
    """The strongest reasons for each row's score, in words.

    Only what pushes a score up is a reason. Left out is what adds less than 2 % of all that does,
    and a likely category beside what is not likely, so a row may have fewer than `top`. That the
    row as a whole lies where training saw few is told last, and only where the latent part
    outweighs all columns together, or every column that is told is about as expected, of a score
    that is no sum of errors.

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
    image = getattr(scorer.encoding, "image", None)
    parts = np.column_stack([explained.contributions, explained.latent])
    parts = np.where(np.isfinite(parts), parts, -np.inf)
    telling = [_telling(line, top) for line in parts]
    expected, probability = _expectation(scorer, data, explained.names, telling)
    distances = _distances(scorer.encoding, data, expected)
    errors = beyond = np.zeros(0)
    if image is not None:
        errors = scorer.heat(data).error.numpy()
        here, there = (
            np.reshape(cells[image.name], (*errors.shape, -1)).mean(-1)
            for cells in (data, expected)
        )
        beyond = here - there
    latent = LATENT if image is None else LATENT_OF_PICTURE
    # an error is of columns one by one
    spread = image is None and scorer.score_kind != "reconstruction_error"
    known_categories = _known_categories(scorer.encoding)
    out: list[list[str]] = []
    for row, line in enumerate(parts):
        told: list[_Reason] = []
        for column in telling[row]:
            name = explained.names[column]
            if image is not None and name == image.name:
                known = {
                    c.name: data[c.name][row] for c in scorer.encoding.conditions if c.name in data
                }
                told.append(_Reason(say_picture(name, errors[row], beyond[row], known)))
                continue
            value, wanted = data[name][row], expected[name][row]
            if name in probability:
                chance = float(probability[name][row])
                seen = canonical(value) in known_categories.get(name, [canonical(value)])
                text = say_category(name, value, wanted, chance, seen)
                told.append(_Reason(text, usual=chance >= _COMMON, likely=chance >= _COMMON))
            elif name in distances:
                away = distances[name][row]
                text = say_number(name, value, wanted, bool(away > _FAR))
                told.append(_Reason(text, usual=not is_missing(value) and bool(away <= _NEAR)))
            else:
                told.append(_Reason(say_constant(name, value, wanted)))
        texts = [r.text for r in told if not r.likely] or [r.text for r in told]
        columns = line[:-1]
        usual = spread and bool(told) and all(r.usual for r in told)
        if line[-1] > columns[columns > 0].sum() or usual:
            texts = [*texts[: top - 1], latent]
        out.append(texts)
    return out


class _Reason(NamedTuple):
    """In words, whether the cell is about as expected, and whether it is the likeliest category."""

    text: str
    usual: bool = False
    likely: bool = False


def _telling(parts: np.ndarray, top: int) -> list[int]:
    """The columns that raise a row's score most, of (D + 1,) parts whose last is the latent's."""
    least = max(parts[parts > 0].sum() * _SMALL_SHARE, _ROUNDING)
    strongest = np.argsort(-parts[:-1], kind="stable")[:top].tolist()
    return [column for column in strongest if parts[column] > least]


def _expectation(
    scorer: Explainer,
    data: Mapping[str, np.ndarray],
    names: Sequence[str],
    telling: Sequence[Sequence[int]],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Of each telling cell given the row's others but the more telling ones.

    So neither the cell itself nor one that is odder pulls what is expected in its place. Pictures
    have no other cells, and versions of earlier releases hide none.
    """
    ask = getattr(scorer, "expectation_given_others", None)
    if ask is None or getattr(scorer.encoding, "image", None) is not None:
        return scorer.reconstruct(data), scorer.expected_probability(data)
    hidden = np.zeros((len(telling), len(names)), dtype=bool)
    expected: dict[str, np.ndarray] = {}
    probability: dict[str, np.ndarray] = {}
    for place in range(max([1, *map(len, telling)])):
        rows = [row for row, columns in enumerate(telling) if len(columns) > place]
        told = [telling[row][place] for row in rows]
        hidden[rows, told] = True
        found = ask(data, dict(zip(names, hidden.T, strict=True)))
        if not place:
            expected, probability = found
        for row, name in zip(rows, (names[column] for column in told), strict=True):
            expected[name][row] = found.cells[name][row]
            if name in probability:
                probability[name][row] = found.probability[name][row]
    return expected, probability


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
    if probability >= _COMMON or spelt == expected:
        return f"{text} is the likeliest here, with {percent(probability)}"
    if probability >= _UNLIKELY:
        return f"{text} is less likely here ({percent(probability)}) than {wanted}"
    return f"{text} is unlikely here ({percent(probability)}): expected is {wanted}"


def _known_categories(encoding: Encoding) -> dict[str, set[str]]:
    """What training rows held, of the categorical columns of which all of it is on record."""
    return {
        c.name: {*c.categories, *c.rare}
        for c in encoding.categorical
        if len(c.rare) == c.rare_kinds
    }


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


def _distances(
    encoding: Encoding, data: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """(N,) for each numeric column: from value to expectation, in its standard deviations.

    Of heavy-tailed columns on their bent scale, so that far means the same everywhere.
    """
    here, there = encoding.encode(data)[0], encoding.encode(expected)[0]
    return {c.name: np.abs(here[:, i] - there[:, i]) for i, c in enumerate(encoding.numeric)}
