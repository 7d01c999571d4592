"""One spelling per category."""

from __future__ import annotations

from typing import Any

import numpy as np


def canonical(value: Any) -> str | None:
    """One spelling per category, whatever type the source used: 5, 5.0 and "5" are the same.

    Args:
        value: str, bool, int, float or None; see `is_missing`.

    Returns:
        the category's text, or None where the cell is missing.
    """
    if is_missing(value):
        return None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def is_missing(value: Any) -> bool:
    """Whether a cell is None, NaN, or pandas' NA, which is neither equal to itself nor not."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # NA
        return True
    except ValueError:  # an array, of a picture
        return False
