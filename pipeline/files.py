"""Files of a source, on this machine or in a store, and their bytes."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa

from pipeline.credentials import expanded, masked
from pipeline.errors import SourceError

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
CHUNK_BYTES = 4 << 20
# what a store says about an object that changes with its bytes
CHECKSUMS = ("ETag", "etag", "md5Hash", "content_md5", "crc32c", "sha256", "mtime", "LastModified",
             "last_modified", "created")  # fmt: skip
EXTRAS = {"s3": "s3", "s3a": "s3"}


@dataclass(frozen=True)
class Content:
    """The bytes of one file.

    Attributes:
        name: its absolute path or URI, as tables and messages say it.
        open: its bytes from the start, as often as wanted, one reader at a time.
        state: size in bytes and time of change now; None once it is gone.
    """

    name: str
    open: Callable[[], pa.NativeFile]
    state: Callable[[], tuple[int, int] | None]

    def stream(self) -> pa.NativeFile:
        """Its bytes, uncompressed."""
        return pa.input_stream(self.open(), compression=compression_of(self.name))


@dataclass(frozen=True)
class File:
    """One file of a source.

    Attributes:
        name: its absolute path or URI, as tables and messages say it.
        content: gives its bytes, for as long as the block runs.
        version: what its store says that changes with its bytes; None where nothing is said.
        state: size in bytes and time of change when it was listed, as `Content.state` says them;
            None where nothing is said.
    """

    name: str
    content: Callable[[], AbstractContextManager[Content]]
    version: str | None = None
    state: tuple[int, int] | None = None

    @property
    def title(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.name).name


def local_file(path: Path) -> File:
    """A file on this machine."""

    @contextmanager
    def content() -> Iterator[Content]:
        yield local_content(path)

    return File(name_of(path), content, state=local_content(path).state())


def local_content(path: Path) -> Content:
    """The bytes of a file on this machine."""

    def state() -> tuple[int, int] | None:
        try:
            now = path.stat()
        except OSError:
            return None
        return now.st_size, now.st_mtime_ns

    return Content(name_of(path), lambda: pa.OSFile(os.fsencode(path)), state)


def name_of(path: Path) -> str:
    """The path as text that every table can hold, whatever bytes the file system gave."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def compression_of(name: str) -> str | None:
    """Codec that a file's name speaks of."""
    return COMPRESSIONS.get(PurePosixPath(name).suffix.lower())


def suffix_of(name: str) -> str:
    """Of a file's name, in small letters, without the one of a compression."""
    path = PurePosixPath(name)
    return PurePosixPath(path.stem if compression_of(name) else path.name).suffix.lower()


@dataclass(frozen=True)
class Store:
    """A place that fsspec reads: an object store, or the memory of this process.

    Args:
        system: fsspec's file system.
        options: as the config has them, for messages without secrets.
    """

    system: Any
    options: dict[str, Any]

    def name(self, key: str) -> str:
        """URI of an object."""
        return str(self.system.unstrip_protocol(key))

    def file(self, key: str, about: dict[str, Any]) -> File:
        """An object as a file of a source."""

        @contextmanager
        def content() -> Iterator[Content]:
            with tempfile.TemporaryFile() as copy:
                yield self._fetched(key, copy)

        said = {c: str(about[c]) for c in CHECKSUMS if about.get(c)}
        version = f"{about.get('size')} {said}" if said else None
        size = about.get("size")
        return File(self.name(key), content, version, None if size is None else (int(size), 0))

    def _fetched(self, key: str, copy: IO[bytes]) -> Content:
        """The object once, in a file that disappears with this process, killed or not."""
        with self.told(), self.system.open(key, "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                copy.write(chunk)
        copy.flush()
        size = copy.tell()

        def opened() -> pa.NativeFile:
            copy.seek(0)  # where the system's new handle shares the old one's place
            return pa.OSFile(f"/dev/fd/{copy.fileno()}")

        return Content(self.name(key), opened, lambda: (size, 0))

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say a store's errors without its keys.

        Raises:
            SourceError: it cannot be reached, or refuses.
        """
        try:
            yield
        except SourceError:
            raise
        except Exception as error:  # each store has exceptions of its own
            cause = masked(" ".join(str(error).split()), self.options)[:300].rstrip(".")
            raise SourceError(
                f"cannot be read ({type(error).__name__}: {cause})",
                hint="Check the place, the keys of its store, and `source.options`.",
            ) from None


def open_store(uri: str, options: dict[str, Any]) -> tuple[Store, str]:
    """The store that a URI names, and the place in it.

    Args:
        uri: such as s3://bucket/folder/*.csv.
        options: of fsspec's file system, with placeholders.

    Raises:
        SourceError: nothing reads this kind of URI, or a variable is not set.
    """
    import fsspec

    given = expanded(options, "source.options")
    scheme = uri.partition("://")[0]
    try:
        system, place = fsspec.core.url_to_fs(uri, **given)
    except (ImportError, ValueError) as error:
        extra = EXTRAS.get(scheme)
        raise SourceError(
            f"cannot be read: {masked(str(error), options).rstrip('.')}",
            hint=f"Install it: pip install 'vae-anomaly[{extra}]'."
            if extra
            else "Install what fsspec needs for this scheme, or copy the files to a folder.",
        ) from None
    except Exception as error:
        raise SourceError(
            f"cannot be opened ({masked(str(error), options)[:300].rstrip('.')})",
            hint="Check `source.options`.",
        ) from None
    system.invalidate_cache()
    return Store(system, options), str(place)


def installed(module: str, extra: str) -> Any:
    """An optional package.

    Raises:
        SourceError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise SourceError(
            f"needs the package {module}", hint=f"Install it: pip install 'vae-anomaly[{extra}]'."
        ) from None
