"""The commands that decide which version is the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import DEFAULT_CONFIG, ConfigPath, load_existing

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home


def promote(
    config: ConfigPath = DEFAULT_CONFIG,
    version: Annotated[
        int | None, typer.Option(help="Version to promote. Default: the challenger.")
    ] = None,
) -> None:
    """Make a version the champion: the one that nights and `models:/NAME@champion` use.

    Examples:

        vae-anomaly promote payments.yaml

        vae-anomaly promote payments.yaml --version 3
    """
    from pipeline import registry

    loaded, home = load_existing(config)
    registry.promote(home, loaded.name, version)
    _say_champion(loaded, home)


def rollback(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Give the place of champion back to the version that had it before.

    Example:

        vae-anomaly rollback payments.yaml
    """
    from pipeline import registry

    loaded, home = load_existing(config)
    registry.rollback(home, loaded.name)
    _say_champion(loaded, home)


def _say_champion(config: Config, home: Home) -> None:
    from pipeline import registry

    version = registry.champion(home, config.name)
    typer.echo(f"{config.name}: the champion is version {version.version if version else None}")
