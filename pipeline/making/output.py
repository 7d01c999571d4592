"""What was made, and the files it goes into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.making.source import Columns, MakingError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".parquet", ".png")


@dataclass(frozen=True)
class Made:
    """What an operation made.

    Attributes:
        columns: (N, …) per column, as written to Parquet.
        draw: the figure.
        facts: for people, by label.
    """

    columns: Columns
    draw: Callable[[], Figure]
    facts: dict[str, Any] = field(default_factory=dict)


def check_output(path: Path) -> None:
    """A file of rows ends in .parquet, a picture of them in .png.

    Raises:
        MakingError: it does not, or its folder is not there.
    """
    if path.suffix not in SUFFIXES:
        raise MakingError(
            f"{path}: rows are written as Parquet, or drawn as PNG",
            hint="Give a name that ends in .parquet or .png.",
        )
    if not path.parent.is_dir():
        raise MakingError(
            f"{path}: there is no folder {path.parent}", hint="Make it, or name another."
        )


def write(made: Made, path: Path) -> None:
    """Write rows to Parquet, or draw them, by the suffix; a picture is a list of its values, line
    by line, the channels of a pixel side by side."""
    check_output(path)
    if path.suffix == ".png":
        made.draw().savefig(path)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: _arrow(values) for name, values in made.columns.items()}), path)


def _arrow(values: np.ndarray) -> Any:
    import pyarrow as pa

    if values.ndim > 1:
        flat = values.reshape(len(values), -1)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
    if values.dtype == object:
        return pa.array([None if v is None else str(v) for v in values.tolist()], pa.string())
    return pa.array(values, from_pandas=True)
