"""Scoring nights on a real home: registry, tables, report and MLflow together."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from night_homes import (
    CONFIG,
    champion_home,
    contents,
    crown,
    deliver,
    empty_home,
    orders,
    write_config,
)
from rich.console import Console

from pipeline import fdr, nights, recording, registry, scoring, tracking
from pipeline.cli import output
from pipeline.config import Config
from pipeline.errors import RegistryError, SchemaError
from pipeline.frames import to_columns
from pipeline.guarantee import beta_binomial_interval
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.lake import Lake
from pipeline.scoring import score
from pipeline.wording import number

TABLES = ("scores", "alerts", "nights")


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Home, Config]:
    """A home with a champion and one night's file ingested: 300 good rows and 4 spoilt ones."""
    home, config = champion_home(tmp_path)
    deliver(home, config, "one", rows=300, seed=1, odd=0.05, spoilt=4)
    return home, config


def runs(home: Home, config: Config) -> list[str]:
    """Ids of the MLflow runs that record nights."""
    client = tracking.connect(home)
    experiment = client.get_experiment_by_name(config.name)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], filter_string="tags.stage = 'score'")
    return [run.info.run_id for run in found]


def test_a_night_from_beginning_to_end(shop: tuple[Home, Config]) -> None:
    home, config = shop
    told: list[tuple[int, int | None, str]] = []
    night = score(home, config, run_id="flow-1", progress=lambda *event: told.append(event))
    assert night is not None
    assert (night.night_id, night.first_row_id, night.last_row_id) == (1, 901, 1200)
    assert (night.rows_scored, night.ingested, night.quarantined) == (300, 300, 4)
    assert night.trouble[0].endswith("one.csv: 4 rows quarantined")
    assert night.guarantee == "in force"
    assert night.interval[0] < 0.05 < night.interval[1]
    assert night.limit == pytest.approx(night.interval[1] + 0.05)
    assert told[-1][0] == 300

    rows = next(Lake(config, home).scan_rows(901, 1200))
    scorer = registry.load_scorer(home, config.name, 1, device="cpu")
    expected = scorer.score(to_columns(rows, config))
    found = contents(home, config, "scores")
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name].to_numpy(), values, err_msg=name)
    assert night.flagged == int(expected["is_anomaly"].sum()) > 0
    assert night.alert_rate == night.flagged / 300

    labels = np.array([v == "fraud" for v in rows.column("verdict").to_pylist()])
    assert night.labels is not None
    assert night.labels.anomalies == labels.sum()
    assert night.labels.found == (labels & expected["is_anomaly"]).sum()
    assert night.labels.false_alarms == (~labels & expected["is_anomaly"]).sum()
    assert Path(night.report_path).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert score(home, config) is None


def test_alerts_carry_raw_values_and_reasons(shop: tuple[Home, Config]) -> None:
    home, config = shop
    score(home, config)
    alerts = contents(home, config, "alerts").sort_values("rank")
    scores = contents(home, config, "scores").set_index("_row_id")
    assert set(alerts["_row_id"]) == set(scores.index[scores["is_anomaly"]])
    assert list(alerts["rank"]) == list(range(1, len(alerts) + 1))
    assert alerts["p_value"].is_monotonic_increasing
    rows = next(Lake(config, home).scan_rows(901, 1200)).to_pandas().set_index("_row_id")
    for alert in alerts.itertuples():
        row_id = int(alert[2])
        raw = json.loads(str(alert.raw))
        assert list(raw) == config.stored
        assert raw["order"] == rows.loc[row_id, "order"]
        assert raw["amount"] == rows.loc[row_id, "amount"]
        assert len(list(alert.reasons)) <= 3  # type: ignore[arg-type]
    worst = list(alerts.iloc[0]["reasons"])
    assert any("amount" in reason or "country" in reason for reason in worst)


