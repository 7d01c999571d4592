"""Finding files and reading their rows, with their place in the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakes import Desk, make_desk

from pipeline.errors import SourceError
from pipeline.files import local_content
from pipeline.readers import delimited
from pipeline.source_settings import Source
from pipeline.sources import fingerprint, list_files, natural, open_file


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path, "\n  x: {role: numeric}\n", create=False)


def source(**settings: object) -> Source:
    return Source.model_validate({"path": "x", **settings})


def cells(path: Path, reading: Source | None = None) -> list[tuple[int, dict[str, object]]]:
    out = []
    for batch in open_file(local_content(path), reading or source()).batches:
        out += zip(batch.numbers.tolist(), batch.rows.to_pylist(), strict=True)
    return out


def test_files_come_in_natural_order(desk: Desk) -> None:
    for name in ("night-10.csv", "night-2.csv", "a.jsonl", "notes.md", ".hidden.csv", "_SUCCESS"):
        desk.put(name, "x\n1\n")
    (desk.inbox / "sub").mkdir()
    desk.put("sub/b.parquet", "")
    files, unknown = list_files(desk.config)
    assert [f.title for f in files] == ["a.jsonl", "night-2.csv", "night-10.csv", "b.parquet"]
    assert unknown == [str(desk.inbox / "notes.md")]
    assert natural("a2") < natural("a10") < natural("b1")


def test_a_file_a_glob_and_nothing(desk: Desk) -> None:
    desk.put("a.csv", "x\n1\n")
    desk.put("b.dat", "x\n1\n")
    assert len(list_files(desk.config.with_source(desk.inbox / "*.csv"))[0]) == 1
    assert len(list_files(desk.config.with_source(desk.inbox / "b.dat"))[0]) == 1
    with pytest.raises(SourceError, match="no file matches"):
        list_files(desk.config.with_source(desk.inbox / "*.parquet"))
    with pytest.raises(SourceError, match="there is no file or folder") as caught:
        list_files(desk.config.with_source(desk.folder / "nowhere"))
    assert "source.path" in (caught.value.hint or "")
    with pytest.raises(SourceError, match=r"is of unknown kind \(\.dat\)"):
        open_file(local_content(desk.inbox / "b.dat"), source())
    assert len(cells(desk.inbox / "b.dat", source(format="csv"))) == 1


def test_all_formats_give_the_same_cells(desk: Desk) -> None:
    text = b"a,b\n1,x\n2,\n"
    paths = [
        desk.put("a.csv", text),
        desk.put("a.csv.gz", gzip.compress(text)),
        desk.put("a.jsonl", '{"a": 1, "b": "x"}\n{"a": 2, "b": ""}\n'),
        desk.put("a.jsonl.gz", gzip.compress(b'{"a": 1, "b": "x"}\n{"a": 2, "b": ""}\n')),
        desk.put("semi.csv", text.replace(b",", b";")),
        desk.put("bom.csv", b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")),
        desk.put("wide.csv", text.decode().encode("utf-16")),
    ]
    for path in paths:
        encoding = "utf-16" if path.name == "wide.csv" else "utf-8"
        delimiter = ";" if path.name == "semi.csv" else ","
        reading = source(encoding=encoding, delimiter=delimiter)
        fingerprint(local_content(path), reading)
        assert cells(path, reading) == [(1, {"a": "1", "b": "x"}), (2, {"a": "2", "b": ""})], path
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", ""]}), desk.inbox / "a.parquet")
    assert cells(desk.inbox / "a.parquet") == [(1, {"a": 1, "b": "x"}), (2, {"a": 2, "b": ""})]


def test_rows_that_cannot_be_parsed_keep_their_number(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 32)
    lines = ["a,b"] + [f"{i},{i}" for i in range(1, 41)]
    for number in (3, 11, 12, 40):
        lines[number] = f"bad {number}"
    path = desk.put("a.csv", "\n".join(lines) + "\n\n")
    good, bad = [], []
    for batch in open_file(local_content(path), source()).batches:
        good += [
            (n, int(r["a"])) for n, r in zip(batch.numbers, batch.rows.to_pylist(), strict=True)
        ]
        bad += [(m.number, m.raw, m.reason) for m in batch.malformed]
    assert good == [(i, i) for i in range(1, 41) if i not in (3, 11, 12, 40)]
    assert bad == [(n, f"bad {n}", "1 cells instead of 2") for n in (3, 11, 12, 40)]


def test_quoted_cells_may_hold_anything(desk: Desk) -> None:
    path = desk.put("a.csv", 'a,b\n"x,\ny","say ""hi"""\n3,4\n')
    assert cells(path) == [(1, {"a": "x,\ny", "b": 'say "hi"'}), (2, {"a": "3", "b": "4"})]


def test_json_lines(desk: Desk) -> None:
    path = desk.put(
        "a.jsonl",
        '{"a": 1.50, "b": true}\n\n[1]\n{bad\n{"a": NaN, "c": {"d": [1]}}\n{"a": -Infinity}\n'
        '{"a": "\\ud800"}\n{}\n',
    )
    (batch,) = open_file(local_content(path), source()).batches
    assert batch.numbers.tolist() == [1, 4, 5, 7]
    assert batch.rows.to_pydict() == {
        "a": ["1.50", None, "-inf", None],
        "b": ["true", None, None, None],
        "c": [None, '{"d": ["1"]}', None, None],
    }
    reasons = [(m.number, m.reason) for m in batch.malformed]
    assert reasons == [(2, "not a JSON object"), (3, "not valid JSON"), (6, "not valid JSON")]
    assert batch.raw is not None
    assert batch.raw[0] == '{"a": 1.50, "b": true}'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", r"is empty \(0 bytes\)"),
        ("a.parquet", b"", r"is empty \(0 bytes\)"),
        ("a.csv", b"a,b\n1,2\n\xe9,3\n", "is not utf-8 text: byte 0xe9 in line 3"),
        ("a.jsonl", b'{"a": "\xe9"}\n', "is not utf-8 text: byte 0xe9 in line 1"),
        ("a.csv", "a,b\n1,é".encode()[:-1], "is not utf-8 text: it ends within a character"),
        ("a.csv", b"a,a\n1,2\n", "names a column twice: a"),
        ("a.csv", b"\n\n", "cannot be read as csv"),
        ("a.parquet", b"PAR1 and then nothing", "cannot be read as parquet"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n" * 9999)[:-40], "cannot be read"),
    ],
)
def test_files_that_cannot_be_read(desk: Desk, name: str, content: bytes, message: str) -> None:
    path = desk.put(name, content)
    with pytest.raises(SourceError, match=message) as caught:
        fingerprint(local_content(path), source())
        list(open_file(local_content(path), source()).batches)
    assert caught.value.hint


def test_truncated_and_damaged_parquet(desk: Desk) -> None:
    table = pa.table({"a": list(range(5000)), "b": [str(i) for i in range(5000)]})
    pq.write_table(table, desk.inbox / "whole.parquet")
    whole = (desk.inbox / "whole.parquet").read_bytes()
    for content in (whole[: len(whole) // 2], whole[:200] + b"\0" * 900 + whole[1100:]):
        path = desk.put("a.parquet", content)
        with pytest.raises(SourceError, match="cannot be read as parquet"):
            list(open_file(local_content(path), source()).batches)
