"""From tables to the columns that `vae_core` takes: float64 for numbers, objects for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.config import READ, Config
from pipeline.errors import SchemaError
from pipeline.pictures import Shape, read_cells, size_in_words, whole_shape
from pipeline.values import canonical, numbers, plain, texts

if TYPE_CHECKING:
    import pandas as pd

    from vae_core import Encoding


def to_columns(
    table: pa.Table | pa.RecordBatch | pd.DataFrame, columns: Config | Encoding | Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Feature columns as arrays.

    Args:
        table: rows, from the lake or from a caller; further columns are ignored.
        columns: a config, an encoding, or settings with a `role` by column name.

    Returns:
        (N,) per column that a model reads: numeric float64 with NaN missing, the others objects
        (text) with None missing; pictures (N, height, width, channels) uint8.

    Raises:
        SchemaError: a column is missing, a numeric one holds text that is no number, or a cell is
            no picture of the size that is due.
    """
    roles, shapes = _roles(columns), _shapes(columns)
    there = table.column_names if isinstance(table, pa.Table) else _names(table)
    missing = [name for name in roles if name not in there]
    if missing:
        raise SchemaError(
            f"{len(missing)} {'column' if len(missing) == 1 else 'columns'} missing: "
            f"{', '.join(missing)}",
            hint=f"The model reads these columns: {', '.join(roles)}.",
        )
    pictures = {name: _pictures(name, table, shape) for name, shape in shapes.items()}
    if not isinstance(table, (pa.Table, pa.RecordBatch)):
        table = _from_pandas(table, [n for n in roles if n not in pictures])
    out: dict[str, np.ndarray] = {}
    for name, role in roles.items():
        if name in pictures:
            out[name] = pictures[name]
            continue
        column = plain(table.column(name))
        out[name] = _numeric(name, column) if role == "numeric" else _objects(column)
    return out


def to_frame(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> pd.DataFrame:
    """Columns as a data frame; a picture is a nested list in its cell, as JSON has it."""
    import pandas as pd

    frame = pd.DataFrame(
        {n: columns[n].tolist() if columns[n].ndim > 1 else columns[n] for n in names}
    )
    # MLflow compares the names in a way that pandas' own text type deprecates
    frame.columns = pd.Index(list(names), dtype=object)
    return frame


def is_anomaly(labels: pa.Array | pa.ChunkedArray | np.ndarray, config: Config) -> np.ndarray:
    """(N,) True where the label is none of the config's normal values; False where it is missing.

    Raises:
        SchemaError: the config has no label column.
    """
    if config.label is None:
        raise SchemaError(
            f"{config.path} has no label column",
            hint="Give a column `role: label` and `normal:`, the value that means normal.",
        )
    normal = set(config.columns[config.label].normal or ())
    cells = labels if isinstance(labels, (pa.Array, pa.ChunkedArray)) else pa.array(labels)
    return np.array([v is not None and v not in normal for v in texts(cells).to_pylist()], bool)


def is_labelled(labels: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """(N,) True where there is a label, as `is_anomaly` reads it."""
    return np.asarray(texts(labels).is_valid().to_numpy(zero_copy_only=False), bool)


def encoded_roles(encoding: Encoding) -> dict[str, str]:
    """Role of each column of an encoding, of the installed core or a version's own, in its order.

    By the encoding's groups, since another core's column classes are not the installed ones; cores
    of earlier releases know no constant columns.
    """
    constants = encoding.constants.columns if hasattr(encoding, "constants") else ()
    roles = {
        column.name: role
        for role in ("numeric", "binary", "categorical")
        for column in getattr(encoding, role)
    }
    roles |= {c.name: "categorical" if isinstance(c.value, str) else "numeric" for c in constants}
    image = getattr(encoding, "image", None)
    if image is not None:
        roles[image.name] = "image"
    roles |= {c.name: "condition" for c in getattr(encoding, "conditions", ())}
    return {name: roles[name] for name in inputs(encoding)}


def inputs(encoding: Encoding) -> tuple[str, ...]:
    """Names of all columns that an encoding reads, conditions too, in its order."""
    return tuple(column.name for column in encoding.columns)


def _roles(columns: Config | Encoding | Mapping[str, Any]) -> dict[str, str]:
    if isinstance(columns, Config):
        columns = columns.columns
    if isinstance(columns, Mapping):
        return {n: c.role for n, c in columns.items() if c.role in READ}
    return encoded_roles(columns)


def _shapes(columns: Config | Encoding | Mapping[str, Any]) -> dict[str, Shape]:
    """Height, width and channels of each column of pictures."""
    if isinstance(columns, Config):
        columns = columns.columns
    if isinstance(columns, Mapping):
        return {n: whole_shape(c.shape) for n, c in columns.items() if c.role == "image"}
    image = getattr(columns, "image", None)
    return {} if image is None else {image.name: (image.height, image.width, image.channels)}


def _names(table: pa.RecordBatch | pd.DataFrame) -> list[str]:
    return table.schema.names if isinstance(table, pa.RecordBatch) else list(table.columns)


def _pictures(name: str, table: Any, shape: Shape) -> np.ndarray:
    arrow = isinstance(table, (pa.Table, pa.RecordBatch))
    values, wrong = read_cells(plain(table.column(name)) if arrow else table[name].tolist(), shape)
    if wrong:
        row, why = min(wrong.items())
        raise SchemaError(
            f"column `{name}` must hold pictures of {size_in_words(shape)}: {len(wrong):,} "
            f"{'cell does' if len(wrong) == 1 else 'cells do'} not, first in row {row + 1:,}: {why}"
        )
    return values


def _numeric(name: str, column: pa.Array) -> np.ndarray:
    try:
        parsed = numbers(column)
    except pa.ArrowException:
        raise SchemaError(f"column `{name}` must hold numbers, it holds {column.type}") from None
    if parsed.unreadable.any():
        at = int(np.flatnonzero(parsed.unreadable)[0])
        raise SchemaError(
            f"column `{name}` must hold numbers: {int(parsed.unreadable.sum()):,} cells do not, "
            f"first {column[at].as_py()!r} in row {at + 1:,}"
        )
    values: np.ndarray = parsed.values.to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)


def _objects(column: pa.Array) -> np.ndarray:
    return np.asarray(texts(column).to_numpy(zero_copy_only=False), dtype=object)


def _from_pandas(frame: pd.DataFrame, names: list[str]) -> pa.Table:
    arrays = []
    for name in names:
        try:
            arrays.append(pa.array(frame[name], from_pandas=True))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            # cells of several types: their spelling is what counts
            arrays.append(pa.array([canonical(v) for v in frame[name].tolist()], pa.string()))
    return pa.table(arrays, names=names) if names else pa.table({})
