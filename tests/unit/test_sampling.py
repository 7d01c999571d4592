"""Rows in memory: which of them have a label, and which of these are anomalies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lakes import csv_of, make_desk

from pipeline.admission import _share_unlabelled
from pipeline.sampling import Rows, read_rows
from pipeline.split import Range

LABELS = np.array([False, True, False, False])


def test_a_missing_label_is_told_apart_from_a_normal_one(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    desk.put("a.csv", csv_of(*({"verdict": v} for v in ("fine", "odd", "", "fine"))))
    desk.ingest()
    rows = read_rows(desk.lake, desk.config, Range(1, 4), labels=True)
    assert rows.labels is not None and rows.labelled is not None
    by_row = dict(zip(rows.labelled.tolist(), rows.labels.tolist(), strict=True))
    assert rows.labelled.sum() == 3 and by_row[False] is False
    known = rows.with_labels()
    assert known is not None and known.labels is not None
    assert (len(known), known.labels.sum(), known.labelled) == (3, 1, None)
    assert read_rows(desk.lake, desk.config, Range(1, 4)).with_labels() is None


@pytest.mark.parametrize(
    ("labels", "labelled", "rows", "share"),
    [
        (None, None, None, 1.0),
        (LABELS, None, 4, 0.0),
        (LABELS, np.array([True, True, True, False]), 3, 0.25),
        (LABELS & False, np.zeros(4, bool), None, 1.0),
    ],
)
def test_rows_with_labels(
    labels: np.ndarray | None, labelled: np.ndarray | None, rows: int | None, share: float
) -> None:
    some = Rows({"x": np.arange(4.0)}, labels, labelled)
    known = some.with_labels()
    assert (None if known is None else len(known)) == rows
    assert _share_unlabelled(some) == share, "which alone can hide anomalies"
    few = some.take(np.array([0, 3]))
    assert few.labelled is None or few.labelled.tolist() == labelled[[0, 3]].tolist()
