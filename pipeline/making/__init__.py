"""Rows that a registered version makes: drawn, rebuilt, walked, mended, compressed; their files.

The version runs by the core that is packaged with it.
"""

from pipeline.making.operations import (
    compress,
    denoise,
    generate,
    impute,
    interpolate,
    reconstruct,
    traverse,
)
from pipeline.making.output import Made, check_output, write
from pipeline.making.source import MakingError, Source, open_version, row_ids

__all__ = [
    "Made",
    "MakingError",
    "Source",
    "check_output",
    "compress",
    "denoise",
    "generate",
    "impute",
    "interpolate",
    "open_version",
    "reconstruct",
    "row_ids",
    "traverse",
    "write",
]
