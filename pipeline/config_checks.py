"""What a config asks for exists and fits together, as far as can be told without data."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.settings import ModelSettings, ThresholdSettings

if TYPE_CHECKING:
    from pipeline.config import Config


def check_config(config: Config) -> None:
    """Model, method and score exist and fit each other and the columns.

    Lists of names are only loaded for names that are not default: they need torch.

    Raises:
        ConfigError: they do not.
    """
    default = {k: f.default for k, f in ThresholdSettings.model_fields.items()}
    if config.model.variant != ModelSettings.model_fields["variant"].default:
        from vae_core.models import MODELS

        _check_name(config, "model.variant", config.model.variant, MODELS)
    parameters = config.threshold.model_dump(exclude={"score", "method", "alpha"})
    given = {name: value for name, value in parameters.items() if value is not None}
    if config.threshold.method != default["method"] or set(given) - {"conditional_delta"}:
        _check_threshold(config, given)
    if config.threshold.score != default["score"]:
        from vae_core import SCORE_KINDS

        _check_name(config, "threshold.score", config.threshold.score, SCORE_KINDS)
        _check_rows_of_score(config)
    if config.model.variant != ModelSettings.model_fields["variant"].default:
        _check_score(config)
    _check_weighing(config)
    _check_network(config)
    _check_conditions(config)
    _check_latent(config)


def _check_rows_of_score(config: Config) -> None:
    score, other = config.threshold.score, "Choose another score, such as combined."
    if score == "likelihood_ratio" and config.image is None:
        raise ConfigError(
            f"{config.path}: `threshold.score: likelihood_ratio` is of pictures, and no column "
            "has role image",
            hint=other,
        )
    if score == "row_distance" and (config.image is not None or config.conditions):
        raise ConfigError(
            f"{config.path}: `threshold.score: row_distance` is of tables without conditions",
            hint=other,
        )


def _check_weighing(config: Config) -> None:
    """Weighted calibration rows give a marginal conformal cut-off, in place of the threshold's."""
    threshold = config.threshold
    if not config.alerts.covariate_shift:
        return
    if threshold.method == "conformal" and threshold.conditional_delta is None:
        return
    other = (
        f"method: {threshold.method}"
        if threshold.method != "conformal"
        else f"conditional_delta: {threshold.conditional_delta:g}"
    )
    raise ConfigError(
        f"{config.path}: `alerts.covariate_shift` weighs the calibration rows of a plain conformal "
        f"threshold, and `threshold.{other}` asks for another",
        hint="Leave one of the two out.",
    )


def _check_threshold(config: Config, given: dict[str, Any]) -> None:
    """The method exists, takes the parameters given, and has the labels that it needs."""
    from pipeline.thresholds import THRESHOLDS, check_parameters, needs_labels

    method = config.threshold.method
    if method == "conformal_fdr":
        raise ConfigError(
            f"{config.path}: `threshold.method`: FDR control decides over a closed night, it is no "
            "threshold of a model",
            hint="Write `threshold: {method: conformal}` and `alerts: {fdr: true}`.",
        )
    _check_name(config, "threshold.method", method, THRESHOLDS)
    try:
        check_parameters(method, given)
    except ValueError as error:
        raise ConfigError(
            f"{config.path}: `threshold`: {error}", hint="Mend the file and run again."
        ) from None
    if needs_labels(method) and config.label is None:
        raise ConfigError(
            f"{config.path}: `threshold.method`: {method} chooses by labels, and no column has "
            "role label",
            hint="Give the label column `role: label` with its `normal` value, or choose another "
            "method.",
        )


def _check_network(config: Config) -> None:
    """What is of pictures is asked for where there are some."""
    default = {k: f.default for k, f in ModelSettings.model_fields.items()}
    if config.model.network != default["network"]:
        from vae_core.networks import ENCODERS

        _check_name(config, "model.network", config.model.network, ENCODERS)
    if config.model.pixels != default["pixels"]:
        from vae_core.likelihoods.image import PIXELS

        _check_name(config, "model.pixels", config.model.pixels, PIXELS)
    changed = [k for k in ("network", "pixels") if getattr(config.model, k) != default[k]]
    if changed and config.image is None:
        raise ConfigError(
            f"{config.path}: `model.{changed[0]}: {getattr(config.model, changed[0])}` is of "
            "pictures, and no column has role image",
            hint=f"Leave `model.{changed[0]}` out, or give the pictures' column `role: image`.",
        )


