"""The whole measurement: every variant, pictures, and the command on a real home."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from night_homes import CONFIG, HISTORY_ROWS, deliver, empty_home
from sklearn.datasets import load_digits
from torch import Tensor

from pipeline import cli, tracking
from pipeline.detector import ColumnKind
from pipeline.fitting import fit_scorer
from pipeline.quality import GUIDE, measure_quality
from pipeline.quality.beliefs import likelihood_figures
from pipeline.sampling import Rows
from vae_core import MODELS, ModelConfig, TrainConfig
from vae_core.priors import MixturePrior
from vae_core.priors.base import Encode

KINDS = {
    "a": ColumnKind("numeric", False),
    "b": ColumnKind("numeric", True),
    "kind": ColumnKind("categorical", False),
}


def rows(count: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=count)
    b = np.where(rng.random(count) < 0.1, np.nan, 2 * a + rng.normal(size=count))
    kind = np.where(a > 0.5, "high", "low").astype(object)
    return Rows({"a": a, "b": b, "kind": kind}, None)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [name for name in MODELS if not MODELS[name].conditional])
def test_every_variant_is_measured_the_same_twice(variant: str) -> None:
    training, held_out = rows(400, 0), rows(150, 1)
    scorer = fit_scorer(
        training.columns, held_out.columns, KINDS,
        model=ModelConfig(variant=variant, members=2, hidden=(16,), latent_dim=2),
        training=TrainConfig(max_steps=30),
        score="reconstruction_error",
    ).scorer  # fmt: skip
    first = measure_quality(scorer, training, held_out).quality
    assert measure_quality(scorer, training, held_out).quality == first
    metrics = first.metrics()
    assert all(np.isfinite(value) for value in metrics.values())
    assert {figure.name for figure in first.figures} <= set(GUIDE)
    assert metrics["reconstruction_accuracy_nearest_row"] > 0.9
    if scorer.model.has_elbo:
        # real rows in the place of generated ones are close to the end of each scale
        assert metrics["generation_classifier_auroc_ceiling"] == pytest.approx(0.5, abs=0.15)
        assert metrics["generation_coverage_ceiling"] > 0.8
        assert metrics["generation_shape_similarity_ceiling"] > 0.85
        assert metrics["importance_weighted_elbo"] > metrics["elbo"] - 0.5
        assert metrics["marginal_kl"] + metrics["mutual_information"] == pytest.approx(
            metrics["kl"], rel=0.3, abs=0.3
        )
    else:
        assert not any(name.startswith("generation") for name in metrics)


@pytest.mark.slow
def test_pictures_with_classes_and_without() -> None:
    data = load_digits()
    grey = (data.images * 255 / 16).astype(np.uint8)
    digit = data.target.astype(str).astype(object)
    training = Rows({"picture": grey[:900], "digit": digit[:900]}, None)
    held_out = Rows({"picture": grey[900:1200], "digit": digit[900:1200]}, None)
    scorer = fit_scorer(
        training.columns, held_out.columns, {"picture": ColumnKind("image", False)},
        model=ModelConfig(members=1, denoisers=0, hidden=(32,), pixels="logistic_mixture"),
        training=TrainConfig(max_steps=60),
    ).scorer  # fmt: skip
    metrics = measure_quality(scorer, training, held_out).quality.metrics()
    assert metrics["bits_per_dimension"] == pytest.approx(
        -metrics["importance_weighted_elbo"] / (64 * np.log(2))
    )
    assert 0 < metrics["bits_per_dimension"] < 8
    assert metrics["generation_frechet_distance.pca-64"] > 0
    assert metrics["reconstruction_psnr"] > 5
    named = measure_quality(scorer, training, held_out, classes="digit", name="digits").quality
    assert named.basis["extractor_accuracy"] > 0.8
    metrics = named.metrics()
    # hardly trained: far from the digits, and not sharp
    near, ceiling = (
        metrics[f"generation_frechet_distance{part}.cnn-digits"] for part in ("", "_ceiling")
    )
    assert near > 5 * ceiling
    assert metrics["generation_sharpness"] < 0.7 * metrics["generation_sharpness_ceiling"]
    assert metrics["generation_modes_covered_ceiling.cnn-digits"] == 1.0


def test_bounds_of_grey_pictures_are_those_of_binary_ones() -> None:
    """What a likelihood of binary pictures says of grey ones is no probability."""
    grey = (load_digits().images * 255 / 16).astype(np.uint8)
    training, held_out = Rows({"picture": grey[:600]}, None), Rows({"picture": grey[600:900]}, None)
    scorer = fit_scorer(
        training.columns, held_out.columns, {"picture": ColumnKind("image", False)},
        model=ModelConfig(members=1, denoisers=0, hidden=(32,), pixels="bernoulli"),
        training=TrainConfig(max_steps=60, binarise=True),
    ).scorer  # fmt: skip
    on_grey = {f.name: f.value for f in likelihood_figures(scorer, training, held_out, 0)}
    rng = np.random.default_rng(7)
    drawn = [
        Rows({"picture": (255 * (255 * rng.random(p.shape) < p)).astype(np.uint8)}, None)
        for p in (grey[:600], grey[600:900])
    ]
    on_binary = {f.name: f.value for f in likelihood_figures(scorer, *drawn, 0)}
    assert on_grey["bits_per_dimension"] == pytest.approx(on_binary["bits_per_dimension"], rel=0.01)
    assert on_grey["elbo"] == pytest.approx(on_binary["elbo"], rel=0.01)


def test_a_mixture_is_fitted_to_the_pictures_that_training_saw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grey = np.full((64, 4, 4), 128, np.uint8)
    seen: list[np.ndarray] = []
    kept = MixturePrior.fit

    def watch(self: MixturePrior, encode: Encode, rows: Tensor, seed: int) -> None:
        seen.append(rows.numpy())
        kept(self, encode, rows, seed)

    monkeypatch.setattr(MixturePrior, "fit", watch)
    for binarise, pixels in ((True, "bernoulli"), (False, "gaussian")):
        fit_scorer(
            {"picture": grey}, {"picture": grey[:9]}, {"picture": ColumnKind("image", False)},
            model=ModelConfig(members=1, denoisers=0, hidden=(8,), pixels=pixels, prior="mixture"),
            training=TrainConfig(max_steps=2, binarise=binarise),
        )  # fmt: skip
    binary, plain = (np.unique(rows[:, :16]).tolist() for rows in seen)
    assert binary == [0.0, 1.0] and plain == [pytest.approx(128 / 255)]


@pytest.fixture(scope="module")
def shop(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home, config = empty_home(tmp_path_factory.mktemp("measured"), CONFIG)
    shutil.copy(migrated_store, home.path / "mlflow.db")
    deliver(home, config, "history", rows=HISTORY_ROWS, seed=0)
    from pipeline.calibration import calibrate
    from pipeline.training import train

    trained = train(home, config)
    calibrate(home, config, run_id=trained.run_id)
    patch.undo()
    return home, config, trained


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in words])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_command_prints_logs_and_writes_what_training_logged(
    shop: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, config, trained = shop
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("VAE_ANOMALY_HOME", str(home.path))
    monkeypatch.setenv("COLUMNS", "160")
    table, document = tmp_path / "q.parquet", tmp_path / "q.json"
    code, out, err = call(capsys, "quality", config.path, "--version", 1, "--output", table)
    assert (code, err) == (0, "")
    for words in ("Quality of shop, version 1", "copied_share", "real rows", "nearest row"):
        assert words in out
    code, _, _ = call(capsys, "quality", config.path, "--classes", "country", "--output", document)
    assert code == 0
    written = {row["name"]: row for row in pq.read_table(table).to_pylist()}
    assert {row["name"] for row in json.loads(document.read_text())["figures"]} == set(written)
    assert written["elbo"]["value"] == pytest.approx(trained.metrics["elbo"], rel=1e-6)
    coverage = written["generation_coverage"]
    assert coverage["value"] == pytest.approx(trained.metrics["generation_coverage"], abs=0.02)
    assert coverage["against"] == "ceiling"
    client = tracking.connect(home)
    runs = tracking.find_runs(client, "shop", "tags.stage = 'quality'")
    assert len(runs) == 2
    assert runs[0].data.tags["version"] == "1"
    assert runs[0].data.metrics["generation_coverage"] == coverage["value"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--output", "q.csv"), "JSON or Parquet"),
        (("--output", "nowhere/q.json"), "there is no folder nowhere"),
        (("--classes", "color"), "no column 'color'"),
        (("--version", "9"), "no version 9"),
    ],
)
def test_what_cannot_be_done_is_said_first(
    words: tuple[str, str],
    said: str,
    shop: tuple,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home, config, _ = shop
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("VAE_ANOMALY_HOME", str(home.path))
    code, _, err = call(capsys, "quality", config.path, *words)
    assert code == 1
    assert said in err


def test_every_figure_is_explained_to_users() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "user-guide.md").read_text()
    missing = [name for name in GUIDE if f"`{name}`" not in guide]
    assert not missing, missing
