"""Cells that hold pictures: read from bytes, files and lists, stored as bytes, shown as PNG.

In tables a picture is its pixels, height · width · channels bytes line by line; the config's
`shape` says how to read them.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.values import is_bytes, is_text

Shape = tuple[int, int, int]

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
URI = "data:image/"
SUFFIXES = (".png", ".jpg", ".jpeg")
DAMAGED = "a picture that cannot be read: truncated or damaged"
NOT_THERE = "names a picture file that cannot be read"
NOT_FOLLOWED = "names a picture file, which only tables on this machine can"
TOO_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # pillow's names of more than 8 bits


def whole_shape(shape: Sequence[int]) -> Shape:
    """Height, width, channels of a config's `shape`, which may leave one channel out."""
    height, width, channels = (*shape, 1)[:3]
    return height, width, channels


def read_cells(
    cells: pa.Array | Sequence[Any], shape: Shape, folder: Path | None = None
) -> tuple[np.ndarray, dict[int, str]]:
    """Pictures of one size out of cells.

    Args:
        cells: N of them, each a PNG or JPEG file's bytes, or one of the forms of
            `vae_core.read_pictures`; text holds nested lists as JSON, or a data URI, or the path
            of a PNG or JPEG file.
        shape: height, width, channels.
        folder: at which paths start; None: paths are not followed.

    Returns:
        (N, height, width, channels) uint8, and what is wrong by row.
    """
    from vae_core import read_pictures  # torch: tables need not wait for it

    if isinstance(cells, pa.Array):
        flat = _flat(cells)
        if flat is not None:
            return read_pictures(flat, shape)
        cells = cells.to_pylist()
    wrong: dict[int, str] = {}
    opened: list[Any] = []
    for row, cell in enumerate(cells):
        found = _open(cell, shape, folder)
        if isinstance(found, str):
            wrong[row], found = found, None
        opened.append(found)
    values, further = read_pictures(opened, shape)
    return values, {**further, **wrong}


def as_stored(values: np.ndarray, wrong: dict[int, str]) -> pa.Array:
    """(N, …) uint8 as a column of bytes, null where something is wrong."""
    missing = np.zeros(len(values), bool)
    missing[list(wrong)] = True
    size = int(np.prod(values.shape[1:]))
    offsets = np.arange(len(values) + 1, dtype=np.int64) * size
    column = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(),
        len(values),
        [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values))],
    )
    kept = pc.if_else(pa.array(missing), pa.scalar(None, pa.large_binary()), column)
    return kept.cast(pa.binary())


def as_data_uri(picture: np.ndarray) -> str:
    """A picture (height, width, channels) uint8 as a PNG that stands in a text itself."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(held, "PNG")
    return f"{URI}png;base64,{base64.b64encode(held.getvalue()).decode()}"


def _flat(column: pa.Array) -> np.ndarray | None:
    """One array of a column of bytes or lists of equal length; None where they are not."""
    kind, sizes = column.type, [len(column)]
    if is_bytes(kind):
        lengths = pc.unique(pc.binary_length(column)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            return None
        if column[0].as_py()[:8].startswith((PNG, JPEG)):
            return None
        column = column.cast(pa.binary(lengths[0]))
        start = column.offset * lengths[0]
        pixels = np.frombuffer(column.buffers()[1], np.uint8)
        return pixels[start : start + len(column) * lengths[0]].reshape(len(column), -1)
    if not is_list(kind):
        return None
    while is_list(column.type):
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            return None  # ragged, or a null among them
        sizes.append(lengths[0])
        column = column.flatten()
    if column.null_count or not (pa.types.is_integer(column.type) or _is_real(column.type)):
        return None
    flat: np.ndarray = column.to_numpy(zero_copy_only=False)
    return flat.reshape(sizes)


def names_picture(text: str) -> bool:
    """Whether a text is the name of a PNG or JPEG file."""
    return text.lower().endswith(SUFFIXES)


def _is_real(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether cells of this type are lists, in any of Arrow's layouts."""
    t = pa.types
    return bool(t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind))


def may_hold_pictures(kind: pa.DataType) -> bool:
    """Whether a column of this type can be read as pictures at all."""
    while is_list(kind):
        kind = kind.value_type
        if not is_list(kind):
            return bool(pa.types.is_integer(kind) or _is_real(kind))
    return is_bytes(kind) or is_text(kind)


def _open(cell: Any, shape: Shape, folder: Path | None) -> Any:
    """A cell as `read_pictures` takes it; text says what is wrong."""
    if isinstance(cell, str):
        if names_picture(cell):
            if folder is None:
                return NOT_FOLLOWED
            try:
                cell = (folder / cell).read_bytes()
            except (OSError, ValueError):
                return NOT_THERE
            if not cell.startswith((PNG, JPEG)):
                return DAMAGED
        elif cell.startswith(URI):
            try:
                cell = base64.b64decode(cell.partition(",")[2])
            except ValueError:
                return DAMAGED
        else:
            try:
                return json.loads(cell)
            except ValueError:
                return "no picture"
    if isinstance(cell, bytes) and cell.startswith((PNG, JPEG)):
        found = open_file(cell, shape[2])
        # pixels may begin like a file by chance
        if isinstance(found, str) and len(cell) == np.prod(shape):
            return cell
        return found
    return cell


def open_file(content: bytes, channels: int | None = None) -> np.ndarray | str:
    """The picture in a PNG or JPEG file, or what is wrong with it.

    Args:
        content: the file's bytes.
        channels: 1 makes it grey, 3 makes it coloured; None leaves it as it is.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode in TOO_DEEP:
                return "a picture of more than 8 bits a channel"
            grey = channels == 1 or (channels is None and image.mode in ("1", "L", "LA"))
            return np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return DAMAGED


def size_in_words(shape: Sequence[int]) -> str:
    """Such as "28 × 28 pixels"."""
    from vae_core import size_in_words as said

    return said(shape)
