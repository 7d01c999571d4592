"""Which column holds pictures, of which size, and what the columns beside it are then."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from pipeline.config import FEATURES
from pipeline.guesses import Guess
from pipeline.pictures import JPEG, PNG, is_list, names_picture, open_file, whole_shape
from pipeline.values import is_bytes, is_text

LOOKED_AT = 200
SMALLEST = 5  # pixels of a side
LIST_AS_PICTURE = "pictures laid flat, it seems: is the shape right?"


def guess_pictures(column: pa.Array, folder: Path | None) -> Guess | None:
    """A guess for a column of pictures; None where it holds none.

    Args:
        column: (N,) cells.
        folder: at which paths of picture files start; None where they are not followed.
    """
    some = column.slice(0, LOOKED_AT).drop_null()
    if len(some) == 0:
        return None
    if is_list(some.type):
        return _of_lists(some)
    if is_bytes(some.type):
        files = [cell for cell in some.to_pylist() if cell.startswith((PNG, JPEG))]
        return _of_files(files, len(some))
    if is_text(some.type) and folder is not None:
        names = [name for name in some.to_pylist() if names_picture(name)]
        if len(names) > len(some) / 2:
            there = [folder / name for name in names]
            return _of_files([path.read_bytes() for path in there if path.is_file()], len(some))
    return None


def beside_pictures(guesses: dict[str, Guess]) -> dict[str, Guess]:
    """With a column of pictures no other is modelled: the rest are labels, or ignored."""
    image = next((name for name, one in guesses.items() if one.role == "image"), None)
    if image is None:
        return guesses
    out: dict[str, Guess] = {}
    for name, one in guesses.items():
        if name == image or one.role not in (*FEATURES, "ignore"):
            out[name] = one
        elif one.role == "image":
            out[name] = Guess("ignore", comment=f"a second image beside `{image}`")
        elif name == "file":
            out[name] = Guess("ignore", comment="name of the file; its path is kept as `_source`")
        elif name == "folder" and one.normal is not None:
            why = "name of the folder; never seen by the model. Is `normal` right?"
            out[name] = Guess("label", normal=one.normal, comment=why)
        else:
            # kept as a label where its name says so, which `settle` decides
            out[name] = replace(one, role="ignore", values=None, comment=_otherwise(one))
    return out


def _otherwise(one: Guess) -> str:
    if one.role in ("categorical", "binary"):
        return "or `role: condition`, if known of each picture"
    return one.comment if one.role == "ignore" else ""


def _of_lists(cells: pa.Array) -> Guess | None:
    kind, sizes, inner = cells.type, [], cells
    while is_list(kind):
        lengths = Counter(len(one) for one in inner.to_pylist() if one is not None)
        if len(lengths) == 0:
            return None
        sizes.append(lengths.most_common(1)[0][0])
        inner, kind = inner.flatten(), kind.value_type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    values = [v for v in inner.to_pylist() if v is not None]
    if not values or min(values) < 0 or max(values) > 255 or any(v != round(v) for v in values):
        return Guess("ignore", comment="pixels must be whole numbers from 0 to 255")
    if len(sizes) == 1:
        side = math.isqrt(sizes[0])
        if side * side != sizes[0] or side < SMALLEST:
            return None
        return Guess("image", shape=(side, side), comment=LIST_AS_PICTURE)
    if len(sizes) in (2, 3) and sizes[2:] in ([], [1], [3]) and min(sizes[:2]) >= SMALLEST:
        return _image(tuple(sizes), "")
    return None


def _of_files(files: list[bytes], cells: int) -> Guess | None:
    if len(files) <= cells / 2:
        return None
    opened = [open_file(content) for content in files]
    shapes = Counter(one.shape for one in opened if not isinstance(one, str))
    if not shapes:
        return None
    (shape, count), *_ = shapes.most_common(1)
    others = sum(shapes.values()) - count
    return _image(shape, "some are of another size and go to quarantine" if others else "")


def _image(shape: tuple[int, ...], comment: str) -> Guess:
    high, wide, channels = whole_shape(shape)
    return Guess(
        "image", shape=(high, wide, channels)[: 2 if channels == 1 else 3], comment=comment
    )
