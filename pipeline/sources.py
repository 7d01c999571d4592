"""Files of a source: which there are, what is in them by hash, and their rows as a stream."""

from __future__ import annotations

import codecs
import glob
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from pipeline.config import Config, is_uri
from pipeline.errors import SourceError
from pipeline.files import CHUNK_BYTES, Content, File, local_file, open_store, suffix_of
from pipeline.readers import READERS, SUFFIXES, TEXT, Opened, RawBatch
from pipeline.source_settings import Source


@dataclass(frozen=True)
class Fingerprint:
    """What a file held when it was looked at.

    Attributes:
        hash: SHA-256 of its bytes, hexadecimal.
        state: size in bytes and time of the last change.
    """

    hash: str
    state: tuple[int, int] | None


def list_files(config: Config) -> tuple[list[File], list[str]]:
    """The source's files in natural order of their names (night-2 before night-10).

    Returns:
        the files to read, and names of files in the folder whose kind is not known.

    Raises:
        SourceError: nothing lies at `source.path`.
    """
    return find_files(
        config.source_path,
        config.source.format,
        f"Write where your data lies into `source.path` of {config.path}; a relative path starts "
        "at that file's folder.",
        config.source.options,
    )


def find_files(
    place: str, kind: str, hint: str, options: dict[str, Any] | None = None
) -> tuple[list[File], list[str]]:
    """As `list_files`, for a file, folder or glob.

    Args:
        place: absolute, or a URI.
        kind: a format that every file has, or "auto" to go by their names.
        hint: what to do where there is nothing.
        options: of the store that a URI names.

    Raises:
        SourceError: nothing lies at `place`.
    """
    find = _in_store if is_uri(place) else _on_disk
    found, all_are_meant = find(place, options or {})
    if found is None:
        what = "no file matches" if glob.has_magic(place) else "there is no file or folder"
        raise SourceError(f"{what} {place}", hint=hint)
    known = [f for f in found if all_are_meant or kind != "auto" or _format_of(f.name)]
    names = {f.name for f in known}
    unknown = sorted(f.name for f in found if f.name not in names)
    return sorted(known, key=lambda f: natural(f.name)), unknown


def _on_disk(place: str, options: dict[str, Any]) -> tuple[list[File] | None, bool]:
    """Files at a path, None for nothing; and whether each of them was asked for by its name."""
    path = Path(place)
    if path.is_file():
        return [local_file(path)], True
    if path.is_dir():
        inside = [p for p in path.rglob("*") if p.is_file()]
        shown = [p for p in inside if not _is_hidden(p.relative_to(path).parts)]
        return [local_file(p) for p in shown], False
    matches = [Path(p) for p in glob.glob(place, recursive=True)]  # noqa: PTH207 (absolute)
    files = [local_file(p) for p in matches if p.is_file()]
    return files or None, True


def _in_store(uri: str, options: dict[str, Any]) -> tuple[list[File] | None, bool]:
    """As `_on_disk`, for a URI."""
    try:
        store, place = open_store(uri, options)
        with store.told():
            if glob.has_magic(place):
                found = store.system.glob(place, detail=True)
                files = [v for v in found.values() if v["type"] == "file"]
                return [store.file(v["name"], v) for v in files] or None, True
            if store.system.isfile(place):
                return [store.file(place, store.system.info(place))], True
            found = store.system.find(place, detail=True)
    except SourceError as error:
        raise SourceError(f"{uri} {error.message}", hint=error.hint) from None
    root = PurePosixPath(place)
    shown = [
        store.file(key, about)
        for key, about in found.items()
        if about.get("size") != 0 or not key.endswith("/")
        if not _is_hidden(PurePosixPath(key).parts[len(root.parts) :])
    ]
    return shown if found else None, False


def fingerprint(content: Content, source: Source) -> Fingerprint:
    """Hash a file; a text file is also checked to be in the source's encoding.

    Raises:
        SourceError: the file is empty, unreadable, or not text in this encoding.
    """
    kind = format_of(content, source)
    try:
        before = content.state()
        if before is not None and before[0] == 0:
            raise SourceError("is empty (0 bytes)", hint="Deliver it again, or take it away.")
        digest = hashlib.sha256()
        with content.open() as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
        if kind in TEXT:
            _check_encoding(content, source.encoding)
    except OSError as error:
        raise SourceError(
            f"cannot be read ({error.strerror or error})",
            hint="Check the file and its permissions.",
        ) from None
    return Fingerprint(digest.hexdigest(), before)


def is_unchanged(content: Content, seen: Fingerprint) -> bool:
    """Whether size and time of change are still those of the fingerprint."""
    return seen.state is not None and content.state() == seen.state


def open_file(content: Content, source: Source) -> Opened:
    """Open a file in its format; trouble while reading becomes a SourceError as well.

    Raises:
        SourceError: the file is truncated, damaged or not of its format.
    """
    kind = format_of(content, source)
    try:
        opened = READERS[kind](content, source)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise _unreadable(kind, error) from None
    folder = None if is_uri(content.name) else Path(content.name).parent
    return replace(opened, batches=_guarded(opened.batches, kind), folder=folder)


def format_of(content: Content, source: Source) -> str:
    """The file's format: as the source says, else by its name.

    Raises:
        SourceError: the name says nothing.
    """
    kind = source.format if source.format != "auto" else _format_of(content.name)
    if kind is None:
        raise SourceError(
            f"is of unknown kind ({PurePosixPath(content.name).suffix or 'no suffix'})",
            hint="Set `source.format` to csv, parquet, jsonl, npz or picture.",
        )
    return kind


def by_kind(files: list[File], source: Source) -> tuple[list[File], list[File]]:
    """Files that hold tables of rows, and picture files."""
    auto = source.format == "auto"
    kinds = [(_format_of(f.name) if auto else source.format) == "picture" for f in files]
    return (
        [f for f, alone in zip(files, kinds, strict=True) if not alone],
        [f for f, alone in zip(files, kinds, strict=True) if alone],
    )


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


def _check_encoding(content: Content, encoding: str) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with content.stream() as stream:
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


def _format_of(name: str) -> str | None:
    return SUFFIXES.get(suffix_of(name))


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith((".", "_")) for part in parts)
