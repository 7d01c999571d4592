"""The best settings in YAML and in words, for a person to put into the config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.tuning.space import SPACE, Settings, sections
from pipeline.wording import number

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.tuning.search import Trial

__all__ = ["in_words", "snippet"]


def snippet(config: Config, best: Trial, trials: int, run_id: str) -> str:
    """The keys that differ from the config, with where they come from and what to do with them."""
    import yaml

    text = yaml.safe_dump(sections(config, best.settings), sort_keys=False, default_flow_style=None)
    return (
        f"# Trial {best.number} of {trials} for {config.name}, MLflow run {run_id}.\n"
        f"# Put these keys into {config.path},\n"
        "# then `vae-anomaly train` and `vae-anomaly calibrate`: the gates decide over the rest.\n"
        + text
    )


def in_words(settings: Settings) -> str:
    """Such as "latent 8, width 128, β 0.31"."""
    return ", ".join(f"{SPACE[name].label} {number(value)}" for name, value in settings.items())
