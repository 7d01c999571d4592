"""From tables to the columns that `vae_core` takes: float64 for numbers, objects for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.config import FEATURES, Config
from pipeline.errors import SchemaError
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
        (N,) per feature: numeric float64 with NaN missing, binary and categorical objects (text)
        with None missing.

    Raises:
        SchemaError: a column is missing, or a numeric one holds text that is no number.
    """
    roles = _roles(columns)
    if not isinstance(table, (pa.Table, pa.RecordBatch)):
        table = _from_pandas(table, [n for n in roles if n in set(table.columns)])
    missing = [name for name in roles if name not in table.column_names]
    if missing:
        raise SchemaError(
            f"{len(missing)} {'column' if len(missing) == 1 else 'columns'} missing: "
            f"{', '.join(missing)}",
            hint=f"The model reads these columns: {', '.join(roles)}.",
        )
    out: dict[str, np.ndarray] = {}
    for name, role in roles.items():
        column = plain(table.column(name))
        out[name] = _numeric(name, column) if role == "numeric" else _objects(column)
    return out


def is_anomaly(labels: pa.Array | pa.ChunkedArray | np.ndarray, config: Config) -> np.ndarray:
    """(N,) True where the label is none of the config's normal values; missing counts as normal.

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
    return {name: roles[name] for name in encoding.names}


def _roles(columns: Config | Encoding | Mapping[str, Any]) -> dict[str, str]:
    if isinstance(columns, Config):
        columns = columns.columns
    if isinstance(columns, Mapping):
        return {n: c.role for n, c in columns.items() if c.role in FEATURES}
    return encoded_roles(columns)


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
