"""Columns of a model in the form that an estimator was given: arrays, data frames, pictures.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.detector_input import Form
from vae_core import canonical, is_missing

if TYPE_CHECKING:
    import pandas as pd


def written(data: Mapping[str, np.ndarray], form: Form, index: Any = None) -> Any:
    """Columns in the form of the X that was fitted: dropped ones at their constant, conditions
    where they are told.

    Args:
        data: (N,) per column.
        form: of that X.
        index: of a data frame; None: 0 … N − 1.
    """
    rows = len(next(iter(data.values())))
    if form.image is not None and not form.frame:
        return data[form.image].reshape(-1, *form.shape)
    full: dict[str, Any] = {}
    for name, kind in form.kinds.items():
        if name == form.image:
            full[name] = list(data[name].reshape(-1, *form.shape))
        elif name in data and kind.role == "binary":
            full[name] = _booleans(data[name])
        elif name in data:
            full[name] = data[name]
        elif kind.role != "condition":
            full[name] = np.full(rows, form.constants[name])
    if not form.frame:
        return np.column_stack(list(full.values()))
    import pandas as pd

    columns = {name: _typed(pd.Series(cells), form.types[name]) for name, cells in full.items()}
    frame = pd.DataFrame(columns)
    return frame if index is None else frame.set_axis(index)


def _typed(cells: pd.Series, kind: Any) -> pd.Series:
    """A column as the type it came in, where that type can hold the cells: a mean of whole numbers
    need not be whole."""
    import pandas as pd

    if isinstance(kind, pd.CategoricalDtype):
        spelled = {canonical(category): category for category in kind.categories}
        known = [spelled.get(canonical(cell)) for cell in cells]
        if any(k is None and not is_missing(c) for k, c in zip(known, cells, strict=True)):
            return cells
        cells = pd.Series(known, dtype=object)
    try:
        cast = cells.astype(kind)
    except (TypeError, ValueError, OverflowError):
        return cells
    # floats may lose precision, as all cells of the column did; objects hold anything, pictures too
    if pd.api.types.is_float_dtype(kind) or pd.api.types.is_object_dtype(kind):
        return cast
    kept = (cast.astype(object) == cells.astype(object)) | (cast.isna() & cells.isna())
    return cast if kept.all() else cells


def _booleans(cells: np.ndarray) -> np.ndarray:
    """Cells of a column of booleans, whose spellings a model gives back; an object array with None
    where one is missing."""
    values = np.array([None if is_missing(c) else canonical(c) == "true" for c in cells], object)
    return values if None in values else values.astype(bool)
