"""JSON lines: one object a line, cells kept as the text they were written with."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.files import Content
from pipeline.readers.base import BATCH_ROWS, Malformed, Opened, RawBatch
from pipeline.source_settings import Source

CONSTANTS = {"NaN": None, "Infinity": "inf", "-Infinity": "-inf"}


def open_jsonl(content: Content, source: Source) -> Opened:
    """Open a file of JSON lines; keys that a row lacks are missing cells."""
    return Opened(None, _batches(content, source.encoding), cells_are_text=True)


def _batches(content: Content, encoding: str) -> Iterator[RawBatch]:
    decoder = json.JSONDecoder(
        parse_float=str, parse_int=str, parse_constant=lambda word: CONSTANTS[word]
    )
    with (
        content.stream() as stream,
        io.TextIOWrapper(stream, encoding=encoding, newline="\n") as text,
    ):
        lines = (line.strip() for line in text)
        numbered = enumerate((line for line in lines if line.strip("\ufeff")), start=1)
        while chunk := list(islice(numbered, BATCH_ROWS)):
            yield _batch(chunk, decoder)


def _batch(chunk: list[tuple[int, str]], decoder: json.JSONDecoder) -> RawBatch:
    objects: list[dict[str, Any]] = []
    numbers: list[int] = []
    raw: list[str] = []
    malformed: list[Malformed] = []
    for number, line in chunk:
        try:
            value = decoder.decode(line.lstrip("\ufeff"))
            if "\\u" in line:
                json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair fails
        except (json.JSONDecodeError, RecursionError, UnicodeEncodeError):
            malformed.append(Malformed(number, line, "not valid JSON"))
            continue
        if not isinstance(value, dict):
            malformed.append(Malformed(number, line, "not a JSON object"))
            continue
        objects.append(value)
        numbers.append(number)
        raw.append(line)
    names = list(dict.fromkeys(name for one in objects for name in one))
    arrays = [pa.array([_text(one.get(name)) for one in objects], pa.string()) for name in names]
    if names:
        rows = pa.RecordBatch.from_arrays(arrays, names=names)
    else:
        rows = pa.RecordBatch.from_struct_array(pa.array([{}] * len(objects), pa.struct([])))
    return RawBatch(rows, np.array(numbers, dtype=np.int64), raw, malformed)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)
