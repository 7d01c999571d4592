"""What an estimator is given, as columns of a model: arrays, data frames, pictures.

Legend: N rows, D columns, H × W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.pictures import JPEG, PNG, open_file, read_cells, size_in_words, whole_shape

if TYPE_CHECKING:
    import pandas as pd

Data = Mapping[str, np.ndarray]
PICTURE = "picture"  # name of the column that an array of pictures becomes


class ColumnKind(NamedTuple):
    """What the data itself says of a column: a `FeatureColumn` without a config."""

    role: str
    nullable: bool


class Form(NamedTuple):
    """How X came when the estimator was fitted.

    Attributes:
        frame: a data frame, no array.
        kinds: of its columns, in order.
        constants: the first cell of each, for columns that are not modelled.
        types: of the columns of a data frame.
        image: the column of pictures, None where there is none.
        shape: of a picture as it came, (H, W) or (H, W, C).
    """

    frame: bool
    kinds: dict[str, ColumnKind]
    constants: dict[str, Any]
    types: dict[str, Any]
    image: str | None = None
    shape: tuple[int, ...] = ()


def is_frame(X: Any) -> bool:
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def are_pictures(X: Any) -> bool:
    """Whether X is an array, or nested lists, of three or four dimensions."""
    if is_frame(X):
        return False
    try:
        dimensions = X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim
        return dimensions in (3, 4)
    except (TypeError, ValueError):
        return False  # no array at all, as will be said


def form_of(X: Any, data: Data, conditions: Sequence[str]) -> Form:
    """The form of an X that was read.

    Raises:
        ValueError: a condition is no column, or columns stand beside pictures.
    """
    absent = [name for name in conditions if not is_frame(X) or name not in data]
    if absent:
        raise ValueError(f"conditions must be columns of a data frame; {absent[0]!r} is none of X")
    image = next((name for name, values in data.items() if values.ndim > 1), None)
    kinds = {n: _kind(v, n in conditions) for n, v in data.items()}
    beside = [n for n, kind in kinds.items() if n != image and kind.role != "condition"]
    if image is not None and beside:
        raise ValueError(
            f"column {image!r} holds pictures and must be the only one to learn from: leave out "
            f"{', '.join(map(repr, beside))}, or name it in `conditions`"
        )
    constants = {n: v[0] for n, v in data.items() if n != image}
    shape: tuple[int, ...] = ()
    if image is not None:
        coloured = np.ndim(_first(X[image])) == 3 if is_frame(X) else np.asarray(X).ndim == 4
        shape = data[image].shape[1 : None if coloured or data[image].shape[3] > 1 else 3]
    types = {str(name): X[name].dtype for name in X.columns} if is_frame(X) else {}
    return Form(is_frame(X), kinds, constants, types, image, shape)


def picture_columns(X: Any, form: Form | None, holes: bool = False) -> Data:
    """Pictures of an array, N ≥ 1 of one size.

    Args:
        X: (N, H, W) or (N, H, W, C), whole numbers 0 … 255; later also flat, (N, H·W·C).
        form: of the X that was fitted; None: this is it.
        holes: pixels may be NaN.
    """
    values = np.asarray(X)
    shape = whole_shape(values.shape[1:] if form is None else form.shape)
    if not holes or values.dtype.kind != "f":
        return {PICTURE: _checked("X", values, shape)}
    blank = np.isnan(values)
    whole = _checked("X", np.where(blank, 0, values), shape).astype(values.dtype)
    whole[blank.reshape(whole.shape)] = np.nan
    return {PICTURE: whole}


def frame_columns(
    frame: pd.DataFrame, form: Form | None = None, conditions: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Columns of a data frame as the core takes them: numbers as float64, the rest as objects,
    pictures (N, H, W, C) as uint8.

    What a column is, is decided by the frame that was fitted: a cell must mean the same whatever
    stands beside it.

    Raises:
        ValueError: a column holds what cannot be learned from, or no numbers where it held some.
    """
    out: dict[str, np.ndarray] = {}
    for name in frame.columns:
        values, told = frame[name], str(name)
        shape = _shape(values) if form is None else form.shape if told == form.image else ()
        if shape and told not in conditions:
            out[told] = _checked(f"column {told!r}", values.tolist(), whole_shape(shape))
            continue
        if form is None:
            numeric = told not in conditions and _are_numbers(values, told)
        else:
            numeric = told in form.kinds and form.kinds[told].role == "numeric"
        out[told] = _numbers(values, told) if numeric else _objects(values)
    return out


