"""Ranges scored anywhere and committed in order: the rows of a plain run, once each."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable
from night_homes import HISTORY_ROWS, champion_home, contents, deliver

from pipeline import nights, registry, staging
from pipeline.config import Config
from pipeline.errors import ConfigError, CountError
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.scoring import score
from pipeline.staging import Range, Staged, commit_staged

ROWS = 600
FIRST, LAST = HISTORY_ROWS + 1, HISTORY_ROWS + ROWS


@dataclass
class Workers:
    """Scores ranges for real, a few at a time and in any order.

    Attributes:
        asked: how many ranges were begun.
    """

    home: Home
    config: Config
    asked: int = 0

    def __call__(self, version: int, ranges: Iterable[Range]) -> Generator[Staged, None, None]:
        with ThreadPoolExecutor(3) as pool:
            waiting = []
            for first, last in ranges:
                self.asked += 1
                waiting.append(
                    pool.submit(staging.stage, self.home, self.config, version, first, last, "run")
                )
                if len(waiting) == 4:
                    yield waiting.pop(0).result()
            for one in waiting:
                yield one.result()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Home, Config]:
    """A champion, and rows that wait to be scored."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home, config = champion_home(tmp_path)
    deliver(home, config, "one", rows=ROWS, seed=1, odd=0.03)
    return home, config


def begin(home: Home, config: Config) -> tuple[Lake, nights.Night]:
    lake = Lake(config, home)
    night = nights.resume_or_open(
        lake,
        version=lambda: registry.get(home, config.name, "champion").version,
        stream_start=lambda: FIRST,
    )
    assert night is not None
    return lake, night


def plain(home: Home, config: Config) -> pd.DataFrame:
    """What one process makes of the night, without any table."""
    from pipeline.scoring import score_rows

    lake = Lake(config, home)
    frame = score_rows(
        lake, registry.load_scorer(home, config.name), 1, FIRST, LAST, None
    ).to_pandas()
    return frame.drop(columns=["run_id", "scored_at"])


def check(home: Home, config: Config) -> None:
    found = contents(home, config, "scores")
    pd.testing.assert_frame_equal(found, plain(home, config), check_exact=True)


def test_staged_scores_are_those_of_a_plain_run(place: tuple[Home, Config]) -> None:
    home, config = place
    engine = config.engine.model_copy(update={"piece_rows": 70})
    config = config.model_copy(update={"engine": engine})
    night = score(home, config, run_id="run", stage=Workers(home, config))
    assert night is not None and night.rows_scored == ROWS
    check(home, config)
    assert nights.history(Lake(config, home))[-1].is_closed


def test_a_file_is_no_row_before_its_commit_and_the_log_knows_its_bounds(
    place: tuple[Home, Config],
) -> None:
    home, config = place
    lake, night = begin(home, config)
    staging.stage(home, config, 1, FIRST, FIRST + 99, "killed")
    assert lake.count("scores") == 0
    assert list(commit_staged(lake, night, Workers(home, config), 250)) == [
        FIRST - 1, FIRST + 249, FIRST + 499, LAST,
    ]  # fmt: skip
    check(home, config)
    added = lake.open("scores").get_add_actions(flatten=True)
    bounds = {(added["min._row_id"][i].as_py(), added["max._row_id"][i].as_py()) for i in range(3)}
    assert bounds == {(FIRST, FIRST + 249), (FIRST + 250, FIRST + 499), (FIRST + 500, LAST)}
    assert sorted(added["num_records"].to_pylist()) == [100, 250, 250]
    handle = DeltaTable(lake.uri("scores"))
    gone = handle.vacuum(
        retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True
    )
    assert len(gone) == 1, "what the killed run left"
    check(home, config)


def test_a_run_that_is_killed_is_continued(place: tuple[Home, Config]) -> None:
    home, config = place
    lake, night = begin(home, config)
    steps = commit_staged(lake, night, Workers(home, config), 100)
    assert [next(steps) for _ in range(3)] == [FIRST - 1, FIRST + 99, FIRST + 199]
    steps.close()
    workers = Workers(home, config)
    covered = list(commit_staged(lake, night, workers, 100))
    assert covered[0] == FIRST + 199
    assert workers.asked == 4
    check(home, config)


@pytest.mark.parametrize("pieces", [(100, 100), (100, 70), (40, 600)])
def test_runs_at_once_never_overlap(place: tuple[Home, Config], pieces: tuple[int, int]) -> None:
    home, config = place
    begin(home, config)
    gate = threading.Barrier(3)

    def run(piece: int) -> None:
        lake, night = begin(home, config)
        gate.wait()
        for _ in commit_staged(lake, night, Workers(home, config), piece):
            if random.random() < 0.2:
                lake.last_row_id()  # somewhat slower here and there

    def beside(piece: int) -> None:
        """A run on one machine, with the rows in its hands."""
        from pipeline.scoring import score_rows

        lake, night = begin(home, config)
        scorer = registry.load_scorer(home, config.name)
        gate.wait()
        for _ in nights.score_pieces(
            lake, night, lambda a, b: score_rows(lake, scorer, 1, a, b, "beside"), piece
        ):
            pass

    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(run, piece) for piece in pieces] + [pool.submit(beside, 130)]
    for one in runs:
        one.result()
    check(home, config)


def test_ranges_that_never_come_back_end_the_run(place: tuple[Home, Config]) -> None:
    home, config = place
    lake, night = begin(home, config)
    with pytest.raises(CountError, match=f"no scores came back for the rows from {FIRST:,}"):
        list(commit_staged(lake, night, lambda version, ranges: (f for f in ()), 100))


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("{kind: dusk}", "did you mean 'dask'"),
        ("{kind: dask, address: 'tcp://x:1', workers: 2}", "give one"),
        ("{workers: 2}", "write `kind: dask` too"),
        ("{kind: dask, piece_rows: 0}", "engine.piece_rows"),
    ],
)
def test_an_engine_that_makes_no_sense(tmp_path: Path, engine: str, said: str) -> None:
    from night_homes import CONFIG, write_config

    with pytest.raises(ConfigError, match=said):
        write_config(tmp_path, f"{CONFIG}engine: {engine}\n")


def test_cores_are_those_that_workers_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    from vae_core.scores import usable_cores

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    every = usable_cores()
    for asked, cores in (("1", 1), ("1000", every), ("", every), ("0", every), ("many", every)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert usable_cores() == cores


@pytest.mark.slow
def test_dask_is_imported_by_those_who_ask_for_it() -> None:
    program = (
        "import sys, vae_core, pipeline.scoring, flows.score, flows.deployments\n"
        "print([m for m in ('dask', 'distributed', 'prefect_dask') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
