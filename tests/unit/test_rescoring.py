"""Past rows with another version: once each; the nights stay as they are."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from night_homes import HISTORY_ROWS, champion_home, contents, crown, deliver

from pipeline import rescoring
from pipeline.cli import main
from pipeline.config import Config
from pipeline.errors import RegistryError, UserError
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.rescoring import rescore
from pipeline.scoring import score

FIRST, ROWS = HISTORY_ROWS + 1, 300
LAST = HISTORY_ROWS + ROWS
NIGHTS = ("scores", "alerts", "nights")
SCORES = ["anomaly_score", "reconstruction_error", "elbo", "latent", "p_value", "is_anomaly"]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Home, Config]:
    """A home with a scored night by version 1, and a version 2 that is champion now."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(rescoring, "PIECE_ROWS", 70)
    home, config = champion_home(tmp_path)
    deliver(home, config, "one", rows=ROWS, seed=1, odd=0.05)
    score(home, config)
    crown(home, config, seed=1)
    return home, config


def rescored(home: Home, config: Config, version: int) -> pd.DataFrame:
    frame = contents(home, config, "rescored")
    return frame[frame["model_version"] == version].reset_index(drop=True)


def test_the_nights_own_version_gives_the_nights_scores(shop: tuple[Home, Config]) -> None:
    before = {table: contents(*shop, table) for table in NIGHTS}
    result = rescore(*shop, version=1, first=FIRST, last=LAST)
    assert (result.rows, result.written, result.compared) == (ROWS, ROWS, ROWS)
    assert result.flagged == result.flagged_then == result.flagged_both > 0
    pd.testing.assert_frame_equal(rescored(*shop, 1), before["scores"], check_exact=True)
    for table, frame in before.items():
        pd.testing.assert_frame_equal(contents(*shop, table), frame)


def test_another_version_stands_beside_it(shop: tuple[Home, Config]) -> None:
    rescore(*shop, version=1, first=FIRST)
    result = rescore(*shop, version="champion", first=FIRST)
    assert result.version == 2 and result.written == ROWS
    one, two = rescored(*shop, 1), rescored(*shop, 2)
    assert one["_row_id"].tolist() == two["_row_id"].tolist() == list(range(FIRST, LAST + 1))
    assert not np.array_equal(one["anomaly_score"], two["anomaly_score"])
    assert result.flagged == two["is_anomaly"].sum()
    assert result.flagged_both == (one["is_anomaly"] & two["is_anomaly"]).sum()


def test_ranges_that_overlap_fill_the_gaps(shop: tuple[Home, Config]) -> None:
    assert rescore(*shop, version=2, first=100, last=150).written == 51
    assert rescore(*shop, version=2, first=300, last=420).written == 121
    assert rescore(*shop, version=2, first=120, last=310).written == 149
    again = rescore(*shop, version=2, first=100, last=420)
    assert (again.written, again.rows, again.compared) == (0, 321, 0)
    assert rescored(*shop, 2)["_row_id"].tolist() == list(range(100, 421))


def test_many_at_once_write_every_row_once(shop: tuple[Home, Config]) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(rescore, *shop, 2, first, 900) for first in (1, 101, 201, 301)]
        results = [run.result() for run in runs]
    assert sum(result.written for result in results) == 900
    assert rescored(*shop, 2)["_row_id"].tolist() == list(range(1, 901))


def test_a_home_of_an_earlier_release_gets_the_table(shop: tuple[Home, Config]) -> None:
    home, config = shop
    shutil.rmtree(Path(Lake(config, home).uri("rescored")))
    assert rescore(home, config, version=1, first=FIRST).written == ROWS
    shutil.rmtree(Path(Lake(config, home).uri("rescored")))
    score(home, config)
    assert Lake(config, home).exists()


def test_a_range_that_is_not_there(shop: tuple[Home, Config]) -> None:
    for first, last in [(0, 5), (9, 8), (1, LAST + 1), (LAST + 1, None)]:
        with pytest.raises(UserError, match="has no rows") as refused:
            rescore(*shop, version=1, first=first, last=last)
        assert f"Its rows are 1 to {LAST:,}" in str(refused.value.hint)


def test_a_version_that_is_not_there(shop: tuple[Home, Config]) -> None:
    with pytest.raises(RegistryError, match="9"):
        rescore(*shop, version=9)


def test_by_the_command_line(shop: tuple[Home, Config], capsys: pytest.CaptureFixture[str]) -> None:
    home, config = shop
    arguments = ["--version", "1", "--from", str(FIRST), "--to", str(LAST)]
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home.path), "rescore", str(config.path), *arguments])
    assert ended.value.code in (0, None)
    said = capsys.readouterr().out
    for label in (
        "Rescored shop by version 1",
        "901 to 1,200",
        "scored now",
        "flagged then and now",
    ):
        assert label in said
