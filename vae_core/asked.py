"""Rows that are asked for by their conditions.

Legend: N rows, W encoded width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .canonical import canonical
from .encoding import Encoding

MOST_NAMED = 20


def asked_for(encoding: Encoding, condition: Mapping[str, Any] | None, rows: int) -> np.ndarray:
    """Encoded rows that hold nothing but conditions.

    Args:
        encoding: of the columns.
        condition: by name of a condition column, one label for all rows or one for each; a
            condition that is not asked for, and a label None, stand for "not known".
        rows: N.

    Returns:
        (N, W) float32.

    Raises:
        ValueError: there is no such condition, a label is not known, or labels are not N.
    """
    given = dict(condition or {})
    columns = {c.name: c for c in encoding.conditions}
    for name in given:
        if name not in columns:
            known = f"this model's: {_named(columns)}" if columns else "this model reads none"
            raise ValueError(f"there is no condition {name!r}; {known}")
    x = np.zeros((rows, encoding.layout.width), dtype=np.float32)
    for block, column in zip(encoding.layout.condition_one_hots, encoding.conditions, strict=True):
        codes = _codes(column.name, column.categories, given.get(column.name), rows)
        x[np.arange(rows), block.start + codes] = 1.0
    return x


def _codes(name: str, categories: tuple[str, ...], asked: Any, rows: int) -> np.ndarray:
    """(N,) position of each label; 0 where it is not known."""
    labels = np.asarray(asked, dtype=object)
    if labels.ndim > 1 or (labels.ndim == 1 and len(labels) != rows):
        raise ValueError(
            f"condition {name!r}: one label for all rows, or one for each of the {rows}; got an "
            f"array of shape {labels.shape}"
        )
    texts = [canonical(label) for label in labels.reshape(-1).tolist()]
    position = {category: i for i, category in enumerate(categories, start=1)}
    for text in texts:
        if text is not None and text not in position:
            raise ValueError(f"condition {name!r} has no {text!r}; known: {_named(categories)}")
    codes = [0 if text is None else position[text] for text in texts]
    return np.broadcast_to(codes if labels.ndim else codes[0], rows)


def _named(names: Any) -> str:
    listed = list(names)
    more = len(listed) - MOST_NAMED
    return ", ".join(listed[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
