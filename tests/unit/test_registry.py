"""The registry on a real MLflow store: aliases, history, rollback, versions with their own code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from registered import CALIBRATION, register, rows, scorer

from pipeline import registry, tracking
from pipeline.errors import RegistryError
from pipeline.home import Home
from vae_core import Scorer


def files_of(home: Home) -> list[Path]:
    # Python caches what it has imported from a local store; that is no part of the model
    files = (p for p in home.mlflow_artifacts.rglob("*") if p.is_file())
    return [p for p in files if "__pycache__" not in p.parts]


def test_a_new_version_is_challenger_and_says_what_calibrated_it(home: Home) -> None:
    assert registry.champion(home, "shop") is None
    number = register(home)
    version = registry.get(home, "shop", "challenger")
    assert version.version == number == 1
    assert version.calibration == CALIBRATION
    assert version.alpha == 0.05
    assert version.uri == "models:/shop/1"
    assert version.tags["calibration_rows"] == "200"
    assert registry.champion(home, "shop") is None


def test_promote_and_roll_back(home: Home) -> None:
    register(home), register(home)
    first = registry.promote(home, "shop", 1)
    assert first.aliases == ("champion",)
    second = registry.promote(home, "shop")
    assert second.version == 2 and second.tags["previous_champion"] == "1"
    assert registry.champion(home, "shop") == second
    assert registry.promote(home, "shop", 2) == second
    back = registry.rollback(home, "shop")
    assert back.version == 1 == registry.champion(home, "shop").version
    history = [json.loads(v.tags["history"]) for v in registry.versions(home, "shop")]
    assert [len(h) for h in history] == [3, 2]
    assert "rolled back to version 1" in history[1][-1]
    with pytest.raises(RegistryError, match="first champion") as caught:
        registry.rollback(home, "shop")
    assert "1, 2" in caught.value.hint


def test_the_stream_starts_after_the_first_champion_and_stays(home: Home) -> None:
    from registered import config
    from registered import rows as data

    from pipeline.split import Range

    register(home)
    with pytest.raises(RegistryError, match="no champion"):
        registry.stream_start(home, "shop")
    registry.promote(home, "shop")
    assert registry.stream_start(home, "shop") == CALIBRATION.last + 1
    with tracking.start(home, config(), "calibrate") as run:
        registry.register(run, "shop", scorer(), data(5), Range(900, 999))
    registry.promote(home, "shop")
    assert registry.stream_start(home, "shop") == CALIBRATION.last + 1


def test_what_does_not_exist_is_said_with_what_does(home: Home) -> None:
    with pytest.raises(RegistryError, match="no version 1; versions: none yet"):
        registry.get(home, "shop", 1)
    register(home)
    with pytest.raises(RegistryError, match="no version 7; versions: 1"):
        registry.promote(home, "shop", 7)
    with pytest.raises(RegistryError, match="no champion; versions: 1"):
        registry.load_scorer(home, "shop")
    with pytest.raises(RegistryError, match="give a number"):
        registry.get(home, "shop", "newest")
    with pytest.raises(RegistryError, match="no champion to roll back"):
        registry.rollback(home, "shop")


def test_a_loaded_scorer_runs_its_own_core(home: Home) -> None:
    register(home)
    loaded = registry.load_scorer(home, "shop", 1, device="cpu")
    assert type(loaded) is not Scorer
    assert type(loaded).__module__.startswith("vae_core_")
    expected, got = scorer().score(rows(50, 9)), loaded.score(rows(50, 9))
    for name, values in expected.items():
        np.testing.assert_array_equal(values, got[name])


def test_two_versions_answer_each_for_itself(home: Home, tmp_path: Path) -> None:
    import vae_core
    from pipeline.model_code import load_package

    changed = tmp_path / "vae_core"
    shutil.copytree(Path(vae_core.__file__).parent, changed)
    calibration = changed / "calibration.py"
    text = calibration.read_text(encoding="utf-8")
    assert "(1 + at_least) / (n + 1)" in text
    calibration.write_text(text.replace("(1 + at_least) / (n + 1)", "at_least * 0 + 0.125"))
    scorer().save(tmp_path / "scorer")
    other = load_package(changed).Scorer.load(tmp_path / "scorer", device="cpu")
    register(home)
    register(home, other)
    frame = pd.DataFrame(rows(20, 9))
    load = tracking.pyfunc().load_model
    models = [load("models:/shop/1"), load("models:/shop/2")]
    for _ in range(2):
        first, second = (model.predict(frame) for model in models)
        assert (second["p_value"] == 0.125).all()
        assert not (first["p_value"] == 0.125).any()
        assert list(first["anomaly_score"]) == list(second["anomaly_score"])
    recalibrated = registry.load_scorer(home, "shop", 2)
    register(home, recalibrated)
    assert (load("models:/shop/3").predict(frame)["p_value"] == 0.125).all()


def test_a_core_outlives_the_folder_it_came_from(home: Home, tmp_path: Path) -> None:
    import vae_core
    from pipeline.model_code import load_package

    folder = tmp_path / "soon-gone"
    shutil.copytree(Path(vae_core.__file__).parent, folder)
    (folder / "late.py").write_text("ANSWER = 42\n", encoding="utf-8")
    scorer().save(tmp_path / "scorer")
    core = load_package(folder)
    shutil.rmtree(folder)
    assert core.late.ANSWER == 42
    one = core.Scorer.load(tmp_path / "scorer", device="cpu")
    number = register(home, one)
    loaded = registry.load_scorer(home, "shop", number, device="cpu")
    assert type(loaded) is type(one)


def test_the_stored_model_holds_no_pickle_and_no_path_of_this_machine(home: Home) -> None:
    register(home)
    files = files_of(home)
    assert {"MLmodel", "anomaly_model.py", "scorer.json", "scorer.safetensors"} <= {
        file.name for file in files
    }
    assert not [f for f in files if f.suffix in (".pkl", ".pickle", ".pt", ".pth", ".pyc")]
    root = str(Path(__file__).resolve().parents[2])
    for file in files:
        if file.suffix not in (".safetensors", ".png"):
            text = file.read_text(encoding="utf-8")
            assert root not in text and str(home.path) not in text and "/tmp" not in text, file
    requirements = next(f for f in files if f.name == "requirements.txt").read_text()
    assert "torch>=2.11" in requirements and "+" not in requirements
    assert "vae" not in requirements


def test_a_version_with_missing_files_is_a_clear_error(home: Home) -> None:
    register(home)
    next(f for f in files_of(home) if f.name == "scorer.safetensors").unlink()
    with pytest.raises(RegistryError, match="incomplete"):
        registry.load_scorer(home, "shop", 1)


def test_models_lie_in_the_home(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    register(home)
    assert not list(elsewhere.iterdir())
    assert any(file.name == "MLmodel" for file in files_of(home))
