"""What is counted about a night: each refused row in one night, labels against flags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from night_homes import deliver, empty_home, orders

from pipeline import nights, tables, tally
from pipeline.ingest import ingest
from pipeline.lake import Lake
from pipeline.nights import Night


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A history of 50 rows with 7 spoilt ones, which belong to no night."""
    home, config = empty_home(tmp_path)
    deliver(home, config, "history", rows=50, seed=1, spoilt=7)
    return Lake(config, home)


def a_night(lake: Lake) -> tuple[Night, tally.Quarantined]:
    """Open the next night, count, score and close it."""
    past = nights.history(lake)
    night = nights.resume_or_open(lake, version=lambda: 1, stream_start=lambda: 51)
    assert night is not None
    found = tally.quarantined(lake, night, past[-1] if past else None)
    for _ in nights.score_pieces(lake, night, lambda a, b: rows_of(lake, a, b), 1000):
        pass
    nights.close(lake, night, {})
    again = nights.find(lake, night.night_id)
    assert again is not None
    return again, found


def rows_of(lake: Lake, first: int, last: int) -> pa.Table:
    schema = tables.scores(lake.config)
    ids = np.arange(first, last + 1)
    columns = {n: pa.nulls(len(ids), schema.field(n).type) for n in schema.names}
    columns |= {
        "_row_id": ids,
        "anomaly_score": -np.abs(ids - 60.0),
        "p_value": (1 + np.arange(len(ids)) % 20) / 20,
        "is_anomaly": ids % 5 == 0,
    }
    return pa.table([columns[n] for n in schema.names], schema=schema)


def test_every_refused_row_counts_in_one_night(lake: Lake) -> None:
    home, config = lake.home, lake.config
    inbox = Path(config.source_path)
    deliver(home, config, "one", rows=20, seed=2, spoilt=3)
    (inbox / "empty.csv").write_text("")
    deliver(home, config, "all-bad", rows=0, seed=3, spoilt=2)
    first, found = a_night(lake)
    assert (first.first, first.last) == (51, 70)
    assert found.rows == 5
    assert {Path(name).name: n for name, n in found.by_file.items()} == {
        "one.csv": 3,
        "all-bad.csv": 2,
    }
    assert [Path(name).name for name in found.refused] == ["empty.csv"]
    assert sum(found.by_reason.values()) >= 5
    lines = found.trouble()
    assert "empty.csv: refused, " in lines[0]
    assert lines[1].endswith("one.csv: 3 rows quarantined")

    deliver(home, config, "two", rows=10, seed=4, spoilt=1)
    _, found = a_night(lake)
    assert found.rows == 1
    assert found.refused == {}


def test_files_that_came_while_a_night_was_open_wait_for_the_next(lake: Lake) -> None:
    home, config = lake.home, lake.config
    deliver(home, config, "one", rows=20, seed=2)
    nights.resume_or_open(lake, version=lambda: 1, stream_start=lambda: 51)
    deliver(home, config, "late", rows=5, seed=3, spoilt=2)
    deliver(home, config, "late-and-bad", rows=0, seed=4, spoilt=1)
    _, found = a_night(lake)
    assert found.rows == 0
    _, found = a_night(lake)
    assert found.rows == 3


def test_a_refused_file_that_was_mended_is_no_trouble(lake: Lake) -> None:
    home, config = lake.home, lake.config
    inbox = Path(config.source_path)
    semicolons = config.source.model_copy(update={"delimiter": ";"})
    orders(10, seed=2).to_csv(inbox / "config.csv", index=False, sep=";")
    (inbox / "content.csv").write_text("not,what,was,asked\n1,2,3,4\n")
    (inbox / "rows.csv").write_text("")
    (inbox / "never.csv").write_text("")
    assert len(ingest(home, config).refused_files) == 4
    deliver(home, config, "rows", rows=0, seed=4, spoilt=2)
    deliver(home, config, "content", rows=10, seed=3)
    deliver(home, config, "changed", rows=10, seed=5)
    orders(11, seed=5).to_csv(inbox / "changed.csv", index=False)
    mended = ingest(home, config.model_copy(update={"source": semicolons}))
    assert mended.ingested == 10
    night, found = a_night(lake)
    assert night.rows == 30
    assert [Path(name).name for name in sorted(found.refused)] == ["changed.csv", "never.csv"]
    assert found.rows == 2

    deliver(home, config, "never", rows=10, seed=6)
    deliver(home, config, "later", rows=10, seed=7)
    again = tally.quarantined(lake, night, None)
    assert again.refused == found.refused, "what came after the night does not change it"
    _, found = a_night(lake)
    assert found.refused == {}


