"""Pictures from archives, folders and tables of paths, through `init` and ingest, each once."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from PIL import Image

from pipeline import ingest_pictures
from pipeline.config import Config
from pipeline.errors import SourceError
from pipeline.files import local_content, local_file
from pipeline.home import Home
from pipeline.inference import write_config
from pipeline.ingest import ingest
from pipeline.lake import Lake
from pipeline.ledger import digest
from pipeline.source_settings import Source
from pipeline.sources import open_file

SOURCE = Source.model_validate({"path": "x"})


def pictures(count: int, shape: tuple[int, ...] = (8, 6), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def png(picture: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(picture).save(held, "PNG")
    return held.getvalue()


def folder_of(place: Path, values: np.ndarray, kinds: tuple[str, ...] = ("good", "bad")) -> None:
    for i, picture in enumerate(values):
        inside = place / kinds[i % len(kinds)]
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{i}.png").write_bytes(png(picture))


def configured(data: Path, tmp_path: Path) -> tuple[Home, Config, Lake]:
    """What `init` makes of some data, with its tables."""
    home, config = Home(tmp_path / "home"), write_config(data, tmp_path / "made.yaml")
    lake = Lake(config, home)
    lake.create()
    return home, config, lake


def stored(lake: Lake, image: str) -> list[np.ndarray]:
    shape = lake.config.columns[image].shape or ()
    rows = lake.read("ingested").sort_by("_row_id").column(image).to_pylist()
    return [np.frombuffer(cell, np.uint8).reshape(shape) for cell in rows]


@pytest.mark.parametrize("shape", [(8, 6), (7, 9, 3)])
def test_an_archive_is_read_by_key(shape: tuple[int, ...], tmp_path: Path) -> None:
    values, digits = pictures(40, shape), np.arange(40) % 10
    np.savez_compressed(tmp_path / "some.npz", x=values, y=digits.reshape(-1, 1))
    home, config, lake = configured(tmp_path / "some.npz", tmp_path)
    assert config.columns["x"].shape == shape
    assert (config.image, config.label) == ("x", "y")
    result = ingest(home, config)
    assert (result.ingested, result.quarantined, result.refused_files) == (40, 0, [])
    np.testing.assert_array_equal(stored(lake, "x"), values)
    told = lake.read("ingested").sort_by("_row_id").column("y").to_pylist()
    assert told == [str(digit) for digit in digits]


def test_parts_of_an_archive_follow_each_other(tmp_path: Path) -> None:
    x, y = pictures(30), np.arange(30)
    parts = {"x_train": x[:20], "x_test": x[20:], "y_train": y[:20], "y_test": y[20:]}
    np.savez(tmp_path / "parts.npz", **parts)
    opened = open_file(local_content(tmp_path / "parts.npz"), SOURCE)
    batches = list(opened.batches)
    assert opened.schema == batches[0].rows.schema
    rows = pd.concat([batch.rows.to_pandas() for batch in batches], ignore_index=True)
    assert rows["part"].tolist() == ["train"] * 20 + ["test"] * 10
    assert rows["y"].tolist() == list(range(30))
    assert np.concatenate([b.numbers for b in batches]).tolist() == list(range(1, 31))


def test_parts_of_equal_length_are_parts(tmp_path: Path) -> None:
    x, y = pictures(30), np.arange(30) % 3
    keys = {"train": 0, "val": 10, "test": 20}
    parts = {f"x_{k}": x[start : start + 10] for k, start in keys.items()}
    parts |= {f"y_{k}": y[start : start + 10] for k, start in keys.items()}
    np.savez(tmp_path / "parts.npz", **parts)  # type: ignore[arg-type]
    home, config, lake = configured(tmp_path / "parts.npz", tmp_path)
    assert set(config.columns) == {"x", "y", "part"}
    assert ingest(home, config).ingested == 30
    np.testing.assert_array_equal(stored(lake, "x"), x)


@pytest.mark.parametrize("keys", [("mean_a", "mean_b"), ("x_train", "y_test"), ("x_train",)])
def test_arrays_of_equal_length_that_are_no_parts_are_columns(
    keys: tuple[str, ...], tmp_path: Path
) -> None:
    np.savez(tmp_path / "some.npz", **dict.fromkeys(keys, np.arange(4)))  # type: ignore[arg-type]
    opened = open_file(local_content(tmp_path / "some.npz"), SOURCE)
    assert tuple(opened.schema.names) == keys


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": pictures(3), "y": np.arange(4)}, "different lengths: `x` 3, `y` 4"),
        ({"x": np.array([{"a": 1}], dtype=object)}, "Python objects under `x`"),
        ({"x": np.zeros(3, dtype=complex)}, "of type complex128"),
        ({"x": np.float64(3)}, "no array of rows"),
        (
            {"x_a": np.zeros(3), "y_a": np.zeros(2), "x_b": np.zeros(1), "y_b": np.zeros(1)},
            "`y_a` 2",
        ),
    ],
)
def test_archives_that_are_no_table_are_refused(
    arrays: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "odd.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=said):
        open_file(local_content(tmp_path / "odd.npz"), SOURCE)


def test_a_torn_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", x=pictures(30))
    whole = (tmp_path / "whole.npz").read_bytes()
    for size in (10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "torn.npz").write_bytes(whole[:size])
        with pytest.raises(SourceError, match="cannot be read as npz"):
            open_file(local_content(tmp_path / "torn.npz"), SOURCE)
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 0xFF  # only its checksum tells
    (tmp_path / "torn.npz").write_bytes(spoilt)
    with pytest.raises(SourceError, match="cannot be read as npz"):
        list(open_file(local_content(tmp_path / "torn.npz"), SOURCE).batches)


def test_pixels_of_an_archive_that_are_none_go_to_quarantine(tmp_path: Path) -> None:
    home, config, lake = configured(_archive(tmp_path, pictures(20)), tmp_path)
    ingest(home, config)
    later = Config.model_validate({**config.model_dump(), "source": {"path": str(tmp_path / "b")}})
    (tmp_path / "b").mkdir()
    np.savez(tmp_path / "b" / "later.npz", x=pictures(3).astype(float) / 255, y=np.zeros(3))
    np.savez(tmp_path / "b" / "wide.npz", x=pictures(2, (6, 8)), y=np.zeros(2))
    result = ingest(home, later)
    assert (result.ingested, result.quarantined) == (0, 5)
    why = {
        reason for row in lake.read("quarantine").column("reasons").to_pylist() for reason in row
    }
    assert why == {
        "`x`: pixels that are no whole numbers from 0 to 255",
        "`x`: a picture of 6 × 8 pixels instead of 8 × 6 pixels",
    }


def _archive(folder: Path, values: np.ndarray) -> Path:
    np.savez(folder / "first.npz", x=values, y=np.arange(len(values)) % 3)
    return folder / "first.npz"


def test_a_folder_of_files_is_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_pictures, "GROUP_FILES", 7)
    place, values = tmp_path / "pictures", pictures(20)
    folder_of(place, values)
    (place / "good" / "torn.png").write_bytes(png(values[0])[:50])
    (place / "good" / "wide.jpg").write_bytes(png(pictures(1, (6, 8))[0]))
    home, config, lake = configured(place, tmp_path)
    assert (config.image, config.label, config.columns["picture"].shape) == (
        "picture", "folder", (8, 6),
    )  # fmt: skip
    assert config.columns["folder"].normal == ("good",)
    result = ingest(home, config)
    assert (result.rows_in, result.ingested, result.quarantined) == (22, 20, 2)
    assert {f.status for f in result.files} == {"ingested"}
    rows = lake.read("ingested").to_pylist()
    assert sorted(row["_row_id"] for row in rows) == list(range(1, 21))
    for row in rows:
        number = int(Path(row["_source"]).stem)
        assert row["picture"] == values[number].tobytes()
        assert row["folder"] == Path(row["_source"]).parent.name
    order = [row["folder"] for row in sorted(rows, key=lambda row: row["_row_id"])]
    assert order != sorted(order) and order != sorted(order, reverse=True), "kinds come mixed"
    refused = lake.read("quarantine").to_pylist()
    assert {Path(row["_source"]).name: row["reasons"][0] for row in refused} == {
        "torn.png": "`picture`: a picture that cannot be read: truncated or damaged",
        "wide.jpg": "`picture`: a picture of 6 × 8 pixels instead of 8 × 6 pixels",
    }

    again = ingest(home, config)
    assert (again.rows_in, [f.status for f in again.files]) == (0, ["skipped"])
    folder_of(place, pictures(3, seed=1), kinds=("new",))
    (place / "bad" / "1.png").write_bytes(png(pictures(1, seed=2)[0]))
    (place / "bad" / "empty.png").touch()
    third = ingest(home, config)
    assert (third.ingested, third.quarantined) == (3, 0)
    assert {Path(f.path).name: f.reason for f in third.refused_files} == {
        "1.png": "was ingested before with other content",
        "empty.png": "is empty (0 bytes)",
    }
    assert lake.count("ingested") == 23


def with_ids(config: Config, lake: Lake) -> tuple[Config, Lake]:
    """Files are told by their names, and by those of earlier runs; tables are made anew."""
    given = config.model_dump()
    given["columns"]["file"] = {"role": "id"}
    given["source"]["unique_id_history"] = True
    told = Config.model_validate({**given, "name": "told", "path": config.path})
    made = Lake(told, lake.home)
    made.create()
    return told, made


def ten_with_ids(tmp_path: Path) -> tuple[Path, Home, Config, Lake]:
    place = tmp_path / "pictures"
    folder_of(place, pictures(10))
    home, config, lake = configured(place, tmp_path)
    return place, home, *with_ids(config, lake)


@pytest.mark.parametrize("ids", [False, True])
def test_pictures_of_runs_side_by_side_are_ingested_once(
    ids: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_pictures, "GROUP_FILES", 8)
    place = tmp_path / "pictures"
    folder_of(place, pictures(30))
    (place / "good" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    home, config, lake = configured(place, tmp_path)
    if ids:
        (place / "good" / "1.png").write_bytes(png(pictures(1, seed=1)[0]))  # beside bad/1.png
        config, lake = with_ids(config, lake)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ingest(home, config), range(4)))
    rows = lake.read("ingested")
    assert sorted(rows.column("_row_id").to_pylist()) == list(range(1, 31))
    assert len(set(rows.column("_source").to_pylist())) == 30
    assert lake.count("quarantine") == 1 + ids


def test_a_doubled_run_that_comes_in_between_repeats_no_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, home, config, lake = ten_with_ids(tmp_path)
    real = ingest_pictures._known

    def overtaken(lake: Lake) -> dict[str, str]:
        known = real(lake)
        with monkeypatch.context() as patch:
            patch.setattr(ingest_pictures, "_known", real)
            assert ingest(home, config).ingested == 10
        (place / "good" / "late.png").write_bytes(png(pictures(1, seed=1)[0]))
        return known

    with monkeypatch.context() as patch:
        patch.setattr(ingest_pictures, "_known", overtaken)
        ingest(home, config)
    assert (lake.count("ingested"), lake.count("quarantine")) == (10, 0)
    assert ingest(home, config).ingested == 1


def test_ids_are_checked_against_the_version_that_rows_are_committed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, home, config, lake = ten_with_ids(tmp_path)
    real, others = ingest_pictures.known_ids, [1]
    names = (f"new{i}" for i in range(1000))  # of a folder whose 0.png is read before good/0.png
    first = next(n for n in names if digest(f"{place}/{n}/0.png") < digest(f"{place}/good/0.png"))

    def overtaken(lake: Lake, handle: DeltaTable) -> object:
        if others and others.pop():
            folder_of(place, pictures(1, seed=1), kinds=(first,))
            assert ingest(home, config).ingested == 10
        return real(lake, handle)

    with monkeypatch.context() as patch:
        patch.setattr(ingest_pictures, "known_ids", overtaken)
        ingest(home, config)
    told = [*lake.read("ingested").to_pylist(), *lake.read("quarantine").to_pylist()]
    assert len({row["_source"] for row in told}) == len(told) == 11
    assert len({row["file"] for row in lake.read("ingested").to_pylist()}) == 10


def test_pictures_beside_tables_are_told_of(tmp_path: Path) -> None:
    place = tmp_path / "pictures"
    folder_of(place, pictures(6))
    home, config, lake = configured(place, tmp_path)
    (place / "labels.csv").write_text("file,state\n0.png,fine\n")
    result = ingest(home, config)
    assert [f.status for f in result.files] == ["refused"]
    assert result.notes == (
        "left out 6 picture files: beside tables they are read where a table names them, and "
        "none does",
    )
    (place / "labels.csv").unlink()
    assert ingest(home, config).ingested == 6
    (place / "labels.csv").write_text("file,state\n0.png,fine\n")
    with pytest.raises(
        SourceError, match=r"labels\.csv lies among picture files that were"
    ) as told:
        ingest(home, config)
    assert "Move" in told.value.hint
    assert lake.count("ingested") == 6


def test_a_run_killed_between_both_tables_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "pictures"
    folder_of(place, pictures(6))
    (place / "good" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    home, config, lake = configured(place, tmp_path)

    def killed(lake: Lake, handle: DeltaTable, bad: pa.RecordBatch) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ingest_pictures, "_commit_bad", killed)
        ingest(home, config)
    assert (lake.count("ingested"), lake.count("quarantine")) == (6, 0)
    folder_of(place, pictures(2, seed=1), kinds=("new",))
    assert ingest(home, config).ingested == 2
    assert (lake.count("ingested"), lake.count("quarantine")) == (8, 1)


def test_a_table_names_picture_files(tmp_path: Path) -> None:
    place, values = tmp_path / "delivery", pictures(12)
    folder_of(place, values, kinds=("a",))
    names = [*(f"a/{i}.png" for i in range(12)), "a/gone.png", "../secret.png"]
    (tmp_path / "secret.png").write_text("no picture")
    table = pd.DataFrame({"image": names, "state": ["fine"] * 11 + ["odd"] * 3})
    table.to_csv(place / "labels.csv", index=False)
    home, config, lake = configured(place, tmp_path)
    assert config.columns["image"].shape == (8, 6)
    result = ingest(home, config)
    assert (result.ingested, result.quarantined, result.refused_files) == (12, 2, [])
    assert result.notes == ()
    np.testing.assert_array_equal(stored(lake, "image"), values)
    reasons = sorted(row["reasons"][0] for row in lake.read("quarantine").to_pylist())
    assert reasons == [
        "`image`: a picture that cannot be read: truncated or damaged",
        "`image`: names a picture file that cannot be read",
    ]


@pytest.mark.parametrize("form", ["file", "nested", "flat", "bytes"])
def test_init_sees_pictures_in_parquet(form: str, tmp_path: Path) -> None:
    values = pictures(20, (8, 8))
    cells = {
        "file": [png(v) for v in values],
        "nested": values.tolist(),
        "flat": values.reshape(20, -1).tolist(),
        "bytes": [v.tobytes() for v in values],
    }[form]
    pd.DataFrame({"image": cells, "weight": np.arange(20) * 1.5}).to_parquet(tmp_path / "p.parquet")
    if form == "bytes":  # of which nobody can tell the shape
        config = write_config(tmp_path / "p.parquet", tmp_path / "made.yaml")
        assert config.columns["image"].role == "ignore"
        return
    home, config, lake = configured(tmp_path / "p.parquet", tmp_path)
    assert config.columns["image"].shape == (8, 8)
    assert config.columns["weight"].role == "ignore"
    assert ingest(home, config).ingested == 20
    np.testing.assert_array_equal(stored(lake, "image"), values)


def test_pictures_in_a_store_are_not_followed_by_path() -> None:
    from pipeline.pictures import NOT_FOLLOWED, read_cells

    _, wrong = read_cells(["a/0.png"], (8, 6, 1))
    assert wrong == {0: NOT_FOLLOWED}


def test_a_picture_file_is_a_row(tmp_path: Path) -> None:
    folder_of(tmp_path, pictures(1), kinds=("good",))
    with local_file(tmp_path / "good" / "0.png").content() as content:
        (batch,) = open_file(content, SOURCE).batches
    (row,) = batch.rows.to_pylist()
    assert (row["file"], row["folder"]) == ("0.png", "good")
    assert row["picture"] == (tmp_path / "good" / "0.png").read_bytes()
