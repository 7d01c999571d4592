"""Numbers, shares and categories as people write them."""

from __future__ import annotations

from typing import Any

import numpy as np


def number(value: Any, digits: int = 3) -> str:
    """A number as people write it: separators from five digits on, few decimals.

    Args:
        value: any real number.
        digits: significant digits of a number that is not whole.

    Returns:
        Such as "12", "5,400,000", "0.0312", "−3.5", "1.20e+15" beyond 15 digits.
    """
    x = float(value)
    if not np.isfinite(x):
        return "missing" if np.isnan(x) else ("∞" if x > 0 else "−∞")
    size = abs(x)
    if size >= 1e15 or 0 < size < 1e-4:
        text = f"{x:.{digits - 1}e}"
    elif x == round(x) or size >= 10.0 ** (digits - 1):
        places = 0 if x == round(x) else max(0, digits - 1 - int(np.floor(np.log10(size))))
        # four digits are read at a glance, and may be a year
        text = f"{x:,.{places}f}" if size >= 10_000 else f"{x:.{places}f}"
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
    text = f"{figure:.0f}" if 10 <= figure <= 99 else f"{figure:.1f}"
    return f"{text.removesuffix('.0')} %"


def quoted(value: Any, longest: int = 60) -> str:
    """A category in quotes, cut where it is too long to read in a sentence."""
    text = str(value)
    return f"'{text if len(text) <= longest else text[: longest - 1] + '…'}'"