def _objects(values: pd.Series) -> np.ndarray:
    """(N,) cells, the missing ones None."""
    objects = values.astype(object).to_numpy().copy()
    objects[values.isna().to_numpy()] = None
    return objects


def _are_numbers(values: pd.Series, told: str) -> bool:
    """Whether a column that is fitted holds numbers; one without any value may hold anything.

    Raises:
        ValueError: it holds dates, times or durations.
    """
    from pandas.api import types

    if len(values) and values.isna().all():
        return False
    _refuse_times(values, told)
    if not types.is_object_dtype(values.dtype):
        return types.is_numeric_dtype(values.dtype) and not types.is_bool_dtype(values.dtype)
    kind = types.infer_dtype(values, skipna=True)
    return kind in ("integer", "floating", "mixed-integer-float", "decimal")


def _refuse_times(values: pd.Series, told: str) -> None:
    from pandas.api import types

    kinds = ("date", "datetime", "datetime64", "time", "timedelta", "timedelta64", "period")
    if types.is_numeric_dtype(values.dtype) or types.infer_dtype(values) not in kinds:
        return
    raise ValueError(
        f"column {told!r} holds dates, times or durations ({values.dtype}), which are no "
        "quantities: leave it out, or give what matters of it as numbers or categories, such as "
        "the hour or the weekday"
    )


def _numbers(values: pd.Series, told: str) -> np.ndarray:
    """(N,) float64, NaN where missing."""
    from pandas.api import types

    if types.is_numeric_dtype(values.dtype):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    _refuse_times(values, told)
    missing = values.isna().to_numpy()
    cells = values.astype(object).to_numpy()
    try:
        return np.where(missing, np.nan, cells).astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"column {told!r} holds numbers, and a cell is none: {error}") from None


def _kind(values: np.ndarray, condition: bool) -> ColumnKind:
    if values.ndim > 1:
        return ColumnKind("image", False)
    if condition:
        return ColumnKind("condition", True)
    if values.dtype != object:
        return ColumnKind("numeric", bool(np.isnan(values).any()))
    missing = [v is None for v in values]
    boolean = all(isinstance(v, bool | np.bool_) for v in values if v is not None)
    return ColumnKind("binary" if boolean else "categorical", any(missing))


def _first(cells: pd.Series) -> Any:
    """The first cell as an array, if it is a picture; None if it is something else."""
    cell = next((c for c in cells.tolist() if c is not None), None)
    if isinstance(cell, bytes) and cell.startswith((PNG, JPEG)):
        found = open_file(cell)
        return None if isinstance(found, str) else found
    if isinstance(cell, np.ndarray) and cell.ndim in (2, 3):
        return cell
    nested = isinstance(cell, list | tuple) and len(cell) and isinstance(cell[0], list | tuple)
    return np.asarray(cell) if nested else None


def _shape(cells: pd.Series) -> tuple[int, ...]:
    """Of the first picture; empty where the cells are none."""
    first = _first(cells) if cells.dtype == object else None
    return () if first is None else tuple(first.shape)


def _checked(what: str, cells: Any, shape: tuple[int, int, int]) -> np.ndarray:
    values, wrong = read_cells(cells, shape)
    if len(values) == 0:
        raise ValueError(f"{what}: found no pictures (0 rows) while a minimum of 1 is required")
    if not wrong:
        return values
    row, why = min(wrong.items())
    hint = ""
    if isinstance(cells, np.ndarray) and cells.dtype.kind == "f" and np.nanmax(cells) <= 1:
        hint = "; values from 0 to 1 become pixels by (255 * X).round().astype('uint8')"
    raise ValueError(
        f"{what} must hold pictures of {size_in_words(shape)}, whole numbers from 0 to 255: "
        f"{len(wrong):,} of {len(values):,} do not, the first in row {row + 1:,}: {why}{hint}"
    )
