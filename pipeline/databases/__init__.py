"""Databases as a source: one file each, one line in `DIALECTS`."""

from __future__ import annotations

from pipeline.databases.connection import DIALECTS, Bounds, Table, name_of, opened
from pipeline.databases.watermarks import KINDS, Kind

__all__ = ["DIALECTS", "KINDS", "Bounds", "Kind", "Table", "name_of", "opened"]
