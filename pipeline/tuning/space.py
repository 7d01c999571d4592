"""Which settings a study varies, within which bounds, and where they stand in the config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config import Config

__all__ = ["SPACE", "Bounds", "Settings", "configured", "own_settings", "sections", "space"]

Settings = Mapping[str, float]


@dataclass(frozen=True)
class Bounds:
    """A positive setting, searched on a logarithmic scale.

    Attributes:
        low, high: both included.
        multiple: the setting is a multiple of this; None: any real number, three digits kept.
    """

    low: float
    high: float
    multiple: int | None = None

    def round(self, value: float) -> float:
        """The nearest value that the setting may have."""
        if self.multiple is None:
            return float(f"{value:.3g}")
        return max(self.multiple, round(value / self.multiple) * self.multiple)


SPACE = {
    "latent_dim": Bounds(1, 64, multiple=1),
    "width": Bounds(16, 512, multiple=8),
    "beta": Bounds(0.01, 4.0),
}


def space(layers: int, encoded_width: int, has_elbo: bool) -> dict[str, Bounds]:
    """What is searched for a model: only settings that it has, no latent wider than its rows.

    Args:
        layers: hidden ones; without any there is no width.
        encoded_width: cells of an encoded row.
        has_elbo: whether the model has one, and so a KL that β weighs.
    """
    latent = SPACE["latent_dim"]
    narrow = replace(latent, high=min(latent.high, max(latent.low, encoded_width)))
    has = {"width": layers > 0, "beta": has_elbo}
    found = SPACE | {"latent_dim": narrow}
    return {name: bounds for name, bounds in found.items() if has.get(name, True)}


def own_settings(config: Config, latent_dim: int, searched: Iterable[str]) -> dict[str, float]:
    """What the config itself says of the settings searched; it may lie outside their bounds.

    Args:
        config: of the data set.
        latent_dim: that its model has, where the config leaves it to the model.
        searched: names of settings.
    """
    own = {
        "latent_dim": latent_dim,
        "width": max(config.model.hidden, default=0),
        "beta": config.training.beta,
    }
    return {name: own[name] for name in searched}


def sections(config: Config, settings: Settings) -> dict[str, dict[str, Any]]:
    """The settings as the config has them: keys by section. All hidden layers get one width."""
    found: dict[str, dict[str, Any]] = {"model": {"latent_dim": int(settings["latent_dim"])}}
    if "width" in settings:
        found["model"]["hidden"] = [int(settings["width"])] * len(config.model.hidden)
    if "beta" in settings:
        found["training"] = {"beta": settings["beta"]}
    return found


def configured(config: Config, settings: Settings) -> Config:
    """The config with these settings, checked as if they had been read from its file."""
    changed = config.model_dump()
    for section, keys in sections(config, settings).items():
        changed[section] |= keys
    return type(config).model_validate({**changed, "path": config.path})
