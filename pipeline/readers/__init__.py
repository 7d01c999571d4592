"""File formats: one file each, one line here."""

from __future__ import annotations

from pipeline.readers.base import Malformed, Opened, RawBatch, Reader
from pipeline.readers.delimited import open_delimited
from pipeline.readers.jsonl import open_jsonl
from pipeline.readers.parquet import open_parquet

READERS: dict[str, Reader] = {
    "csv": open_delimited,
    "jsonl": open_jsonl,
    "parquet": open_parquet,
}
SUFFIXES: dict[str, str] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}

__all__ = ["READERS", "SUFFIXES", "Malformed", "Opened", "RawBatch", "Reader"]