def test_small_pieces_give_the_same_night(
    shop: tuple[Home, Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, config = shop
    score(home, config)
    other, _ = champion_home(tmp_path / "other")
    deliver(other, config, "one", rows=300, seed=1, odd=0.05, spoilt=4)
    monkeypatch.setattr(scoring, "PIECE_ROWS", 37)
    monkeypatch.setattr(scoring, "ALERT_ROWS", 5)
    score(other, config)
    for table in TABLES:
        pd.testing.assert_frame_equal(contents(other, config, table), contents(home, config, table))


def test_no_champion_yet(tmp_path: Path) -> None:
    home, config = empty_home(tmp_path)
    deliver(home, config, "one", rows=20, seed=1)
    with pytest.raises(RegistryError, match="has no champion"):
        score(home, config)
    assert nights.history(Lake(config, home)) == []


def test_a_resumed_night_keeps_its_model_and_a_new_champion_never_moves_the_stream(
    shop: tuple[Home, Config],
) -> None:
    home, config = shop
    assert crown(home, config, seed=5) == 2
    lake = Lake(config, home)
    opened = nights.resume_or_open(
        lake, version=lambda: 1, stream_start=lambda: registry.stream_start(home, config.name)
    )
    assert opened is not None
    assert opened.first == 901
    first = score(home, config)
    assert first is not None and first.model_version == 1
    deliver(home, config, "two", rows=50, seed=2)
    second = score(home, config)
    assert second is not None
    assert (second.model_version, second.first_row_id, second.last_row_id) == (2, 1201, 1250)
    assert set(contents(home, config, "scores")["model_version"]) == {1, 2}


def test_a_night_whose_drift_breaks_the_promise(shop: tuple[Home, Config]) -> None:
    home, config = shop
    first = score(home, config)
    deliver(home, config, "two", rows=300, seed=2, odd=0.4)
    second = score(home, config)
    assert first is not None and second is not None
    assert (first.guarantee, second.guarantee) == ("in force", "broken")
    assert second.alert_rate > second.limit


def test_fdr_control_selects_over_the_whole_night(tmp_path: Path) -> None:
    home, config = champion_home(
        tmp_path, CONFIG.replace("report_rows: 10", "report_rows: 10, fdr: true")
    )
    deliver(home, config, "one", rows=300, seed=1, odd=0.1)
    night = score(home, config)
    assert night is not None
    n = 300
    p = contents(home, config, "scores")["p_value"].to_numpy()
    cut = fdr.cut_off_rank(fdr.count_p_values(p, n), 0.05)
    assert night.alerts == (fdr.ranks(p, n) <= cut).sum() > 0
    assert night.cut_off == cut / (n + 1)
    assert night.flagged == contents(home, config, "scores")["is_anomaly"].sum()
    assert (night.alerts_by, night.alerts_level) == ("fdr", 0.05)


def test_fdr_control_takes_the_level_of_the_config(tmp_path: Path) -> None:
    text = CONFIG.replace("report_rows: 10", "report_rows: 10, fdr: true")
    # the champion was calibrated at 0.05
    home, config = champion_home(tmp_path, text.replace("alpha: 0.05", "alpha: 0.3"))
    deliver(home, config, "one", rows=300, seed=1, odd=0.1)
    night = score(home, config)
    assert night is not None
    p = contents(home, config, "scores")["p_value"].to_numpy()
    counts = fdr.count_p_values(p, 300)
    wide, narrow = fdr.cut_off_rank(counts, 0.3), fdr.cut_off_rank(counts, 0.05)
    assert wide > narrow
    assert night.alerts == (fdr.ranks(p, 300) <= wide).sum()
    assert night.cut_off == wide / 301
    closed = contents(home, config, "nights").iloc[0]
    assert (closed["state"], closed["alpha"]) == ("closed", 0.05)
    assert (closed["alerts_by"], closed["alerts_level"]) == ("fdr", 0.3)
    page = Path(night.report_path).read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "so that of them, on average, at most 30 % are false" in page
    assert "The promise of at most 5 % false alarms" in page
    assert (
        tracking.connect(home).get_run(str(night.mlflow_run_id)).data.metrics["alerts_level"] == 0.3
    )


def typical(config: Config, name: str, rows: int, seed: int, **fixed: object) -> None:
    """A file of orders with some columns the same in every row."""
    frame = orders(rows, seed, first=seed * 100_000)
    frame.assign(**fixed).to_csv(Path(config.source_path) / f"{name}.csv", index=False)


def test_rows_that_drift_below_the_threshold_suspend_the_promise(tmp_path: Path) -> None:
    home, config = champion_home(tmp_path)
    deliver(home, config, "one", rows=400, seed=1)
    usual = score(home, config)
    assert usual is not None
    assert (usual.guarantee, usual.drift_row_id) == ("in force", None)
    assert usual.drift_log10_capital is not None and 0 <= usual.drift_log10_capital < 3
    # nothing odd about any of these, but they are all alike
    typical(config, "two", 800, 2, items=4, amount=30.0, weight=1.6, country="de", express=0)
    ingest(home, config)
    night = score(home, config)
    assert night is not None
    assert night.alert_rate <= night.limit
    assert night.guarantee == "suspended"
    assert night.drift_row_id is not None and 1300 < night.drift_row_id < 1700
    assert night.drift_log10_capital is not None and night.drift_log10_capital > 3
    closed = contents(home, config, "nights").iloc[-2]
    assert (closed["state"], closed["guarantee"]) == ("closed", "suspended")
    assert closed["drift_row_id"] == night.drift_row_id
    page = Path(night.report_path).read_text(encoding="utf-8")
    assert "is suspended tonight" in page.replace("\u00a0", " ")
    assert f"it sufficed at row {night.drift_row_id:,}" in page
    metrics = tracking.connect(home).get_run(str(night.mlflow_run_id)).data.metrics
    assert metrics["promise_suspended"] == 1 and metrics["promise_broken"] == 0
    assert metrics["drift_log10_capital"] == night.drift_log10_capital


def test_without_the_drift_test(tmp_path: Path) -> None:
    text = CONFIG.replace("report_rows: 10", "report_rows: 10, drift_level: null")
    home, config = champion_home(tmp_path, text)
    typical(config, "one", 600, 2, items=4, amount=30.0, weight=1.6, country="de", express=0)
    ingest(home, config)
    night = score(home, config)
    assert night is not None
    assert (night.guarantee, night.drift_log10_capital) == ("in force", None)
    assert "drifted away" not in Path(night.report_path).read_text(encoding="utf-8")


def test_another_mix_of_rows_is_weighed_if_asked(tmp_path: Path) -> None:
    weighed = "alerts: {covariate_shift: true, report_rows: 10}"
    text = "\n".join(weighed if line.startswith("alerts:") else line for line in CONFIG.split("\n"))
    home, config = champion_home(tmp_path, text)
    typical(config, "one", 600, 3, country="nl")
    ingest(home, config)
    night = score(home, config)
    assert night is not None
    assert night.effective_rows is not None and 1 <= night.effective_rows < 290
    scores = contents(home, config, "scores")
    assert night.alerts == (scores["anomaly_score"] > night.cut_off).sum()
    assert night.flagged == scores["is_anomaly"].sum()
    alerts = contents(home, config, "alerts")
    assert set(alerts["_row_id"]) == set(scores["_row_id"][scores["anomaly_score"] > night.cut_off])
    # rare kinds score higher: their own calibration rows say that here this is usual
    assert night.alerts < night.flagged
    # so it is the alerts that the night is judged by
    assert night.alerts_by == "weights" and night.guarantee == "approximate"
    assert night.alert_rate == night.alerts / 600 < night.limit
    assert night.flagged > beta_binomial_interval(15, 300, 600)[1], "the plain promise breaks"
    assert night.labels is not None
    assert night.labels.found + night.labels.false_alarms == night.alerts
    page = Path(night.report_path).read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "weigh calibration rows by how common their kind is" in page
    assert f"<h1>{night.alerts} of 600 rows deserve a look</h1>" in page
    assert "does not hold" not in page and "is suspended" not in page
    assert f"and would have flagged {night.flagged}" in page
    assert "kinds that score high are more common tonight" in page
    assert f">weighted cut-off {number(night.cut_off)}</span>" in page
    assert f"{night.alerts} weighted</td>" in page
    assert "became alerts" in page and "were flagged" not in page
    told = io.StringIO()
    output.scored(Console(file=told, width=200), config.name, night)
    assert f"{night.flagged} by the model's own threshold" in told.getvalue()
    assert f"{night.alerts}, {night.alert_rate:.2%} (chance allows" in told.getvalue()
    assert "approximate: calibration rows are weighted by estimates" in told.getvalue()
    metrics = tracking.connect(home).get_run(str(night.mlflow_run_id)).data.metrics
    assert metrics["effective_rows"] == night.effective_rows


def test_a_night_unlike_every_calibration_row_keeps_the_plain_threshold(tmp_path: Path) -> None:
    text = CONFIG.replace("report_rows: 10", "report_rows: 10, covariate_shift: true")
    home, config = champion_home(tmp_path, text)
    typical(config, "one", 300, 4, amount=9e6)
    ingest(home, config)
    night = score(home, config)
    assert night is not None
    scorer = registry.load_scorer(home, config.name, 1, device="cpu")
    assert night.cut_off == scorer.thresholds["anomaly_score"].value
    assert night.effective_rows is not None and night.effective_rows < 1
    assert "too few, so the model" in Path(night.report_path).read_text(encoding="utf-8")
    assert night.alerts == night.flagged == 300


def test_what_a_killed_run_left_out_is_made_good(shop: tuple[Home, Config]) -> None:
    home, config = shop
    first = score(home, config)
    assert first is not None
    page = Path(first.report_path)
    before = page.read_bytes()
    for file in page.parent.iterdir():
        file.unlink()
    again = score(home, config)
    assert again == first
    assert page.read_bytes() == before
    assert runs(home, config) == [first.mlflow_run_id]
    assert score(home, config) is None


def test_mlflow_failing_at_the_end_costs_no_score(
    shop: tuple[Home, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, config = shop

    def broken(*_: object) -> str:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(recording, "_record", broken)
        with pytest.raises(tracking.TrackingError, match="only its MLflow run is missing") as told:
            score(home, config)
    assert "disk full" in str(told.value)
    assert told.value.hint and "again" in told.value.hint
    assert len(contents(home, config, "scores")) == 300
    night = score(home, config)
    assert night is not None
    assert runs(home, config) == [night.mlflow_run_id]
    assert len(contents(home, config, "scores")) == 300


def test_an_unreachable_mlflow_stops_before_anything_is_written(
    shop: tuple[Home, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, config = shop
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(tracking.TrackingError, match=r"127\.0\.0\.1:9"):
        score(home, config)
    assert len(contents(home, config, "nights")) == 0


def test_the_mlflow_run_of_a_night(shop: tuple[Home, Config]) -> None:
    home, config = shop
    night = score(home, config)
    assert night is not None and night.mlflow_run_id is not None
    client = tracking.connect(home)
    run = client.get_run(night.mlflow_run_id)
    assert run.data.tags["night_id"] == "1"
    assert run.data.metrics["flagged"] == night.flagged
    assert run.data.metrics["false_alarm_rate"] == night.labels.false_alarm_rate  # type: ignore[union-attr]
    assert len(run.inputs.dataset_inputs[0].dataset.digest) == 32
    folders = {file.path for file in client.list_artifacts(night.mlflow_run_id)}
    assert folders >= {"config.yaml", "figures", "report", "threshold.json"}


def test_a_config_without_a_column_that_the_model_reads(shop: tuple[Home, Config]) -> None:
    home, config = shop
    text = CONFIG.replace("  items: {role: numeric}\n", "")
    changed = write_config(Path(config.path).parent, text)
    with pytest.raises(SchemaError, match=r"reads columns that .* does not have: items"):
        score(home, changed)


def test_a_threshold_that_promises_nothing_is_called_so(shop: tuple[Home, Config]) -> None:
    home, config = shop
    crown(home, config, method="quantile")
    night = score(home, config)
    assert night is not None
    assert night.guarantee == "none"
    page = Path(night.report_path).read_text(encoding="utf-8")
    assert "promises no rate" in page


@pytest.mark.parametrize(
    ("width", "rows"), [(8, 131_072), (128, 131_072), (784, 21_399), (4_000, 8_192)]
)
def test_wide_rows_come_in_smaller_pieces(width: int, rows: int) -> None:
    assert scoring.piece_rows(width) == rows
