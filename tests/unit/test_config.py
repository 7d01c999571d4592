"""Configs: every mistake is named with its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import Config, load_config
from pipeline.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
START = "name: shop\nsource: {path: inbox}\ncolumns: {a: {role: numeric}}\n"
PICTURES = "name: shop\nsource: {path: inbox}\n"


def load(folder: Path, text: str) -> Config:
    path = folder / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configs_are_read(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem.replace("_", "-")
    assert config.features


def test_pictures_and_conditions(tmp_path: Path) -> None:
    columns = (
        "columns: {a: {role: image, shape: [8, 8]}, y: {role: condition}, z: {role: id}}\n"
        "model: {variant: conditional, network: conv, pixels: bce}"
    )
    config = load(tmp_path, PICTURES + columns)
    assert (config.image, config.conditions, config.features) == ("a", ["y"], ["a", "y"])


def test_defaults_and_derived_values(tmp_path: Path) -> None:
    config = load(tmp_path, START)
    assert config.source_path == str(tmp_path / "inbox")
    assert (config.threshold.method, config.threshold.alpha) == ("conformal", 0.05)
    assert (config.split.train, config.split.calibration, config.split.until) == (0.7, 0.2, None)
    assert config.features == ["a"]
    assert (config.label, config.time, config.ids) == (None, None, [])
    assert "path" not in config.model_dump()
    assert config.path == tmp_path / "shop.yaml"


def test_threshold_methods_and_their_parameters(tmp_path: Path) -> None:
    assert load(tmp_path, START + "threshold: {conditional_delta: 0.1}").threshold.method
    assert load(tmp_path, START + "threshold: {method: pot, peaks: 50}").threshold.peaks == 50
    labelled = START.replace("}}", "}, y: {role: label, normal: no}}")
    config = load(tmp_path, labelled + "threshold: {method: best_f1, f_beta: 2}")
    assert (config.threshold.method, config.threshold.f_beta) == ("best_f1", 2)


def test_roles_sort_the_columns(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "name: s\nsource: {path: x}\ncolumns:\n  k: {role: id}\n  t: {role: time}\n"
        "  a: {role: numeric}\n  y: {role: label, normal: [no, 0]}\n  z: {role: ignore}\n"
        "  2: {role: binary, values: [true, false]}\n",
    )
    assert config.features == ["a", "2"]
    assert (config.label, config.time, config.ids) == ("y", "t", ["k"])
    assert config.stored == ["k", "t", "a", "y", "2"]
    assert config.columns["y"].normal == ("no", "0")  # `no` stays a word
    assert config.columns["2"].values == ("true", "false")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (START + "threshold: {alhpa: 0.1}", "unknown key `threshold.alhpa`; did you mean `alpha`?"),
        (START + "treshold: {}", "unknown key `treshold`; did you mean `threshold`?"),
        (START + "path: x", "unknown key `path`; did you mean `source.path`?"),
        (START + "zzz: 1", "unknown key `zzz`; known keys: name, source"),
        (
            "name: s\nsource: {path: x}\ncolumns: {a: {role: numeric, nulable: true}}",
            "unknown key `columns.a.nulable`; did you mean `nullable`?",
        ),
        (
            "name: s\nsource: {path: x}\ncolumns: {a: {role: numerical}}",
            "did you mean 'numeric'?",
        ),
        (START + "calibration_rows: {frist: 1, last: 2}", "did you mean `first`?"),
        (START + "calibration_rows: {first: 3, last: 2}", "lies after last"),
        (START + "threshold: {alpha: 2}", "`threshold.alpha`: input should be less than 1, got 2"),
        (START + "threshold: {method: confromal}", "known: conformal, quantile"),
        (START + "threshold: {method: conformal_fdr}", "FDR control decides over a closed night"),
        (
            START + "threshold: {method: mad, conditional_delta: 0.1}",
            "`threshold`: 'conditional_delta' belongs to method conformal; mad does not take it",
        ),
        (START + "threshold: {f_beta: 2}", "'f_beta' belongs to method best_f1; conformal does"),
        (START + "threshold: {method: best_f1}", "chooses by labels, and no column has role label"),
        (
            START + "alerts: {fdr: true, covariate_shift: true}",
            "`alerts`: `fdr` and `covariate_shift` exclude each other",
        ),
        (
            START + "alerts: {covariate_shift: true}\nthreshold: {method: mad}",
            "a plain conformal threshold, and `threshold.method: mad` asks for another",
        ),
        (
            START + "alerts: {covariate_shift: true}\nthreshold: {conditional_delta: 0.1}",
            "`threshold.conditional_delta: 0.1` asks for another",
        ),
        (START + "alerts: {drift_level: 0}", "`alerts.drift_level`: input should be greater"),
        (START + "threshold: {score: elb}", "known: elbo, reconstruction_error"),
        (START + "model: {variant: vea}", "`model.variant`: 'vea' is not known"),
        (
            START + "model: {variant: discrete, prior: nromal}",
            "`model.prior`: 'nromal' is not known",
        ),
        (START + "model: {prior: vmap}", "Did you mean 'vamp'?"),
        (START + "model: {prior: autoregresive}", "Did you mean 'autoregressive'?"),
        (
            START + "model: {prior: autoregressive}",
            "`model.prior`: a model of variant vae takes normal, vamp, mixture or flow, not "
            "autoregressive",
        ),
        (START + "model: {variant: discrete, prior: flow}", "takes normal or autoregressive, not"),
        (START + "model: {prior: conditional}", "Choose one of them, or variant conditional"),
        (
            START + "model: {variant: flow}\ntraining: {total_correlation: 2}",
            "`training.total_correlation`: a model of variant flow has no independent Gaussian",
        ),
        (START + "model: {denoisers: 4}", "`model`: `denoisers` must be fewer than the 2 members"),
        (START + "model: {members: 1, denoisers: 1}", "must be fewer than the 1 members, got 1"),
        (START + "model: {variant: flow, latent_dim: 1}", "`model.latent_dim`: a flow couples"),
        (START + "model: {prior: flow, latent_dim: 1}", "`model.latent_dim`: a flow couples"),
        (
            START + "model: {variant: hierarchical, prior: flow, latent_dim: 3}",
            "a flow couples latents and needs two or more, the top layer has 1",
        ),
        (START + "model: {variant: hierarchical, ladder: [4]}", "a ladder has at least two layers"),
        (START + "split: {train: 0.9, calibration: 0.3}", "must be at most 1"),
        (PICTURES + "columns: {a: {role: image}}", "an image needs `shape`: [height, width]"),
        (PICTURES + "columns: {a: {role: image, shape: [8]}}", "`shape` is [height, width] or"),
        (PICTURES + "columns: {a: {role: image, shape: [8, 8, 2]}}", "not [8, 8, 2]"),
        (
            PICTURES + "columns: {a: {role: image, shape: [8, 8], nullable: true}}",
            "an image cannot be missing",
        ),
        (
            PICTURES + "columns: {a: {role: image, shape: [8, 8]}, b: {role: numeric}}",
            "`a` is an image, which must be the only column to learn from; give role ignore to `b`",
        ),
        (START.replace("numeric", "numeric, shape: [8, 8]"), "`shape` belongs to role image"),
        (START + "model: {network: conv}", "`model.network: conv` is of pictures"),
        (START + "model: {pixels: bce}", "`model.pixels: bce` is of pictures"),
        (START + "model: {network: cnn}", "`model.network`: 'cnn' is not known"),
        (START + "model: {variant: conditional}", "no column has role condition"),
        (
            PICTURES + "columns: {a: {role: numeric}, b: {role: condition}}",
            "`b` is a condition, and a model of variant vae reads none",
        ),
        (PICTURES + "columns: {b: {role: condition}}", "nothing to learn"),
        (START + "schedule: {score: hourly}", "not a cron line of five fields"),
        (START + "schedule: {timezone: Mars/Base}", "not a time zone"),
        (START + "device: gpu", "`device`"),
        ("name: Shop 1\nsource: {path: x}\ncolumns: {a: {role: numeric}}", "small letters"),
        ("source: {path: x}\ncolumns: {a: {role: numeric}}", "`name` is missing"),
        ("name: s\nsource: {path: x}\ncolumns: {a: {role: id}}", "nothing to learn"),
        (
            "name: s\nsource: {path: x}\ncolumns: {a: {role: numeric}, A: {role: numeric}}",
            "differs from another column by case only",
        ),
        (
            "name: s\nsource: {path: x}\ncolumns: {_row_id: {role: numeric}}",
            "a name that the tables use",
        ),
        (
            "name: s\nsource: {path: x}\n"
            "columns: {a: {role: numeric}, t: {role: time}, u: {role: time}}",
            "only one column can have role time, these have it: t, u",
        ),
        (
            "name: s\nsource: {path: x}\ncolumns: {a: {role: numeric}, y: {role: label}}",
            "a label needs `normal`",
        ),
        (
            START + "model: {variant: autoencoder}",
            "`threshold.score`: score 'combined' needs an ELBO",
        ),
        (
            'name: s\nsource: {path: x}\ncolumns: {a: {role: numeric}, "": {role: numeric}}',
            "a column without a name",
        ),
        (
            "name: s\nsource: {path: x}\ncolumns: {a: {role: numeric, timezone: UTC}}",
            "`timezone` belongs to role time",
        ),
        (
            "name: s\nsource: {path: x}\ncolumns: {a: {role: binary, values: [1, 1.0]}}",
            "a binary column has two values",
        ),
        (
            "name: s\nsource: {path: x, encoding: utf-88}\ncolumns: {a: {role: numeric}}",
            "is not an encoding",
        ),
        ("name: s\nname: t\n", "line 2, column 1: the key `name` is given twice"),
        ("name: [", "line 1"),
        ("- 1\n", "holds no settings"),
        ("", "holds no settings"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert message in f"{caught.value} {caught.value.hint}"
    assert "shop.yaml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, START + "threshold: {alhpa: 1}\nalerts: {fdrr: true}\n")
    assert "alhpa" in str(caught.value)
    assert "fdrr" in str(caught.value)


def test_files_that_are_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no config"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)
    (tmp_path / "x.yaml").write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_config(tmp_path / "x.yaml")


def test_source_can_be_given_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(tmp_path, START).with_source("other/*.csv")
    assert config.source_path == str(tmp_path / "other" / "*.csv")


@pytest.mark.parametrize(
    "sections",
    [
        "model: {variant: discrete, prior: autoregressive}",
        "model: {variant: vae_gan, prior: vamp}\ntraining: {total_correlation: 1}",
        "model: {variant: hierarchical, prior: flow, ladder: [4, 2]}",
        "model: {variant: flow, latent_dim: 2, members: 3, denoisers: 2}",
        "model: {variant: hierarchical, prior: flow}",
    ],
)
def test_models_that_can_be_built_are_read(sections: str, tmp_path: Path) -> None:
    load(tmp_path, START + sections)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("model: {hidden: [30]}", r"model\.hidden.*multiples of 8, \[30\] are not"),
        ("model: {draws: 3}", r"model\.draws.*1 or even"),
    ],
)
def test_shapes_that_no_model_takes_are_refused_at_once(
    tmp_path: Path, section: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, START + section + "\n")
