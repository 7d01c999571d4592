"""Pictures in cells of every kind, through the checks, into tables and back."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.config import Config
from pipeline.errors import SchemaError
from pipeline.frames import to_columns, to_frame
from pipeline.pictures import DAMAGED, as_data_uri, as_stored, open_file, read_cells
from pipeline.readers import Opened, RawBatch
from pipeline.row_checks import RowChecker

GREY, COLOUR = (6, 5, 1), (6, 5, 3)


def pictures(shape: tuple[int, int, int], count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def file_of(picture: np.ndarray, kind: str = "PNG") -> bytes:
    held = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(held, kind)
    return held.getvalue()


def fixed_lists(values: np.ndarray) -> pa.Array:
    column = pa.array(values.reshape(-1))
    for size in values.shape[:0:-1]:
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column


def config(shape: tuple[int, ...] = GREY, **columns: dict[str, object]) -> Config:
    return Config.model_validate(
        {
            "name": "shapes",
            "source": {"path": "landing"},
            "columns": {"picture": {"role": "image", "shape": shape}, **columns},
        }
    )


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_every_kind_of_column_gives_the_same_pictures(shape: tuple[int, int, int]) -> None:
    values = pictures(shape)
    inner = values.squeeze()
    columns = [
        pa.array([p.tobytes() for p in values], pa.binary()),
        pa.array([p.tobytes() for p in values], pa.large_binary()),
        pa.array([b"x", *(p.tobytes() for p in values)], pa.binary())[1:],
        pa.array([file_of(p) for p in values]),
        pa.array(inner.tolist()),
        pa.array(values.reshape(4, -1).tolist(), pa.list_(pa.float64())),
        fixed_lists(inner),
        fixed_lists(inner)[1:].slice(0),
        pa.array([json.dumps(p.tolist()) for p in inner]),
        pa.array([as_data_uri(p) for p in values]),
    ]
    for column in columns:
        got, wrong = read_cells(column, shape)
        assert not wrong
        np.testing.assert_array_equal(got, values[-len(column) :])


def test_channels_follow_the_config() -> None:
    grey, coloured = pictures(GREY, 1), pictures(COLOUR, 1)
    as_colour, _ = read_cells([file_of(grey[0])], COLOUR)
    assert (as_colour == grey).all()
    as_grey, wrong = read_cells([file_of(coloured[0])], GREY)
    assert as_grey.shape == (1, *GREY) and not wrong
    assert open_file(file_of(coloured[0], "JPEG")).shape == COLOUR  # type: ignore[union-attr]


def test_what_is_wrong_is_said_by_row() -> None:
    good = pictures(GREY)
    deep = io.BytesIO()
    Image.fromarray(np.full((6, 5), 4000, np.uint16)).save(deep, "PNG")
    cells = [
        file_of(good[0]),
        None,
        file_of(good[0])[:40],
        file_of(pictures((5, 6, 1))[0]),
        b"123",
        deep.getvalue(),
    ]
    values, wrong = read_cells(pa.array(cells, pa.binary()), GREY)
    assert list(values[0].ravel()) == list(good[0].ravel())
    assert sorted(wrong) == [1, 2, 3, 4, 5]
    assert wrong[1] == "missing, but required"
    assert "truncated" in wrong[2]
    assert wrong[3] == "a picture of 5 × 6 pixels instead of 6 × 5 pixels"
    assert "3 bytes" in wrong[4]
    assert "8 bits" in wrong[5]
    assert read_cells(["no list"], GREY)[1] == {0: "no picture"}


def test_a_data_uri_is_a_picture_or_what_is_wrong_with_it() -> None:
    (picture,) = pictures(GREY, 1)
    whole = as_data_uri(picture)
    jpeg = "data:image/jpeg;base64," + base64.b64encode(file_of(picture, "JPEG")).decode()
    torn = [
        whole[:-3],
        whole[: 2 * len(whole) // 3],
        whole[: len(whole) // 2],
        "data:image/png;base64,é",
        "data:image/",
    ]
    values, wrong = read_cells(pa.array([whole, *torn, jpeg]), GREY)
    np.testing.assert_array_equal(values[0], picture)
    assert values[-1].shape == GREY
    assert sorted(wrong) == [1, 2, 3, 4, 5]
    assert {wrong[row] for row in (1, 2, 3, 4)} == {DAMAGED}


def test_a_torn_data_uri_is_one_refused_row() -> None:
    (picture,) = pictures(GREY, 1)
    rows = pa.record_batch({"picture": [as_data_uri(picture), as_data_uri(picture)[:-3]]})
    checked = RowChecker(config()).check(
        RawBatch(rows, np.arange(1, 3)), Opened(rows.schema, iter(()))
    )
    assert checked.rows.num_rows == 1
    assert [(r.number, r.reasons) for r in checked.refused] == [(2, [f"`picture`: {DAMAGED}"])]


def test_raw_pixels_that_begin_like_a_file_are_pixels() -> None:
    values = pictures(GREY)
    values[:].reshape(4, -1)[0, :3] = [0xFF, 0xD8, 0xFF]
    got, wrong = read_cells(pa.array([p.tobytes() for p in values]), GREY)
    assert not wrong
    np.testing.assert_array_equal(got, values)


def test_stored_pictures_come_back_and_wrong_ones_are_null() -> None:
    values = pictures(COLOUR)
    column = as_stored(values, {2: "torn"})
    assert column.type == pa.binary() and column.null_count == 1
    assert column[1].as_py() == values[1].tobytes()
    got, wrong = read_cells(column, COLOUR)
    assert list(wrong) == [2]
    np.testing.assert_array_equal(got[[0, 1, 3]], values[[0, 1, 3]])


def test_rows_with_bad_pictures_are_refused_as_they_came() -> None:
    good, odd = file_of(pictures(GREY)[0]), file_of(pictures((5, 6, 1))[0])
    rows = pa.record_batch({"picture": [good, odd, None], "digit": ["1", "2", "3"]})
    batch = RawBatch(rows, np.arange(1, 4))
    settings = config(digit={"role": "condition"})
    checked = RowChecker(settings).check(batch, Opened(rows.schema, iter(())))
    assert checked.rows.num_rows == 1
    assert [r.number for r in checked.refused] == [2, 3]
    assert checked.refused[0].reasons == [
        "`picture`: a picture of 5 × 6 pixels instead of 6 × 5 pixels"
    ]
    raw = json.loads(checked.refused[0].raw)
    assert base64.b64decode(raw["picture"].partition(",")[2]) == odd
    assert checked.refused[1].reasons == ["`picture`: missing, but required"]


def test_frames_of_callers_become_columns() -> None:
    values = pictures(GREY)
    settings = config(digit={"role": "condition"})
    digits = np.array(["1", "2", "3", "4"], dtype=object)
    for cells in ([*values], values.squeeze().tolist(), [p.tobytes() for p in values]):
        frame = pd.DataFrame({"digit": digits, "picture": cells})
        columns = to_columns(frame, settings)
        assert list(columns) == ["picture", "digit"]
        np.testing.assert_array_equal(columns["picture"], values)
        assert columns["digit"].tolist() == digits.tolist()
    frame = to_frame(columns, ["picture", "digit"])
    assert np.array_equal(np.array(frame["picture"].tolist()), values)
    with pytest.raises(SchemaError, match="6 × 5 pixels: 1 cell does not, first in row 2"):
        to_columns(pd.DataFrame({"digit": ["1", "2"], "picture": [values[0], None]}), settings)
