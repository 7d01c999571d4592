"""What others may import and install, and settings that are written down twice."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import pytest

import pipeline
import vae_core
from pipeline.settings import READING, ModelSettings, TrainSettings
from vae_core import ModelConfig, TrainConfig

ROOT = Path(__file__).parents[2]
PACKAGES = ("vae_core", "pipeline", "flows")
CORE = {
    "ALONE", "Stream", "Weighted", "fit_weighted", "Team", "joined", "under_torchrun",
    "JOINS", "MODELS", "SCORE_KINDS",
    "BinaryColumn", "CategoricalColumn", "Column", "ColumnStatistics",
    "ConditionColumn",
    "ConstantColumn", "Encoding", "Heat", "read_pictures", "size_in_words",
    "Explanation",
    "ImageColumn", "ImportanceBound", "importance_weighted_log_prob",
    "ModelConfig", "Neighbours", "NotCalibratedError", "NumericColumn", "RawScores",
    "References", "Scorer",
    "Threshold", "TrainConfig", "TrainResult",
    "build_model", "canonical", "check_score_kind", "check_score_of", "choose_device",
    "column_statistics",
    "conformal_cut", "conformal_rank", "diagnose", "is_missing", "p_values",
    "robust_scale", "train",
}  # fmt: skip
PIPELINE = {
    "calibration": ["CalibrateResult", "CalibrationError", "calibrate"],
    "config": ["Config", "load_config"],
    "detector": ["VAEDetector"],
    "errors": ["UserError"],
    "evaluate": ["METRICS", "evaluate"],
    "explain": ["reasons"],
    "heatmap": ["draw_explanation", "explain_images"],
    "home": ["Home"],
    "ingest": ["FileResult", "IngestResult", "ingest"],
    "lake": ["Lake"],
    "preprocess": ["FITTERS", "fit_encoding"],
    "quality": ["GUIDE", "Figure", "Quality", "generation_quality", "measure_quality"],
    "readers": ["READERS", "SUFFIXES"],
    "registry": ["Version", "champion", "get", "load_scorer", "promote", "rollback", "versions"],
    "report": ["path_of", "write"],
    "review": ["ReviewResult", "review"],
    "rescoring": ["RescoreResult", "rescore"],
    "schema": ["check_names", "check_types"],
    "scoring": ["NightResult", "score"],
    "sources": ["list_files", "open_file"],
    "thresholds": ["THRESHOLDS", "fit_threshold"],
    "tracking": ["TrackingError", "connect"],
    "training": ["TrainResult", "TrainingError", "train"],
    "tuning": ["TuneResult", "TuningError", "tune"],
}


def test_the_core_offers_this_and_no_more() -> None:
    assert set(vae_core.__all__) == CORE
    assert all(hasattr(vae_core, name) for name in CORE)


def test_the_pipeline_offers_the_estimator_and_these_modules() -> None:
    assert pipeline.__all__ == ["VAEDetector"]
    assert pipeline.VAEDetector is import_module("pipeline.detector").VAEDetector
    with pytest.raises(AttributeError, match="no attribute 'Detector'"):
        _ = pipeline.Detector  # type: ignore[attr-defined, unused-ignore]
    absent = [
        f"pipeline.{module}.{name}"
        for module, names in PIPELINE.items()
        for name in names
        if not hasattr(import_module(f"pipeline.{module}"), name)
    ]
    assert absent == []


def test_the_map_of_the_pipeline_names_each_of_its_modules_once() -> None:
    lines = (pipeline.__doc__ or "").splitlines()
    named = re.findall(r"[a-z_]+", " ".join(line.partition(": ")[2] for line in lines))
    folder = ROOT / "pipeline"
    modules = {p.stem for p in folder.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert sorted(set(named) & modules) == sorted(modules - {"__init__", "__pycache__"})
    assert [name for name in named if name in modules and named.count(name) > 1] == []


@pytest.mark.parametrize(
    ("section", "core"), [(ModelSettings, ModelConfig), (TrainSettings, TrainConfig)]
)
def test_the_config_has_the_settings_and_defaults_of_the_core(section: type, core: type) -> None:
    values = section().model_dump(exclude=READING)
    assert values == asdict(core())
    assert core(**values) == core()


def test_reading_a_config_loads_neither_torch_nor_mlflow() -> None:
    code = (
        "import sys, pipeline.config, pipeline.ingest\n"
        "print(*{'torch', 'mlflow', 'sklearn', 'pandera'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_installed_package_has_every_file(tmp_path: Path) -> None:
    expected = set()
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
        expected |= {
            file.relative_to(tmp_path).as_posix()
            for file in (tmp_path / package).rglob("*")
            if file.is_file()
        }
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(tmp_path)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert shipped == expected