def _check_conditions(config: Config) -> None:
    """Conditions are read by conditional models, and by no other."""
    variant = config.model.variant
    if not config.conditions and variant == ModelSettings.model_fields["variant"].default:
        return
    from vae_core.models import MODELS

    if MODELS[variant].conditional == bool(config.conditions):
        return
    able = " or ".join(name for name, model in MODELS.items() if model.conditional)
    if config.conditions:
        raise ConfigError(
            f"{config.path}: `{config.conditions[0]}` is a condition, and a model of variant "
            f"{variant} reads none",
            hint=f"Write `model: {{variant: {able}}}`, or give the column another role.",
        )
    raise ConfigError(
        f"{config.path}: `model.variant`: {variant} judges rows by a condition, and no column has "
        "role condition",
        hint="Give the column that rows are told by `role: condition`, or choose another variant.",
    )


def _check_latent(config: Config) -> None:
    """The variant's latent can take the prior, a flow and the total correlation, if asked for."""
    variant, prior = config.model.variant, config.model.prior
    default = {k: ModelSettings.model_fields[k].default for k in ("variant", "prior")}
    if variant == default["variant"] and prior == default["prior"]:
        return
    from vae_core.models import MODELS
    from vae_core.priors import PRIORS

    _check_name(config, "model.prior", prior, PRIORS)
    taken = MODELS[variant].priors
    if prior not in taken:
        listed = " or ".join(", ".join(taken).rsplit(", ", 1))
        able = " or ".join(name for name, model in MODELS.items() if prior in model.priors)
        raise ConfigError(
            f"{config.path}: `model.prior`: a model of variant {variant} takes {listed}, not "
            f"{prior}",
            hint=f"Choose one of them, or variant {able}.",
        )
    if config.training.total_correlation and not MODELS[variant].gaussian:
        able = ", ".join(name for name, model in MODELS.items() if model.gaussian)
        raise ConfigError(
            f"{config.path}: `training.total_correlation`: a model of variant {variant} has no "
            "independent Gaussian latents, of which alone it can be told",
            hint=f"Leave it out, or choose one of the variants {able}.",
        )
    _check_widths(config)


def _check_widths(config: Config) -> None:
    """A ladder has layers, and a flow latents to couple, as far as the config alone tells."""
    from vae_core import ModelConfig
    from vae_core.models.hierarchical import ladder_widths

    model = config.model
    latent, where = model.latent_dim, "there is"
    if model.variant == "hierarchical" and (model.ladder or latent):
        try:
            latent = ladder_widths(ModelConfig(**model.model_dump()), latent or 1)[-1]
        except ValueError as error:
            raise ConfigError(
                f"{config.path}: `model.ladder`: {error}", hint="Mend the file and run again."
            ) from None
        where = "the top layer has"
    if "flow" in (model.variant, model.prior) and latent == 1:
        key = "ladder" if model.variant == "hierarchical" and model.ladder else "latent_dim"
        raise ConfigError(
            f"{config.path}: `model.{key}`: a flow couples latents and needs two or more, "
            f"{where} 1",
            hint="Raise it, or leave it out.",
        )


def _check_score(config: Config) -> None:
    """The model has what the score is made of."""
    from vae_core import check_score_kind
    from vae_core.models import MODELS

    variant = config.model.variant
    try:
        check_score_kind(config.threshold.score, MODELS[variant].has_elbo, variant)
    except ValueError as error:
        raise ConfigError(
            f"{config.path}: `threshold.score`: {error}", hint="Mend the file and run again."
        ) from None


def _check_name(config: Config, key: str, name: str, known: Any) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1)
        raise ConfigError(
            f"{config.path}: `{key}`: {name!r} is not known; known: {', '.join(known)}",
            hint=f"Did you mean {near[0]!r}?" if near else "Mend the file and run again.",
        )
