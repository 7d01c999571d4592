"""A night's report: one self-contained HTML file, made from the tables and the registry alone.

It can be written again at any time, and opens offline, without JavaScript, on paper or a
telephone. Values of the data are text wherever they stand: the template escapes all of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import brief, nights
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home
    from vae_core import Scorer


def path_of(home: Home, name: str, night_id: int) -> Path:
    """Where the report of a night lies."""
    return home.reports(name) / f"night-{night_id:04d}.html"


def write(home: Home, config: Config, night_id: int, scorer: Scorer | None = None) -> Path:
    """Write, or write again, the report of a closed night.

    Args:
        home: holds tables and reports.
        config: of the data set.
        night_id: of a closed night.
        scorer: the night's model, where the caller has loaded it already.

    Returns:
        Path of the file, complete from the moment it is there.

    Raises:
        UserError: no such night, or it is still open.
        RegistryError: the night's model version is gone.
    """
    from pipeline.lake import Lake

    lake = Lake(config, home)
    night = nights.find(lake, night_id)
    if night is None or not night.is_closed:
        state = "does not exist" if night is None else "is still open"
        raise UserError(
            f"night {night_id} of {config.name!r} {state}",
            hint="Only closed nights have a report; `vae-anomaly score` closes an open one.",
        )
    if scorer is None:
        from pipeline import registry

        scorer = registry.load_scorer(home, config.name, night.model_version, device="cpu")
    page = render(brief.collect(lake, night, scorer))
    target = path_of(home, config.name, night_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    part.write_text(page, encoding="utf-8")
    part.replace(target)
    return target


def render(said: dict[str, Any]) -> str:
    """The page for what `brief.collect` gathered; everything but drawings is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipeline"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(**said)
    return re.sub(r"(?<=\d) %", "\u00a0%", page)  # no line ends between a figure and its sign
