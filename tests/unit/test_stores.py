"""What a real object store refuses, in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from cluster import start_object_store
from lakes import make_desk

from flows.servers import Children, free_port
from pipeline.errors import StoreError, TableMissingError
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.stores import reason


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with Children() as children:
        yield start_object_store(children, tmp_path_factory.mktemp("store"))


@pytest.fixture
def at(
    store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield monkeypatch


def lake(tmp_path: Path, place: str) -> Lake:
    return Lake(make_desk(tmp_path / "desk", create=False).config, Home.resolve(place))


def test_tables_are_made_written_and_read(at: pytest.MonkeyPatch, tmp_path: Path) -> None:
    desk = lake(tmp_path, "s3://lake/one")
    assert not desk.exists()
    with pytest.raises(TableMissingError, match="in s3://lake/one"):
        desk.open("scores")
    desk.create()
    desk.create()
    row = pa.table(
        {"night_id": [1], "state": ["open"]},
    )
    from pipeline.tables import TABLES, in_schema

    schema = TABLES["nights"](desk.config)
    rows = pa.Table.from_batches([in_schema(b, schema) for b in row.to_batches()])
    assert desk.append_once("nights", rows, {"night/desk": 2})
    assert not desk.append_once("nights", rows, {"night/desk": 2})
    assert desk.count("nights") == 1


def test_a_missing_bucket(at: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="bucket") as refused:
        lake(tmp_path, "s3://nowhere/one").open("scores")
    assert "Make the bucket" in str(refused.value.hint)
    assert "\x1b" not in refused.value.message and "<" not in refused.value.message


def test_http_must_be_allowed(at: pytest.MonkeyPatch, tmp_path: Path) -> None:
    at.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(StoreError, match="scheme is not allowed") as refused:
        lake(tmp_path, "s3://lake/one").open("scores")
    assert "AWS_ALLOW_HTTP" in str(refused.value.hint)


def test_nobody_answers(at: pytest.MonkeyPatch, tmp_path: Path) -> None:
    at.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreError) as refused:
        lake(tmp_path, "s3://lake/one").create()
    assert "AWS_ENDPOINT_URL" in str(refused.value.hint)


def test_a_store_that_nothing_knows(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Unknown scheme") as refused:
        lake(tmp_path, "floppy://lake/one").open("scores")
    assert "s3://" in str(refused.value.hint)


def test_an_answer_in_xml_is_quoted_by_code_and_message() -> None:
    answer = (
        "Generic S3 error\n \x1b[31m↳\x1b[0m Server returned non-2xx\n  ↳ <?xml version='1.0'?>"
        "<Error><Code>AccessDenied</Code><Message>Not yours</Message><Id>7</Id></Error>"
    )
    assert reason(OSError(answer)) == (
        "Generic S3 error: Server returned non-2xx: AccessDenied: Not yours"
    )
