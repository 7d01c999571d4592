"""The flows in this process, against a real Prefect server and a real MLflow store."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_data import HISTORY_ROWS, NIGHT_ROWS, land_night

from pipeline.config import load_config
from pipeline.errors import SourceError
from pipeline.home import Home
from pipeline.lake import Lake

pytestmark = pytest.mark.usefixtures("prefect_api")


def artifacts_of(flow_run_id: str) -> list[Any]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        runs = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
        return client.read_artifacts(flow_run_filter=runs)


def newest_run(flow: str) -> Any:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterName,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            # other tests' deployments have runs scheduled on the same server
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(
                    type=FlowRunFilterStateType(any_=["COMPLETED", "FAILED", "CRASHED"])
                )
            ),
            sort=FlowRunSort.START_TIME_DESC,
            limit=1,
        )[0]


def test_main_job_night_after_night(home: Home, make_data_set: Callable[[str], Path]) -> None:
    from flows.ingest import ingest
    from flows.retrain import retrain
    from flows.score import score

    config = make_data_set("small")
    loaded = load_config(config)
    lake = Lake(loaded, home)
    lake.create()

    ingest(str(config), str(home.path))
    assert lake.last_row_id() == HISTORY_ROWS
    assert retrain(str(config), str(home.path)) == 1
    assert score(str(config), str(home.path)) is None, "the history trains, it is not scored"

    for night in (1, 2):
        land_night(config, night)
        ingest(str(config), str(home.path))
        assert score(str(config), str(home.path)) == night
        run = newest_run("score")
        scores = lake.read("scores")
        assert lake.count("scores") == night * NIGHT_ROWS
        assert str(run.id) in scores.column("run_id").to_pylist()
    assert score(str(config), str(home.path)) is None, "nothing new, no night"
    assert lake.count("scores") == 2 * NIGHT_ROWS

    kinds = sorted(a.type for a in artifacts_of(str(run.id)))
    assert kinds == ["link" if k == "link" else k for k in kinds]
    assert {"table", "markdown", "progress"} <= set(kinds)
    keys = [a.key for a in artifacts_of(str(run.id)) if a.key]
    assert all(re.fullmatch("[a-z0-9-]+", key) for key in keys), keys
    for flow in ("ingest", "train", "calibrate"):
        kinds = {a.type for a in artifacts_of(str(newest_run(flow).id))}
        assert {"table", "markdown"} <= kinds, flow
    assert newest_run("train").parent_task_run_id is not None, "a subflow of retrain"


@pytest.mark.slow
def test_command_line_gives_the_same_scores(
    home: Home, make_data_set: Callable[[str], Path], tmp_path: Path
) -> None:
    from flows.ingest import ingest
    from flows.retrain import retrain
    from flows.score import score
    from pipeline.cli import main

    config = make_data_set("same")
    loaded = load_config(config)
    land_night(config, 1)
    Lake(loaded, home).create()
    ingest(str(config), str(home.path))
    retrain(str(config), str(home.path))
    score(str(config), str(home.path))

    other = Home(tmp_path / "by-hand")
    for command in ("init", "ingest", "train", "calibrate", "score"):
        with pytest.raises(SystemExit) as left:
            main(["--home", str(other.path), command, str(config)])
        assert left.value.code in (0, None), command
    by_flow, by_hand = (
        Lake(loaded, place).read("scores").sort_by("_row_id") for place in (home, other)
    )
    same = [n for n in by_flow.column_names if n not in ("run_id", "scored_at")]
    assert by_flow.num_rows == NIGHT_ROWS
    assert by_flow.select(same).equals(by_hand.select(same))


def test_refused_file_fails_the_run_after_the_others_are_in(
    home: Home, make_data_set: Callable[[str], Path]
) -> None:
    from flows.ingest import ingest

    config = make_data_set("refusing")
    lake = Lake(load_config(config), home)
    lake.create()
    (config.parent / "landing" / "a-broken.parquet").write_bytes(b"PAR1 but not for long")
    with pytest.raises(SourceError, match=r"a-broken\.parquet"):
        ingest(str(config), str(home.path))
    assert lake.last_row_id() == HISTORY_ROWS, "the good file is in"
    run = newest_run("ingest")
    assert run.state.is_failed()
    assert "a-broken.parquet" in run.state.message
    assert "Traceback" not in run.state.message
