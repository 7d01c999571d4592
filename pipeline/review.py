"""The quality of a registered version, measured anew and logged to MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import registry, tracking
from pipeline.errors import UserError
from pipeline.lake import Lake
from pipeline.progress import Progress, report
from pipeline.sampling import read_rows
from pipeline.split import Split

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home
    from pipeline.quality import Quality

__all__ = ["ReviewResult", "check_output", "review", "write"]

# of the training rows so many are read: measuring takes samples of them
MOST_ROWS = 50_000
SUFFIXES = (".json", ".parquet")


@dataclass(frozen=True)
class ReviewResult:
    """A version's quality.

    Attributes:
        run_id: MLflow run that holds it.
        version: that was measured.
        quality: its figures.
    """

    run_id: str
    version: int
    quality: Quality


def review(
    home: Home,
    config: Config,
    version: int | None = None,
    classes: str | None = None,
    progress: Progress | None = None,
) -> ReviewResult:
    """Measure the champion, or a version, on the rows that trained and stopped it.

    The calibration rows are left alone. The version runs by the core that is packaged with it.

    Args:
        home: tables, tracking store and registry.
        config: of the data set.
        version: number; the champion if left out.
        classes: a column of the config that names the class of each picture.
        progress: told as work goes on.

    Raises:
        RegistryError: there is no such version, or no champion.
        UserError: the config has no such column.
    """
    from pipeline.quality import measure_quality

    if classes is not None and classes not in config.columns:
        raise UserError(
            f"{config.path}: there is no column {classes!r} to take classes from",
            hint=f"Its columns are: {', '.join(config.columns)}.",
        )
    lake = Lake(config, home)
    found = registry.get(home, config.name, version or registry.CHAMPION)
    scorer = registry.load_scorer(home, config.name, found.version, config.device)
    split = Split.from_dict(scorer.metadata["split"])
    further = () if classes is None else (classes,)
    with tracking.start(home, config, "quality", {"version": found.version}) as run:
        rows = read_rows(
            lake, config, split.train, most=MOST_ROWS, further=further, seed=config.seed,
            progress=progress,
        )  # fmt: skip
        held_out = read_rows(
            lake, config, split.validation, most=MOST_ROWS, further=further, seed=config.seed
        )
        report(progress, 0, None, "measuring quality")
        measured = measure_quality(
            scorer, rows, held_out, classes=classes, name=config.name, seed=config.seed
        )
        run.log_metrics(measured.quality.metrics())
        run.log_json(measured.quality.to_dict(), "quality/quality.json")
        for name, chart in measured.charts().items():
            run.log_figure(chart, name)
    return ReviewResult(run.run_id, found.version, measured.quality)


def check_output(path: Path) -> None:
    """A file of figures ends in .json or .parquet.

    Raises:
        UserError: it does not, or its folder is not there.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"{path}: figures are written as JSON or Parquet",
            hint="Give a name that ends in .json or .parquet.",
        )
    if not path.parent.is_dir():
        raise UserError(
            f"{path}: there is no folder {path.parent}", hint="Make it, or name another."
        )


def write(result: ReviewResult, name: str, path: Path) -> None:
    """Write figures to a file: JSON with everything, or Parquet with a row per figure.

    Args:
        result: of a review.
        name: of the data set.
        path: ends in .json or .parquet, see ``check_output``.
    """
    check_output(path)
    about: Mapping[str, Any] = {"data_set": name, "version": result.version}
    if path.suffix == ".json":
        document = tracking.without_nan({**about, **result.quality.to_dict()})
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{**about, **row} for row in result.quality.rows()]
    pq.write_table(pa.Table.from_pylist(rows), path)
