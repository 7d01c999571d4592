"""What a result was made from: the hash of its rows, the version of the code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["code_version", "content_hash"]


def content_hash(columns: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of columns' names, order and values, 32 hexadecimal digits.

    Args:
        columns: (N,) per column: numbers, or objects (hashed by their text).
    """
    digest = hashlib.sha256()
    for name, values in columns.items():
        digest.update(f"{name}\x1e{len(values)}\x1e".encode())
        digest.update(_bytes(values))
    return digest.hexdigest()[:32]


@cache
def code_version() -> str:
    """Package version, and the hash of the sources that ran: true of an edited checkout too."""
    from importlib.metadata import version

    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in ("vae_core", "pipeline"):
        for file in sorted((root / package).rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode())
            digest.update(file.read_bytes())
    return f"{version('vae-anomaly')}+{digest.hexdigest()[:12]}"


def _bytes(values: NDArray[Any]) -> bytes:
    array: NDArray[np.generic] = np.asarray(values)
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array).tobytes()
    texts = ["\x00" if v is None or v != v else str(v) for v in array.tolist()]
    return "\x1f".join(texts).encode("utf-8", "surrogatepass")
