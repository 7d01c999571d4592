"""Scoring killed at random moments, and started several times at once, leaves every row once."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from night_homes import champion_home, contents, deliver, write_config

from pipeline import tracking
from pipeline.config import Config
from pipeline.home import Home
from pipeline.scoring import score

TABLES = ("scores", "alerts", "nights")
ROWS, PIECE = 2_000, 100
# A process of its own: says when it is ready, waits for the word, scores in small pieces and says
# where it is.
CHILD = f"""
import sys
from pipeline import finishing, recording, registry, scoring
from pipeline.config import load_config
from pipeline.home import Home
scoring.PIECE_ROWS = {PIECE}
registry.champion(Home.resolve(sys.argv[1]), "shop")
print("ready", flush=True)
sys.stdin.readline()
def tell(done, total, message):
    print(message, done, flush=True)
home, config = Home.resolve(sys.argv[1]), load_config(sys.argv[2])
night = scoring.score(home, config, run_id="child", progress=tell)
print("night", None if night is None else night.night_id, flush=True)
"""


@dataclass(frozen=True)
class Undisturbed:
    """A home where nothing is scored yet, and what one run that nobody disturbs makes of it."""

    folder: Path
    steps: int
    tables: dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        home, config = champion_home(folder)
        deliver(home, config, "one", rows=ROWS, seed=1, odd=0.03, spoilt=5)
        other = copy(folder, tmp_path_factory.mktemp("run") / "copy")
        (child,) = start(*other)
        output, errors = child.communicate("go\n")
        assert child.returncode == 0, errors
        assert output.endswith("night 1\n")
        found = {table: contents(*other, table) for table in TABLES}
    assert len(found["scores"]) == ROWS
    assert len(found["alerts"]) > 20
    return Undisturbed(folder, output.count("\n") - 1, found)


def copy(source: Path, target: Path) -> tuple[Home, Config]:
    shutil.copytree(source, target)
    return Home(target / "home"), write_config(target / "project")


def start(home: Home, config: Config, runs: int = 1) -> list[subprocess.Popen[str]]:
    """Scoring processes that have come up and wait for the word."""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CHILD, str(home.path), str(config.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(runs)
    ]
    for child in children:
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            raise AssertionError(child.communicate()[1])
    return children


def go(child: subprocess.Popen[str]) -> None:
    """Let a waiting process score."""
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def check(home: Home, config: Config, expected: Undisturbed) -> None:
    """The tables are those of an undisturbed run, and MLflow has one finished run of the night."""
    for table in TABLES:
        pd.testing.assert_frame_equal(contents(home, config, table), expected.tables[table])
    client = tracking.connect(home)
    experiment = client.get_experiment_by_name(config.name)
    assert experiment is not None
    states = [
        run.info.status
        for run in client.search_runs(
            [experiment.experiment_id], filter_string="tags.stage = 'score'"
        )
    ]
    assert states.count("FINISHED") == 1
    assert "RUNNING" not in states


def kill_and_repair(expected: Undisturbed, folder: Path, step: int, later: float) -> int:
    """Kill a run some seconds after a step, then let another finish; rows scored by then."""
    home, config = copy(expected.folder, folder)
    (child,) = start(home, config)
    go(child)
    assert child.stdout is not None
    for _ in range(step):
        child.stdout.readline()
    time.sleep(later)
    child.kill()
    child.communicate()
    there = len(contents(home, config, "scores"))
    score(home, config)
    check(home, config, expected)
    return there


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.slow
def test_killed_twice(undisturbed: Undisturbed, tmp_path: Path) -> None:
    draw = random.Random(time.time_ns())
    for kill in range(2):
        step = draw.randint(1, undisturbed.steps)
        kill_and_repair(undisturbed, tmp_path / f"{kill}", step, draw.uniform(0, 0.1))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_twenty_random_moments(undisturbed: Undisturbed, tmp_path: Path) -> None:
    draw = random.Random(time.time_ns())
    seen = []
    for kill in range(20):
        step = 1 + int((kill + draw.random()) / 20 * undisturbed.steps)
        later = draw.uniform(0, 0.1)
        seen.append(kill_and_repair(undisturbed, tmp_path / f"{kill}", step, later))
        shutil.rmtree(tmp_path / f"{kill}")
    assert len(set(seen)) > 5, f"the kills met too few states of the scores: {seen}"


@pytest.mark.slow
@pytest.mark.parametrize("runs", [2, 4])
def test_started_at_once(undisturbed: Undisturbed, tmp_path: Path, runs: int) -> None:
    home, config = copy(undisturbed.folder, tmp_path / "copy")
    children = start(home, config, runs)
    for child in children:
        go(child)
    for child in children:
        _, errors = child.communicate()
        assert child.returncode == 0, errors
    check(home, config, undisturbed)
