"""Does a place keep the one promise that exactly-once rests on: of many writers, one commits?

A folder does, by the file system. An object store does if it honours conditional writes
(`If-None-Match: *`); one that ignores them lets every writer "commit" and keeps the last one's
rows.
"""

from __future__ import annotations

import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as fs
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler

from pipeline.commits import commit
from pipeline.errors import StoreError
from pipeline.home import Home
from pipeline.stores import said_plainly

# A store that ignores conditions is found out where two writers look before either has written. On
# a busy machine four can happen to come one after the other, hence several rounds.
WRITERS = 4
ROUNDS = 5
SCHEMA = pa.schema([("writer", pa.int64())])


def one_writer_commits(home: Home) -> None:
    """Let several writers commit to a table of their own at once, which is removed afterwards.

    Raises:
        StoreError: the place cannot be written to, or lets more than one commit.
    """
    name = f"doctor-{uuid.uuid4().hex}"
    uri = f"{home.place}/{name}"
    with said_plainly(f"cannot write to {home.place}"):
        DeltaTable.create(uri, SCHEMA)
    try:
        with said_plainly(f"cannot write to {home.place}"):
            committed = max(_race(uri) for _ in range(ROUNDS))
    finally:
        _remove(home, name)
    if committed != 1:
        raise StoreError(
            f"{home.place} let {committed} of {WRITERS} writers commit at once where one may: rows "
            "would be lost",
            hint="Use a store that honours conditional writes (If-None-Match), such as AWS S3 or a "
            "recent MinIO or Ceph, or a folder.",
        )


def _race(uri: str) -> int:
    """How many of several writers that have seen the same version commit the next one."""
    handles = [DeltaTable(uri) for _ in range(WRITERS)]
    gate = threading.Barrier(WRITERS)

    def write(number: int) -> bool:
        gate.wait()
        rows = pa.table([[number]], schema=SCHEMA).to_reader()
        return commit(handles[number], rows, {"doctor": 1})

    with ThreadPoolExecutor(WRITERS) as pool:
        return sum(pool.map(write, range(WRITERS)))


def _remove(home: Home, name: str) -> None:
    if home.uri is None:
        shutil.rmtree(Path(home.place) / name, ignore_errors=True)
        return
    with said_plainly(f"cannot remove {home.uri}/{name}"):
        files = DeltaStorageHandler(home.uri)
        for found in files.get_file_info_selector(fs.FileSelector(name, recursive=True)):
            if found.type == fs.FileType.File:
                files.delete_file(found.path)
