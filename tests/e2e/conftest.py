"""A real Prefect server for the session, and a small data set that trains in seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_data import CONFIG, HISTORY_ROWS, rows


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """API URL of a server on a new SQLite database; this process and its children use it."""
    from flows.servers import Children, clean_environment, free_port, prefect_server

    folder = tmp_path_factory.mktemp("prefect")
    port = free_port()
    environment = clean_environment() | {"PREFECT_HOME": str(folder)}
    patch = pytest.MonkeyPatch()
    with Children() as children:
        api = prefect_server(children, environment, "127.0.0.1", port, folder / "server.log")
        for key in [k for k in os.environ if k.startswith("PREFECT_")]:
            patch.delenv(key)
        patch.setenv("PREFECT_HOME", str(folder))
        patch.setenv("PREFECT_API_URL", api)
        patch.setenv("DO_NOT_TRACK", "1")
        children.wait_until_healthy(f"{api}/health")
        from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

        with temporary_settings({PREFECT_API_URL: api, PREFECT_HOME: folder}):
            yield api
    patch.undo()


@pytest.fixture
def make_data_set(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder with a config and a landing folder that holds the history."""

    def make(name: str = "small") -> Path:
        folder = tmp_path / name
        (folder / "landing").mkdir(parents=True)
        pq.write_table(rows(HISTORY_ROWS, seed=1), folder / "landing" / "history.parquet")
        config = folder / f"{name}.yaml"
        config.write_text(CONFIG.format(name=name), encoding="utf-8")
        return config

    return make
