"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pipeline.home import Home

# A slow machine is no failure; and a change is judged by the same examples each time it is tested.
SLOW = [HealthCheck.too_slow]
settings.register_profile("here", deadline=None, suppress_health_check=SLOW)
settings.register_profile("ci", deadline=None, suppress_health_check=SLOW, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="device of the core's tests: cpu or cuda")
    parser.addoption(
        "--originals",
        type=Path,
        help="folder, searched throughout, of the originals of the data that ships",
    )


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """The device that the core's test battery runs on."""
    return str(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def originals(request: pytest.FixtureRequest) -> Path:
    """The folder with the originals of the data that ships; the test is skipped without it."""
    folder: Path | None = request.config.getoption("--originals")
    if folder is None:
        pytest.skip("needs --originals=FOLDER")
    return folder


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store: its first migration takes seconds, a copy of it none."""
    from pipeline import tracking

    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(tmp_path_factory.mktemp("mlflow"))
    tracking.connect(home)
    patch.undo()
    return home.path / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, migrated_store: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home folder of its own, whose MLflow store is ready."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(tmp_path / "home")
    home.path.mkdir()
    shutil.copy(migrated_store, home.path / "mlflow.db")
    return home
