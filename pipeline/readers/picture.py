"""PNG and JPEG files: a file is one row, of its bytes, its name, and the name of its folder."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa

from pipeline.files import Content
from pipeline.readers.base import Opened, RawBatch
from pipeline.source_settings import Source

SCHEMA = pa.schema([("picture", pa.binary()), ("file", pa.string()), ("folder", pa.string())])


def open_picture(content: Content, source: Source) -> Opened:
    """Open a picture file; `source` has nothing to say about it."""
    path = PurePosixPath(content.name)
    with content.open() as stream:
        row = {"picture": bytes(stream.read()), "file": path.name, "folder": path.parent.name}
    rows = pa.RecordBatch.from_pylist([row], schema=SCHEMA)
    return Opened(SCHEMA, iter([RawBatch(rows, np.array([1]))]))
