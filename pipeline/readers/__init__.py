"""File formats: one file each, one line here."""

from __future__ import annotations

from pipeline.readers.base import Malformed, Opened, RawBatch, Reader
from pipeline.readers.delimited import open_delimited
from pipeline.readers.jsonl import open_jsonl
from pipeline.readers.npz import open_npz
from pipeline.readers.parquet import open_parquet
from pipeline.readers.picture import open_picture

READERS: dict[str, Reader] = {
    "csv": open_delimited,
    "jsonl": open_jsonl,
    "parquet": open_parquet,
    "npz": open_npz,
    "picture": open_picture,
}
TEXT = ("csv", "jsonl")  # in an encoding, which is checked before
SUFFIXES: dict[str, str] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".npz": "npz",
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
}

__all__ = ["READERS", "SUFFIXES", "TEXT", "Malformed", "Opened", "RawBatch", "Reader"]
