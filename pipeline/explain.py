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

from pipeline.sentences import COMMON, say_category, say_constant, say_number, say_picture
from vae_core import canonical, is_missing

if TYPE_CHECKING:
    from vae_core import Encoding

TOP = 3
LATENT = "the combination of values as a whole is unusual, more than any single column"
LATENT_OF_PICTURE = "as a whole it is of a kind that training hardly saw"
_SMALL_SHARE = 0.02
_ROUNDING = 1e-9
_FAR = 3.0
_NEAR = 1.0  # standard deviations within which a number is as expected


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
                told.append(_Reason(text, usual=chance >= COMMON, likely=chance >= COMMON))
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


def _known_categories(encoding: Encoding) -> dict[str, set[str]]:
    """What training rows held, of the categorical columns of which all of it is on record."""
    return {
        c.name: {*c.categories, *c.rare}
        for c in encoding.categorical
        if len(c.rare) == c.rare_kinds
    }


def _distances(
    encoding: Encoding, data: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """(N,) for each numeric column: from value to expectation, in its standard deviations.

    Of heavy-tailed columns on their bent scale, so that far means the same everywhere.
    """
    here, there = encoding.encode(data)[0], encoding.encode(expected)[0]
    return {c.name: np.abs(here[:, i] - there[:, i]) for i, c in enumerate(encoding.numeric)}