def test_sums_and_selections(lake: Lake) -> None:
    deliver(lake.home, lake.config, "one", rows=20, seed=2, odd=0.5)
    night, _ = a_night(lake)
    summed = tally.scored(lake, night, 19)
    assert (summed.rows, summed.flagged) == (20, 4)
    assert (summed.lowest, summed.highest) == (-10.0, 0.0)
    assert summed.p_counts is not None and summed.p_counts.tolist() == [1] * 20
    assert tally.scored(lake, night).p_counts is None
    chosen = tally.selected(lake, night, lambda batch: pc.less(batch.column("p_value"), 0.19))
    assert chosen.column("_row_id").to_pylist() == [51, 52, 53]
    assert chosen.column("rank").to_pylist() == [1, 2, 3]
    flagged = tally.selected(lake, night, lambda batch: batch.column("is_anomaly"))
    assert sorted(flagged.column("_row_id").to_pylist()) == [55, 60, 65, 70]
    assert tally.selected(lake, night, lambda b: pc.less(b.column("p_value"), 0)).num_rows == 0

    in_order = list(tally.scores_in_order(lake, night))
    assert [ids.tolist() for ids, _ in in_order] == [list(range(51, 71))]
    assert in_order[0][1].tolist() == [-abs(i - 60.0) for i in range(51, 71)]

    labels = tally.against_labels(lake, night)
    rows = next(lake.scan_rows(51, 70))
    odd = {
        i
        for i, v in zip(rows["_row_id"].to_pylist(), rows["verdict"].to_pylist(), strict=True)
        if v != "fine"
    }
    assert labels is not None
    assert labels.anomalies == len(odd) > 0
    assert labels.found == len(odd & {55, 60, 65, 70})
    assert labels.false_alarms == 4 - labels.found
    assert labels.normal == 20 - len(odd)
    assert labels.recall == labels.found / len(odd)
    drawn = tally.labelled_scores(lake, night)
    assert drawn is not None
    assert (np.flatnonzero(drawn[0]) + 51).tolist() == sorted(odd)
    assert drawn[1].tolist() == [-abs(i - 60.0) for i in range(51, 71)]
    # one class only: nothing to draw
    assert tally.labelled_scores(lake, night, most=0) is None
    assert tally.Labels(0, 0, 0, 0).recall is None
    assert tally.Labels(0, 0, 0, 0).false_alarm_rate == 0.0


def test_rows_without_a_label_are_neither_normal_nor_anomalies(lake: Lake) -> None:
    frame = orders(20, seed=2, odd=0.5)
    unknown = np.arange(20) % 3 == 0
    frame.loc[unknown, "verdict"] = None
    frame.to_csv(Path(lake.config.source_path) / "one.csv", index=False)
    ingest(lake.home, lake.config)
    night, _ = a_night(lake)
    odd, flagged = ~unknown & (frame.verdict != "fine"), np.arange(51, 71) % 5 == 0
    assert tally.against_labels(lake, night) == tally.Labels(
        anomalies=int(odd.sum()),
        found=int((odd & flagged).sum()),
        normal=int((~odd & ~unknown).sum()),
        false_alarms=int((~odd & ~unknown & flagged).sum()),
        unlabelled=int(unknown.sum()),
    )
    drawn = tally.labelled_scores(lake, night)
    assert drawn is not None
    assert drawn[0].tolist() == odd[~unknown].tolist()
    assert drawn[1].tolist() == [-abs(i - 60.0) for i in np.arange(51, 71)[~unknown]]


def test_a_night_without_labels_is_not_held_against_them(lake: Lake) -> None:
    frame = orders(20, seed=2).drop(columns="verdict")
    frame.to_csv(Path(lake.config.source_path) / "one.csv", index=False)
    assert ingest(lake.home, lake.config).ingested == 20
    night, _ = a_night(lake)
    assert tally.against_labels(lake, night) is None
    assert tally.labelled_scores(lake, night) is None


def test_scores_in_order_of_rows_whatever_the_pieces(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(lake.home, lake.config, "one", rows=100, seed=2)
    night = nights.resume_or_open(lake, version=lambda: 1, stream_start=lambda: 51)
    assert night is not None
    for _ in nights.score_pieces(lake, night, lambda a, b: rows_of(lake, a, b), 7):
        pass
    monkeypatch.setattr(tally, "ORDERED_ROWS", 13)
    pieces = list(tally.scores_in_order(lake, night))
    assert len(pieces) == 8
    assert np.concatenate([ids for ids, _ in pieces]).tolist() == list(range(51, 151))
    # of too many rows every third, counted from the first
    thinned = list(tally.scores_in_order(lake, night, most=40))
    assert np.concatenate([ids for ids, _ in thinned]).tolist() == list(range(51, 151, 3))
    scores = np.concatenate([values for _, values in thinned])
    assert scores.tolist() == [-abs(i - 60.0) for i in range(51, 151, 3)]
