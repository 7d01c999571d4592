"""Three ranges that do not touch."""

from __future__ import annotations

from pathlib import Path

import pytest
from lakes import make_desk

from pipeline.errors import NotEnoughRows
from pipeline.split import Range, Split, make_split, split_rows

SMALL = "\n  x: {role: numeric}\n"


def test_default_shares_use_every_row(tmp_path: Path) -> None:
    config = make_desk(tmp_path, SMALL, create=False).config
    split = split_rows(30_000, config)
    assert split == Split(Range(1, 21_000), Range(21_001, 24_000), Range(24_001, 30_000))
    for present in range(10, 200):
        split = split_rows(present, config)
        assert split.train.first == 1
        assert split.validation.first == split.train.last + 1
        assert split.calibration.first == split.validation.last + 1
        assert split.calibration.last == present
        assert split.train.rows + split.validation.rows + split.calibration.rows == present


def test_until_and_smaller_shares(tmp_path: Path) -> None:
    config = make_desk(
        tmp_path, SMALL, create=False,
        more="split: {train: 0.5, validation: 0.1, calibration: 0.1, until: 100}",
    ).config  # fmt: skip
    assert split_rows(500, config) == Split(Range(1, 50), Range(51, 60), Range(61, 70))
    with pytest.raises(NotEnoughRows, match=r"`split.until` is 100, but only 99 rows"):
        split_rows(99, config)


def test_too_few_rows(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, SMALL)
    with pytest.raises(NotEnoughRows, match="nothing is ingested for 'desk' yet"):
        make_split(desk.lake, desk.config)
    with pytest.raises(NotEnoughRows, match="2 rows are too few"):
        split_rows(2, desk.config)


def test_goes_through_json() -> None:
    split = Split(Range(1, 7), Range(8, 8), Range(9, 10))
    assert Split.from_dict(split.to_dict()) == split
    assert split.to_dict()["train"] == {"first": 1, "last": 7}
