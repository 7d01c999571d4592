"""The `vae-anomaly report` command: find a night's report, writing it where it is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home


def find(home: Home, config: Config, night_id: int | None, again: bool = False) -> Path:
    """Path of a night's report.

    Args:
        home: holds tables and reports
        config: of the data set
        night_id: the night; the last closed one when left out
        again: write it anew from the tables even where it is there

    Raises:
        UserError: no such night, or none closed yet
    """
    from pipeline import nights, report
    from pipeline.lake import Lake

    if night_id is None:
        closed = [n.night_id for n in nights.history(Lake(config, home)) if n.is_closed]
        if not closed:
            raise UserError(
                f"no night of {config.name!r} has been scored yet, so there is no report",
                hint="`vae-anomaly score` scores one, once there is a model and new rows.",
            )
        night_id = closed[-1]
    path = report.path_of(home, config.name, night_id)
    if again or not path.exists():
        report.write(home, config, night_id)
    return path
