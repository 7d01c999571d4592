"""Score a night: what arrived since the last one, each row once, with the night's own model.

`pipeline.nights` holds the protocol that makes this safe to kill, repeat and run side by side.
Here are the steps themselves, in order: scores, alerts, the closing row, and then what is made
from the tables and can be made again: the report and the MLflow run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, takewhile
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import evolution, explain, finishing, nights, tables, tally
from pipeline.ahead import in_order
from pipeline.commits import GROUP_ROWS
from pipeline.decision import Decision, decide, judge
from pipeline.drift import Drift, watch
from pipeline.errors import SchemaError
from pipeline.finishing import NightResult
from pipeline.frames import inputs, to_columns
from pipeline.pictures import as_data_uri, read_cells, whole_shape
from pipeline.progress import report as tell
from pipeline.staging import commit_staged
from pipeline.values import plain

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home
    from pipeline.lake import Lake
    from pipeline.nights import Night
    from pipeline.progress import Progress
    from pipeline.staging import Stage
    from vae_core import Scorer

PIECE_ROWS = 2 * GROUP_ROWS
# of a piece's encoded rows: wide tables and pictures come in fewer rows, since several pieces are
# in memory at once
PIECE_CELLS = 1 << 24
LEAST_ROWS = 8_192  # what one core scores at a time
ALERT_ROWS = 2_048  # no more than a chunk of the default model, since chunks are filled up

__all__ = ["NightResult", "score"]


def score(
    home: Home,
    config: Config,
    run_id: str | None = None,
    progress: Progress | None = None,
    stage: Stage | None = None,
) -> NightResult | None:
    """Resume the open night, or open one over everything not yet scored, and bring it to its end.

    Args:
        home: holds tables, registry and reports.
        config: of the data set.
        run_id: of the calling flow run, recorded with the rows.
        progress: told the number of rows covered.
        stage: has ranges of rows scored elsewhere; this process scores them where left out.

    Returns:
        The night that was closed, by this run or one beside it; the last night again where only
        its report or its MLflow run was missing; None where there was nothing to do.

    Raises:
        RegistryError: no champion yet, or the night's model version is gone.
        TableMissingError: no tables.
        SchemaError: the model's columns do not fit the rows.
        TrackingError: MLflow cannot be reached; at the end, everything else is safe by then.
    """
    from pipeline import registry
    from pipeline.lake import Lake

    lake = Lake(config, home)
    tell(progress, 0, None, "looking for new rows")
    evolution.add_columns(lake)
    night = nights.resume_or_open(
        lake,
        version=lambda: registry.get(home, config.name, registry.CHAMPION).version,
        stream_start=lambda: registry.stream_start(home, config.name),
        run_id=run_id,
    )
    if night is None:
        return finishing.repair(lake, progress)
    scorer = registry.load_scorer(home, config.name, night.model_version, device=config.device)
    check_columns(scorer, config, night.model_version)
    version = night.model_version
    if stage is None:
        steps = nights.score_pieces(
            lake, night, lambda first, last: score_rows(lake, scorer, version, first, last, run_id),
            piece_rows(scorer.encoding.layout.width),
        )  # fmt: skip
    else:
        steps = commit_staged(lake, night, stage, config.engine.piece_rows)
    for covered in steps:
        tell(progress, covered - night.first + 1, night.rows, "scoring rows")
    _close(lake, scorer, night, run_id, progress)
    closed = nights.find(lake, night.night_id)
    assert closed is not None
    return finishing.finish(lake, closed, scorer, progress)


def piece_rows(width: int) -> int:
    """Rows that are read, scored and committed at a time, of so many encoded cells each."""
    return min(PIECE_ROWS, max(LEAST_ROWS, PIECE_CELLS // width))


def check_columns(scorer: Scorer, config: Config, version: int) -> None:
    """The columns that a version reads are the config's.

    Raises:
        SchemaError: some are not, with their names.
    """
    missing = [name for name in inputs(scorer.encoding) if name not in config.stored]
    if missing:
        raise SchemaError(
            f"version {version} of model {config.name!r} reads columns that "
            f"{config.path} does not have: {', '.join(missing)}",
            hint="Give the config its columns back, or train and promote a model for the new ones.",
        )


def score_rows(
    lake: Lake, scorer: Scorer, version: int, first: int, last: int, run_id: str | None
) -> pa.Table:
    """Rows of the `scores` table for a range of `_row_id`.

    Raises:
        SchemaError: rows are missing, or this version cannot score them.
    """
    time = lake.config.time
    wanted = [*inputs(scorer.encoding), *([time] if time else [])]
    rows = pa.concat_tables(lake.scan_rows(first, last, wanted))
    try:
        scored = scorer.score(to_columns(rows, scorer.encoding))
    except ValueError as error:
        raise SchemaError(
            f"version {version} of model {lake.config.name!r} cannot score rows "
            f"{first:,} to {last:,}: {error}",
            hint="Nothing of these rows was written. Mend what is named, or promote a version "
            "that fits, and run again.",
        ) from error
    schema = tables.scores(lake.config)
    count = rows.num_rows
    constant = {
        "model_name": lake.config.name,
        "model_version": version,
        "run_id": run_id,
        "scored_at": nights.now(),
    }
    columns = {
        **{name: pa.array(values) for name, values in scored.items()},
        **{n: pa.repeat(pa.scalar(v, schema.field(n).type), count) for n, v in constant.items()},
        "_row_id": rows.column("_row_id"),
        "event_time": rows.column(time) if time else pa.nulls(count, tables.TIME),
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _close(
    lake: Lake, scorer: Scorer, night: Night, run_id: str | None, progress: Progress | None
) -> None:
    """Alerts, then the closing row; each is skipped where another run has written it."""
    config = lake.config
    threshold = scorer.thresholds["anomaly_score"]
    n = len(scorer.calibration["anomaly_score"])
    tell(progress, night.rows, night.rows, "writing alerts, looking for drift")
    with ThreadPoolExecutor(1) as beside:
        given_up = Event()
        looking = beside.submit(_drift, lake, scorer, night, given_up)
        try:
            summed = tally.scored(lake, night, n if config.alerts.fdr else None)
            decision = decide(lake, scorer, night, summed)
            if not nights.has_alerts(lake, night):
                nights.write_alerts(lake, night, _alerts(lake, scorer, night, decision))
            drift = looking.result()
        except BaseException:
            given_up.set()  # or an interrupted run would wait for a whole night's test
            raise
    past = nights.history(lake)
    before = next((p for p in past if p.night_id == night.night_id - 1), None)
    refused = tally.quarantined(lake, night, before)
    drifted = drift is not None and drift.row_id is not None
    verdict = judge(lake, night, threshold, summed, decision, drifted)
    facts = {
        "rows_in": night.rows + refused.rows,
        "ingested": night.rows,
        "quarantined": refused.rows,
        "scored": summed.rows,
        "flagged": summed.flagged,
        "alpha": threshold.alpha,
        "cut_off": decision.cut_off,
        "guarantee": verdict.state,
        "alert_rate": verdict.rate,
        "interval_low": verdict.low,
        "interval_high": verdict.high,
        "drift_log10_capital": None if drift is None else drift.log10_capital,
        "drift_row_id": None if drift is None else drift.row_id,
        "effective_rows": decision.effective_rows,
        "alerts_by": decision.by,
        "alerts_level": decision.level,
        "trouble_sources": refused.trouble(),
    }
    nights.close(lake, night, facts, run_id)


def _drift(lake: Lake, scorer: Scorer, night: Night, given_up: Event) -> Drift | None:
    """The bet against the night's exchangeability with the calibration rows, if asked for.

    It ends early, and says nothing of use, once `given_up` is set.
    """
    level = lake.config.alerts.drift_level
    if level is None:
        return None
    calibration = scorer.calibration["anomaly_score"]
    alpha = scorer.thresholds["anomaly_score"].alpha
    pieces = takewhile(lambda _: not given_up.is_set(), tally.scores_in_order(lake, night))
    return watch(calibration, pieces, level=level, alpha=alpha)


def _alerts(
    lake: Lake, scorer: Scorer, night: Night, decision: Decision
) -> Iterator[pa.RecordBatch]:
    """Rows of the `alerts` table with raw values and reasons, in order of `_row_id`."""
    schema = tables.alerts(lake.config)
    chosen = tally.selected(lake, night, decision.keep).sort_by("_row_id")
    created = nights.now()

    def explained(start: int) -> list[pa.RecordBatch]:
        piece = chosen.slice(start, ALERT_ROWS)
        raw = _rows_by_id(lake, piece.column("_row_id").to_numpy())
        cells = to_columns(raw, scorer.encoding)
        told = explain.reasons(scorer, cells, lake.config.alerts.reasons)
        count = piece.num_rows
        columns = {
            **{name: piece.column(name) for name in piece.column_names},
            "night_id": pa.array([night.night_id] * count, pa.int64()),
            "raw": pa.array(_json_rows(raw, lake.config), pa.string()),
            "reasons": pa.array(told, schema.field("reasons").type),
            "model_version": pa.array([night.model_version] * count, pa.int64()),
            "created_at": pa.array([created] * count, tables.TIME),
        }
        table = pa.table([columns[name] for name in schema.names], schema=schema)
        return table.combine_chunks().to_batches()  # more than one where text passes 2 GiB

    return chain.from_iterable(in_order(explained, range(0, chosen.num_rows, ALERT_ROWS)))


def _rows_by_id(lake: Lake, row_ids: np.ndarray) -> pa.Table:
    """The ingested rows with these ascending ids."""
    row = ds.field("_row_id")
    between = (row >= int(row_ids[0])) & (row <= int(row_ids[-1]))
    columns = ["_row_id", *lake.config.stored]
    rows = lake.read("ingested", columns, between & row.isin(pa.array(row_ids)))
    if rows.num_rows != len(row_ids):
        raise SchemaError(
            f"{len(row_ids):,} flagged rows expected in `ingested`, {rows.num_rows:,} found",
            hint="Rows that a night has scored must stay in the table until it is closed.",
        )
    return rows.sort_by("_row_id")


def _json_rows(rows: pa.Table, config: Config) -> list[str]:
    """The stored columns of each row; a picture as a PNG in a data URI."""
    rows = rows.select(config.stored)
    if config.image is not None:
        shape = whole_shape(config.columns[config.image].shape or ())
        pictures, _ = read_cells(plain(rows.column(config.image)), shape)
        shown = pa.array([as_data_uri(picture) for picture in pictures], pa.string())
        rows = rows.set_column(config.stored.index(config.image), config.image, shown)
    return [
        json.dumps(row, ensure_ascii=False, default=lambda value: value.isoformat())
        for row in rows.to_pylist()
    ]
