"""Arrow schemas of the five Delta tables of a data set."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from pipeline.config import Config
from pipeline.values import TIME, is_bytes, is_text

STORED_TYPES: dict[str, pa.DataType] = {
    "numeric": pa.float64(),
    "categorical": pa.string(),
    "binary": pa.string(),
    "image": pa.binary(),  # pixels, see `pipeline.pictures`
    "condition": pa.string(),
    "id": pa.string(),
    "time": TIME,
    "label": pa.string(),
}


def columns_schema(config: Config) -> pa.Schema:
    """The data columns as `ingested` stores them, in the config's order."""
    return pa.schema([(n, STORED_TYPES[config.columns[n].role]) for n in config.stored])


def ingested(config: Config) -> pa.Schema:
    """Validated rows; `_row_id` is consecutive from 1, `_source_row` counts from 1 in its file."""
    own = [
        ("_row_id", pa.int64()),
        ("_source", pa.string()),
        ("_source_hash", pa.string()),
        ("_source_row", pa.int64()),
        ("_ingested_at", TIME),
    ]
    return pa.schema([*(pa.field(n, t) for n, t in own), *columns_schema(config)])


def quarantine(config: Config) -> pa.Schema:
    """Refused rows as they came (JSON) with the reasons; a file refused whole has no row number."""
    return pa.schema(
        [
            ("_source", pa.string()),
            ("_source_hash", pa.string()),
            ("_source_row", pa.int64()),
            ("reasons", pa.list_(pa.string())),
            ("raw", pa.string()),
            ("_ingested_at", TIME),
        ]
    )


def scores(config: Config) -> pa.Schema:
    """One row per scored row; higher `anomaly_score` is more anomalous."""
    return pa.schema(
        [
            ("_row_id", pa.int64()),
            ("event_time", TIME),
            ("anomaly_score", pa.float64()),
            ("reconstruction_error", pa.float64()),
            ("elbo", pa.float64()),
            ("latent", pa.float64()),
            ("p_value", pa.float64()),
            ("p_value_reconstruction_error", pa.float64()),
            ("p_value_elbo", pa.float64()),
            ("is_anomaly", pa.bool_()),
            ("model_name", pa.string()),
            ("model_version", pa.int64()),
            ("run_id", pa.string()),
            ("scored_at", TIME),
        ]
    )


def alerts(config: Config) -> pa.Schema:
    """Rows of a closed night that deserve a look; `rank` 1 is the most anomalous."""
    return pa.schema(
        [
            ("night_id", pa.int64()),
            ("_row_id", pa.int64()),
            ("event_time", TIME),
            ("anomaly_score", pa.float64()),
            ("p_value", pa.float64()),
            ("rank", pa.int64()),
            ("raw", pa.string()),
            ("reasons", pa.list_(pa.string())),
            ("model_version", pa.int64()),
            ("created_at", TIME),
        ]
    )


def nights(config: Config) -> pa.Schema:
    """Two rows a night: state open, then closed with the counts and the verdict.

    `drift_log10_capital` and `drift_row_id` are the test of `pipeline.drift`: its largest capital,
    and the row at which that sufficed to suspend the promise; null where it was not asked or did
    not. `effective_rows`: what the calibration rows are worth under `alerts.covariate_shift`.

    `alpha` belongs to the model's threshold, `alerts_level` to what chose the alerts (`alerts_by`:
    threshold, fdr or weights): the level q under FDR control, else alpha again. Null in the rows of
    earlier releases. `flagged` counts what the model's threshold flags; `alert_rate`,
    `interval_low`, `interval_high` and `guarantee` are of the alerts where weights chose them, else
    of the flags.
    """
    return pa.schema(
        [
            ("night_id", pa.int64()),
            ("state", pa.string()),
            ("first_row_id", pa.int64()),
            ("last_row_id", pa.int64()),
            ("model_version", pa.int64()),
            ("rows_in", pa.int64()),
            ("ingested", pa.int64()),
            ("quarantined", pa.int64()),
            ("scored", pa.int64()),
            ("flagged", pa.int64()),
            ("alpha", pa.float64()),
            ("cut_off", pa.float64()),
            ("guarantee", pa.string()),
            ("alert_rate", pa.float64()),
            ("interval_low", pa.float64()),
            ("interval_high", pa.float64()),
            ("drift_log10_capital", pa.float64()),
            ("drift_row_id", pa.int64()),
            ("effective_rows", pa.float64()),
            ("alerts_by", pa.string()),
            ("alerts_level", pa.float64()),
            ("trouble_sources", pa.list_(pa.string())),
            ("run_id", pa.string()),
            ("at", TIME),
        ]
    )


TABLES: dict[str, Callable[[Config], pa.Schema]] = {
    "ingested": ingested,
    "quarantine": quarantine,
    "scores": scores,
    "alerts": alerts,
    "nights": nights,
    "rescored": scores,
}


def column_differences(stored: pa.Schema, config: Config) -> list[str]:
    """In words, how the columns of an existing `ingested` table differ from the config's."""
    expected = ingested(config)
    there, wanted = set(stored.names), set(expected.names)
    both = [n for n in expected.names if n in there]
    changed = [n for n in both if not _same_type(stored.field(n).type, expected.field(n).type)]
    kinds = {
        "not in the table": sorted(wanted - there),
        "not in the config": sorted(there - wanted),
        "of another type": changed,
    }
    return [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]


def in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch's columns as the schema's; one that it does not have is null."""
    there, absent = set(batch.schema.names), pa.nulls(batch.num_rows)
    columns = [batch.column(f.name) if f.name in there else absent for f in schema]
    cast = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(cast, schema=schema)


def _same_type(one: pa.DataType, other: pa.DataType) -> bool:
    """Equal, or both text, or both bytes: these come back in any of Arrow's layouts."""
    return bool(
        one == other or (is_text(one) and is_text(other)) or (is_bytes(one) and is_bytes(other))
    )
