"""Why a row was flagged, in words: the columns that made its score, most telling first.

A scorer's contributions are additive (they sum, with the latent part and a constant, to the
row's anomaly score), so the largest ones *are* the reasons. Words are added from what the
model expected in the same row: its reconstruction of a number, its probability of a category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

LATENT = "the combination of values as a whole is unusual, more than any single column"
_SMALL_SHARE = 0.02
_RATIO_FROM = 2.0
_RATIO_TO = 10_000.0
_COMMON = 0.5


class _Explanation(Protocol):
    @property
    def contributions(self) -> np.ndarray: ...
    @property
    def latent(self) -> np.ndarray: ...
    @property
    def names(self) -> Sequence[str]: ...


class Explainer(Protocol):
    """The part of `vae_core.Scorer` that reasons are made from."""

    def explain(self, data: Mapping[str, np.ndarray]) -> _Explanation: ...
    def reconstruct(self, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...
    def expected_probability(self, data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...


def reasons(scorer: Explainer, data: Mapping[str, np.ndarray], top: int = 3) -> list[list[str]]:
    """The strongest reasons for each row's score, in words.

    Only what pushes a score up is a reason, and what adds less than 2 % of all that does is
    left out, so a row may have fewer than `top`. The latent part (the row as a whole lies
    where the model saw few rows) is told only where it outweighs every column.

    Args:
        scorer: explains, reconstructs and gives the probability of categories.
        data: (N,) raw values per column, as the scorer takes them.
        top: largest number of reasons for a row, ≥ 1.

    Returns:
        N lists of at most `top` sentences' worth of text, strongest first; a list is empty
        only where nothing raised the score.
    """
    explained = scorer.explain(data)
    expected = scorer.reconstruct(data)
    probability = scorer.expected_probability(data)
    names = [*explained.names, None]
    parts = np.column_stack([explained.contributions, explained.latent])
    parts = np.where(np.isfinite(parts), parts, -np.inf)
    out: list[list[str]] = []
    for row, line in enumerate(parts):
        worth = line[line > 0].sum() * _SMALL_SHARE
        told: list[str] = []
        for place, column in enumerate(np.argsort(-line, kind="stable")):
            name = names[column]
            if line[column] <= max(worth, 0.0) or len(told) == top:
                break
            if name is None:
                if place == 0:
                    told.append(LATENT)
                continue
            known = probability.get(name)
            told.append(
                say(
                    name,
                    data[name][row],
                    expected[name][row],
                    None if known is None else float(known[row]),
                )
            )
        out.append(told)
    return out


def say(name: str, value: Any, expected: Any, probability: float | None = None) -> str:
    """One reason in words.

    Args:
        name: of the column.
        value: the row's raw value; None or NaN is missing.
        expected: what the model expects in its place, in the column's own units.
        probability: the model's probability of `value`, for categories; None for numbers.

    Returns:
        For instance "src_bytes 40× what this model expects here".
    """
    if _missing(value):
        if _missing(expected):
            return f"{name} missing"
        if probability is None and isinstance(expected, (int, float, np.number)):
            return f"{name} missing, where this model expects about {number(expected, 2)}"
        return f"{name} missing, which is unusual here"
    if probability is not None:
        return _say_category(name, value, expected, probability)
    return _say_number(name, float(value), expected)


def _say_category(name: str, value: Any, expected: Any, probability: float) -> str:
    text = f"{name} = {quoted(value)}"
    if probability >= _COMMON:
        return f"{text}: this model gives it only {percent(probability)} here"
    if _missing(expected) or str(expected) == str(value):
        return f"{text}: this model gives it {percent(probability)} here"
    return f"{text}: this model gives it {percent(probability)} here and expects {quoted(expected)}"


def _say_number(name: str, value: float, expected: Any) -> str:
    if _missing(expected):
        return f"{name} = {number(value)}, where this model expects none"
    middle = float(expected)
    ratio = value / middle if middle >= 1.0 else 0.0
    if _RATIO_FROM <= ratio <= _RATIO_TO:
        times = f"{ratio:.1f}" if ratio < 10 else f"{float(f'{ratio:.2g}'):,.0f}"
        return f"{name} {times.removesuffix('.0')}× what this model expects here"
    shown, wanted = number(value), number(middle)
    digits = 3
    while shown == wanted and digits < 12:
        digits += 1
        shown, wanted = number(value, digits), number(middle, digits)
    if digits == 3:
        rough = number(middle, 2)
        wanted = wanted if rough == shown else rough
        return f"{name} = {shown}, where this model expects about {wanted}"
    return f"{name} = {shown}, where this model expects almost exactly {wanted}"


def number(value: Any, digits: int = 3) -> str:
    """A number as people write it: whole ones with separators, others to a few digits.

    Args:
        value: any real number.
        digits: significant digits of a number that is not whole.

    Returns:
        Such as "12", "5,400,000", "0.0312", "−3.5", "1.2e+09" beyond 15 digits.
    """
    x = float(value)
    if not np.isfinite(x):
        return "missing" if np.isnan(x) else ("∞" if x > 0 else "−∞")
    size = abs(x)
    if size >= 1e15 or 0 < size < 1e-4:
        text = f"{x:.{digits - 1}e}"
    elif x == round(x):
        text = f"{x:,.0f}"
    elif size >= 10.0 ** (digits - 1):
        text = f"{x:,.{max(0, digits - 1 - int(np.floor(np.log10(size))))}f}"
    else:
        text = f"{x:.{digits}g}"
    return "0" if text == "-0" else text.replace("-", "−", 1) if x < 0 else text


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage that never rounds to a false 0 % or 100 %."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    figure = 100 * share
    text = f"{figure:.1f}" if figure < 10 else f"{figure:.0f}"
    return f"{text.removesuffix('.0')} %"


def quoted(value: Any, longest: int = 60) -> str:
    """A category in quotes, cut where it is too long to read in a sentence."""
    text = str(value)
    return f"'{text if len(text) <= longest else text[: longest - 1] + '…'}'"


def _missing(value: Any) -> bool:
    return value is None or bool(value != value)
