"""NumPy archives (.npz): one array per column, its first axis the rows.

Arrays (N, height, width[, channels]) are pictures; (N, D) are lists, such as pictures laid flat. An
archive in parts, such as x_train, y_train, x_test, y_test, gives the rows of one part after the
other, and their part in a column `part`.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from pipeline.errors import SourceError
from pipeline.files import Content
from pipeline.readers.base import Opened, RawBatch
from pipeline.source_settings import Source

PART = "part"
SPLITS = frozenset({"train", "test", "val", "valid", "validation"})
BATCH_BYTES = 64 << 20
Part = dict[str, np.ndarray]


def open_npz(content: Content, source: Source) -> Opened:
    """Open an archive; `source` has nothing to say about it. One part is in memory at a time.

    Raises:
        SourceError: it is damaged, holds no arrays of rows, or Python objects, which are not read.
    """
    try:
        archive = np.load(content.open(), allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise SourceError(
                "is one array, no .npz archive", hint="Save it with numpy.savez(file, x=array)."
            )
        empty = {key: _header(archive, key) for key in archive.files}
        parts = _parts({key: rows for key, (rows, _) in empty.items() if rows is not None})
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError) as error:
        raise _unreadable(error) from None

    def batches() -> Iterator[RawBatch]:
        done = 0
        for part, keys in parts.items():
            try:
                arrays = {name: _read(archive, key) for name, key in keys.items()}
            except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
                raise _unreadable(error) from None
            rows = len(next(iter(arrays.values())))
            width = sum(a.nbytes for a in arrays.values()) / max(rows, 1)
            size = max(1, int(BATCH_BYTES / max(width, 1)))
            for start in range(0, rows, size):
                piece = {name: a[start : start + size] for name, a in arrays.items()}
                count = min(size, rows - start)
                yield RawBatch(_batch(piece, part), np.arange(done + 1, done + count + 1))
                done += count

    part, keys = next(iter(parts.items()))
    none = {name: _flattened(empty[key][1]) for name, key in keys.items()}
    return Opened(_batch(none, part).schema, batches())


def _header(archive: np.lib.npyio.NpzFile, key: str) -> tuple[int | None, np.ndarray]:
    """How many rows an array has (None: it is one number), and the like of it without rows.

    Raises:
        SourceError: it is of no kind that a table could hold.
    """
    assert archive.zip is not None  # open until it is closed
    with archive.zip.open(f"{key}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        shape, _, kind = read(stream)
    if kind.hasobject:
        raise SourceError(
            f"holds Python objects under `{key}` (a pickle), which are never read",
            hint="Save plain arrays: numbers, booleans or fixed-width text.",
        )
    if kind.kind not in "biufUSM":
        raise SourceError(
            f"holds `{key}` of type {kind}, which no table can",
            hint="Save numbers, booleans, text or times.",
        )
    return (int(shape[0]) if shape else None), np.empty((0, *shape[1:]), kind)


def _parts(arrays: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """Key of each column, by part.

    One part without a name where all arrays are of one length, unless their keys tell of `SPLITS`.

    Raises:
        SourceError: the arrays' lengths do not fit together.
    """
    if not arrays:
        raise SourceError(
            "holds no array of rows", hint="Save arrays whose first axis is the rows."
        )
    parts: dict[str, dict[str, str]] = {}
    for key in arrays:
        name, _, part = key.rpartition("_")
        parts.setdefault(part, {})[name] = key
    alike = len({frozenset(keys) for keys in parts.values()}) == 1 and len(parts) > 1
    alike = alike and "" not in next(iter(parts.values()))
    if len(set(arrays.values())) == 1 and not (alike and SPLITS.issuperset(parts)):
        return {"": {key: key for key in arrays}}
    if alike and all(len({arrays[k] for k in keys.values()}) == 1 for keys in parts.values()):
        return parts
    listed = ", ".join(f"`{key}` {rows:,}" for key, rows in arrays.items())
    raise SourceError(
        f"holds arrays of different lengths: {listed}",
        hint="Save one entry per row in each, or parts with keys such as x_train, y_train, x_test, "
        "y_test.",
    )


def _read(archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    return _flattened(archive[key])


def _flattened(array: np.ndarray) -> np.ndarray:
    """(N, 1) as (N,)."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _batch(arrays: Part, part: str) -> pa.RecordBatch:
    columns = {name: _column(array) for name, array in arrays.items()}
    if part:
        columns[PART] = pa.repeat(pa.scalar(part), len(next(iter(arrays.values()))))
    return pa.RecordBatch.from_pydict(columns)


def _column(array: np.ndarray) -> pa.Array:
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("="))
    column = pa.array(np.ascontiguousarray(array).reshape(-1))
    for size in array.shape[:0:-1]:
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column


def _unreadable(error: Exception) -> SourceError:
    cause = " ".join(str(error).split())[:200].rstrip(".")
    return SourceError(
        f"cannot be read as npz ({cause or type(error).__name__})",
        hint="It may be truncated: deliver it again.",
    )
