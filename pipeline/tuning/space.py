"""Which settings a study varies, within which bounds, and where they stand in the config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config import Config

__all__ = [
    "BETA",
    "LATENT",
    "SPACE",
    "WIDTH",
    "Bounds",
    "Settings",
    "configured",
    "own_settings",
    "sections",
    "space",
]

Settings = Mapping[str, float]


@dataclass(frozen=True)
class Bounds:
    """A positive setting, searched on a logarithmic scale.

    Attributes:
        low, high: both included.
        label: how figures and messages call it.
        multiple: the setting is a multiple of this; None: any real number, three digits kept.
    """

    low: float
    high: float
    label: str
    multiple: int | None = None

    def round(self, value: float) -> float:
        """The nearest value that the setting may have."""
        if self.multiple is None:
            return float(f"{value:.3g}")
        return max(self.multiple, round(value / self.multiple) * self.multiple)


# SECTION.KEY of the config; a setting that is a list of widths gets one width for all layers.
LATENT, WIDTH, BETA = "model.latent_dim", "model.hidden", "training.beta"
SPACE = {
    LATENT: Bounds(1, 64, "latent", multiple=1),
    WIDTH: Bounds(16, 512, "width", multiple=8),
    BETA: Bounds(0.01, 4.0, "β"),
}


def space(layers: int, encoded_width: int, has_elbo: bool) -> dict[str, Bounds]:
    """What is searched for a model: only settings that it has, no latent wider than its rows.

    Args:
        layers: hidden ones; without any there is no width.
        encoded_width: cells of an encoded row.
        has_elbo: whether the model has one, and so a KL that β weighs.
    """
    latent = SPACE[LATENT]
    narrow = replace(latent, high=min(latent.high, max(latent.low, encoded_width)))
    has = {WIDTH: layers > 0, BETA: has_elbo}
    found = SPACE | {LATENT: narrow}
    return {name: bounds for name, bounds in found.items() if has.get(name, True)}


def own_settings(config: Config, latent_dim: int, searched: Iterable[str]) -> dict[str, float]:
    """What the config itself says of the settings searched; it may lie outside their bounds.

    Args:
        config: of the data set.
        latent_dim: that its model has, where the config leaves it to the model.
        searched: names of settings.
    """
    own = {}
    for name in searched:
        section, key = name.split(".")
        value = getattr(getattr(config, section), key)
        own[name] = latent_dim if value is None else max(value) if name == WIDTH else value
    return own


def sections(config: Config, settings: Settings) -> dict[str, dict[str, Any]]:
    """The settings as the config has them: keys by section."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        section, key = name.split(".")
        written: Any = int(value) if SPACE[name].multiple else value
        if name == WIDTH:
            written = [written] * len(config.model.hidden)
        found.setdefault(section, {})[key] = written
    return found


def configured(config: Config, settings: Settings) -> Config:
    """The config with these settings, checked as if they had been read from its file."""
    changed = config.model_dump()
    for section, keys in sections(config, settings).items():
        changed[section] |= keys
    return type(config).model_validate({**changed, "path": config.path})
