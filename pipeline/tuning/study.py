"""A study on the data set's own rows: every trial is an MLflow run below one parent run."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline import tracking
from pipeline.errors import NotEnoughRows, UserError
from pipeline.lake import Lake
from pipeline.progress import Progress, report
from pipeline.provenance import code_version
from pipeline.sampling import Rows
from pipeline.split import make_split
from pipeline.training import fit_model, read_parts
from pipeline.tuning.criterion import judge, objectives
from pipeline.tuning.search import FAILURES, Trial, best_of, search
from pipeline.tuning.snippet import in_words, snippet
from pipeline.tuning.space import Settings, configured, own_settings, space

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home

__all__ = ["TuneResult", "TuningError", "tune"]

JUDGING_SHARE = 0.2
FEWEST_ROWS = 20


class TuningError(UserError):
    """No trial of a study could be finished."""


@dataclass(frozen=True)
class TuneResult:
    """A finished study.

    Attributes:
        run_id: MLflow run, parent of the trials'.
        trials: by number, those of earlier studies of the same rows and settings included;
            number 0 has the config's own settings.
        objectives: the metrics that were ranked.
        best: of the lowest mean rank.
        snippet: YAML of the best settings, to be put into the config by hand; None where the
            config's own are the best.
    """

    run_id: str
    trials: tuple[Trial, ...]
    objectives: tuple[str, ...]
    best: Trial
    snippet: str | None

    @property
    def own(self) -> Trial:
        """The trial of the config's own settings."""
        return self.trials[0]

    @property
    def failed(self) -> list[Trial]:
        """Trials whose settings could not be used."""
        return [trial for trial in self.trials if trial.failure is not None]


def tune(
    home: Home,
    config: Config,
    trials: int = 30,
    timeout: float | None = None,
    progress: Progress | None = None,
) -> TuneResult:
    """Search latent size, width and β by `criterion`, and say what was found.

    Of the training rows the newest fifth judges and the rest trains; the validation rows stop
    each training early. Calibration rows and labels are not read. Nothing is registered and the
    config is not changed. Trials of an earlier study of the same rows, settings and code are
    found in MLflow and not run again, so a study that was interrupted goes on.

    Args:
        home: tables and tracking store.
        config: of the data set.
        trials: in all, the one with the config's own settings included.
        timeout: seconds after which no further trial begins; None: no limit.
        progress: told as trials go on.

    Raises:
        TableMissingError: the tables have not been created.
        NotEnoughRows: too few training rows.
        TuningError: every trial failed; says why the last one did.
        TrackingError: the MLflow store cannot be used.
    """
    from pipeline.preprocess import fit_encoding
    from vae_core import MODELS, ModelConfig

    lake = Lake(config, home)
    split = make_split(lake, config)
    with tracking.start(home, config, "tune") as parent:
        rows, stopping, data_hash = read_parts(parent, lake, split, progress)
        training, judging = _parted(rows, config)
        study = _fingerprint(config, data_hash)
        parent.set_tags({"study": study})

        layout = fit_encoding(training.columns, config.feature_columns).encoding.layout
        has_elbo = MODELS[config.model.variant].has_elbo
        searched = space(len(config.model.hidden), layout.mask.stop, has_elbo)
        latent_dim = ModelConfig(**config.model.model_dump()).latent_dim_for(layout)

        def attempt(number: int, settings: Settings) -> Mapping[str, float]:
            tags = {"mlflow.parentRunId": parent.run_id, "study": study, "trial": number}
            tags |= {"mlflow.runName": f"trial-{number:03d}", "settings": json.dumps(settings)}
            tried = config if number == 0 else configured(config, settings)

            def told(done: int, total: int | None, message: str) -> None:
                words = f"trial {number} ({in_words(settings)}): {message}"
                report(progress, number, trials, words)

            with tracking.start(home, tried, "trial", tags) as run:
                started = time.monotonic()
                try:
                    scorer = fit_model(tried, training, stopping, told).scorer
                    metrics = judge(scorer, judging, config.seed)
                except FAILURES as error:
                    run.set_tags({"failure": f"{type(error).__name__}: {error}"[:4000]})
                    raise
                run.log_metrics({**metrics, "seconds": time.monotonic() - started})
            return metrics

        names = objectives(has_elbo)
        done = search(
            attempt,
            searched,
            own_settings(config, latent_dim, searched),
            names,
            trials=trials,
            timeout=timeout,
            seed=config.seed,
            known=_known(home, config, study),
        )
        report(progress, trials, trials, "ranking the trials")
        best = best_of(done, names)
        if best is None:
            raise TuningError(
                f"none of the {len(done)} trials of {config.name!r} could be finished; the last "
                f"one: {done[-1].failure}",
                hint=f"Check columns and settings in {config.path}; `vae-anomaly train` fails too.",
            )
        text = None if best.number == 0 else snippet(config, best, len(done), parent.run_id)
        result = TuneResult(parent.run_id, tuple(done), names, best, text)
        _log(parent, result)
    return result


def _parted(rows: Rows, config: Config) -> tuple[Rows, Rows]:
    """Rows that train, and the newest fifth, which judges."""
    if len(rows) < FEWEST_ROWS:
        raise NotEnoughRows(
            f"{config.name!r} has {len(rows):,} training rows, a study needs {FEWEST_ROWS}",
            hint="Ingest more rows, or raise `split.train` in the config.",
        )
    positions = np.arange(len(rows))
    cut = len(rows) - round(JUDGING_SHARE * len(rows))
    return rows.take(positions[:cut]), rows.take(positions[cut:])


def _fingerprint(config: Config, data_hash: str) -> str:
    """What trials must share to be compared: rows, code, and all that shapes a training."""
    shaping = {"columns", "split", "model", "training", "device", "seed"}
    values = config.model_dump(mode="json", include=shaping) | {"score": config.threshold.score}
    text = json.dumps([values, data_hash, code_version()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _known(home: Home, config: Config, study: str) -> list[Trial]:
    """Finished trials of earlier studies; the first of each number."""
    where = f"tags.stage = 'trial' and tags.study = '{study}' and attributes.status = 'FINISHED'"
    runs = tracking.find_runs(tracking.connect(home), config.name, where)
    found = [
        Trial(int(run.data.tags["trial"]), json.loads(run.data.tags["settings"]), run.data.metrics)
        for run in runs
    ]
    return list({trial.number: trial for trial in found}.values())


def _log(parent: tracking.Run, result: TuneResult) -> None:
    from pipeline.tuning.figure import study_figure

    parent.set_tags({"best_trial": result.best.number})
    counts = {"trials": len(result.trials), "failed_trials": len(result.failed)}
    parent.log_metrics(
        counts
        | {f"best/{name}": value for name, value in result.best.metrics.items()}
        | {f"own/{name}": value for name, value in result.own.metrics.items()}
    )
    parent.log_json(
        [
            {**trial.settings, **trial.metrics, "trial": trial.number, "failure": trial.failure}
            for trial in result.trials
        ],
        "trials.json",
    )
    if result.snippet is not None:
        parent.log_text(result.snippet, "best.yaml")
    parent.log_figure(study_figure(result), "study")
