"""Files of a source: which there are, what is in them by hash, and their rows as a stream."""

from __future__ import annotations

import codecs
import glob
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipeline.config import Config
from pipeline.errors import SourceError
from pipeline.readers import READERS, SUFFIXES, Opened, RawBatch
from pipeline.settings import Source

COMPRESSED = {".gz", ".bz2", ".zst", ".lz4"}
CHUNK_BYTES = 4 << 20


@dataclass(frozen=True)
class Fingerprint:
    """What a file held when it was looked at.

    Attributes:
        hash: SHA-256 of its bytes, hexadecimal.
        size: bytes.
        changed: time of the last change, nanoseconds.
    """

    hash: str
    size: int
    changed: int


def list_files(config: Config) -> tuple[list[Path], list[Path]]:
    """The source's files in natural order of their names (night-2 before night-10).

    Returns:
        the files to read, and files in the folder whose kind is not known.

    Raises:
        SourceError: nothing lies at `source.path`.
    """
    return find_files(
        config.source_path,
        config.source.format,
        f"Write where your data lies into `source.path` of {config.path}; a relative path starts "
        "at that file's folder.",
    )


def find_files(place: str, kind: str, hint: str) -> tuple[list[Path], list[Path]]:
    """As `list_files`, for a file, folder or glob.

    Args:
        place: absolute.
        kind: a format that every file has, or "auto" to go by their names.
        hint: what to do where there is nothing.

    Raises:
        SourceError: nothing lies at `place`.
    """
    path = Path(place)
    if path.is_file():
        return [path], []
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.is_file() and not _is_hidden(p, path)]
        known = [p for p in found if kind != "auto" or _format_of(p)]
        unknown = sorted(set(found) - set(known))
        return sorted(known, key=lambda p: natural(str(p))), unknown
    matches = [Path(p) for p in glob.glob(place, recursive=True)]  # noqa: PTH207 (absolute)
    files = [p for p in matches if p.is_file()]
    if files:
        return sorted(files, key=lambda p: natural(str(p))), []
    what = "no file matches" if glob.has_magic(place) else "there is no file or folder"
    raise SourceError(f"{what} {path}", hint=hint)


def fingerprint(path: Path, source: Source) -> Fingerprint:
    """Hash a file; a text file is also checked to be in the source's encoding.

    Raises:
        SourceError: the file is empty, unreadable, or not text in this encoding.
    """
    kind = format_of(path, source)
    try:
        before = path.stat()
        if before.st_size == 0:
            raise SourceError("is empty (0 bytes)", hint="Deliver it again, or take it away.")
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
        if kind != "parquet":
            _check_encoding(path, source.encoding)
    except OSError as error:
        raise SourceError(
            f"cannot be read ({error.strerror or error})",
            hint="Check the file and its permissions.",
        ) from None
    return Fingerprint(digest.hexdigest(), before.st_size, before.st_mtime_ns)


def is_unchanged(path: Path, seen: Fingerprint) -> bool:
    """Whether size and time of change are still those of the fingerprint."""
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_size, now.st_mtime_ns) == (seen.size, seen.changed)


def open_file(path: Path, source: Source) -> Opened:
    """Open a file in its format; trouble while reading becomes a SourceError as well.

    Raises:
        SourceError: the file is truncated, damaged or not of its format.
    """
    kind = format_of(path, source)
    try:
        opened = READERS[kind](path, source)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise _unreadable(kind, error) from None
    return replace(opened, batches=_guarded(opened.batches, kind))


def format_of(path: Path, source: Source) -> str:
    """The file's format: as the source says, else by its name.

    Raises:
        SourceError: the name says nothing.
    """
    kind = source.format if source.format != "auto" else _format_of(path)
    if kind is None:
        raise SourceError(
            f"is of unknown kind ({path.suffix or 'no suffix'})",
            hint="Set `source.format` to csv, parquet or jsonl.",
        )
    return kind


def name_of(path: Path) -> str:
    """The path as text that every table can hold, whatever bytes the file system gave."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def natural(name: str) -> list[tuple[int, int | str]]:
    """Sort key that reads digits as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts if p]


def _guarded(batches: Iterator[RawBatch], kind: str) -> Iterator[RawBatch]:
    try:
        yield from batches
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise _unreadable(kind, error) from None


def _unreadable(kind: str, error: Exception) -> SourceError:
    cause = " ".join(str(error).split())
    return SourceError(
        f"cannot be read as {kind} ({cause[:300].rstrip('.')})",
        hint="It may be truncated or of another format: deliver it again, or set `source.format`.",
    )


def _check_encoding(path: Path, encoding: str) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with pa.input_stream(str(path), compression="detect") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                # `object` also holds what the decoder kept from the chunk before
                byte = error.object[error.start]
                at = line + bytes(error.object[: error.start]).count(b"\n")
                raise SourceError(
                    f"is not {encoding} text: byte 0x{byte:02x} in line {at:,}",
                    hint="Set `source.encoding` to the file's encoding, for instance latin-1.",
                ) from None
            line += chunk.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise SourceError(
            f"is not {encoding} text: it ends within a character",
            hint="It may be truncated: deliver it again, or set `source.encoding`.",
        ) from None


def _format_of(path: Path) -> str | None:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(root).parts)
