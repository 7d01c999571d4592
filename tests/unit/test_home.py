"""Where a home lies: a folder, or a place in an object store with a folder for copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import TrackingError, UserError
from pipeline.home import Home

PLACE = "s3://bucket/vae"


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAE_ANOMALY_HOME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_a_folder_by_default(tmp_path: Path) -> None:
    home = Home.resolve()
    assert home == Home(tmp_path / ".vae-anomaly")
    assert home.place == str(tmp_path / ".vae-anomaly")
    assert home.table("shop", "scores") == f"{home.place}/tables/shop/scores"
    assert home.mlflow_artifacts_uri == home.mlflow_artifacts.as_uri()


def test_a_file_uri_is_a_folder() -> None:
    assert Home.resolve("file:///srv/my%20home") == Home(Path("/srv/my home"))


def test_the_variable_may_name_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_ANOMALY_HOME", f"{PLACE}/")
    home = Home.resolve()
    assert home.place == home.uri == PLACE
    assert home.table("shop", "scores") == f"{PLACE}/tables/shop/scores"
    assert home.mlflow_artifacts_uri == f"{PLACE}/mlartifacts"
    assert Home.resolve(home.place) == home, "a worker resolves what a deployment stores"


def test_copies_lie_in_a_folder_of_this_machine(tmp_path: Path) -> None:
    home = Home.resolve(PLACE)
    assert home.reports("shop").is_relative_to(tmp_path / "cache" / "vae-anomaly")
    assert home.path == Home.resolve(f"{PLACE}/").path
    assert home.path != Home.resolve("s3://bucket-vae").path, "equal but for the signs between"


def test_a_registry_file_never_hides_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrackingError, match="needs an MLflow server") as refused:
        _ = Home.resolve(PLACE).mlflow_uri
    assert "MLFLOW_TRACKING_URI" in str(refused.value.hint)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert Home.resolve(PLACE).mlflow_uri == "http://mlflow:5000"


@pytest.mark.parametrize("uri", ["s3://", "s3:///vae", "s3://bucket/vae?region=x", "gs://b/v#x"])
def test_a_uri_without_a_bucket_is_refused(uri: str) -> None:
    with pytest.raises(UserError, match="names no place"):
        Home.resolve(uri)


@pytest.mark.parametrize("uri", ["s3://KEY:SECRET@bucket/vae", "s3://SECRET@bucket/vae"])
def test_keys_do_not_belong_into_it(uri: str) -> None:
    with pytest.raises(UserError, match="key or a password") as refused:
        Home.resolve(uri)
    assert "SECRET" not in str(refused.value)


def test_azure_names_its_container_before_an_at_sign() -> None:
    uri = "abfss://container@account.dfs.core.windows.net/vae"
    assert Home.resolve(uri).place == uri
