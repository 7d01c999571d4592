"""A study on the data set's own rows: every trial is an MLflow run below one parent run."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import tracking
from pipeline.errors import NotEnoughRows, UserError
from pipeline.lake import Lake
from pipeline.material import read_material
from pipeline.progress import Progress, report
from pipeline.provenance import code_version
from pipeline.sampling import Rows
from pipeline.split import make_split
from pipeline.training import fit_model, log_rows
from pipeline.tuning.criterion import judge, objectives
from pipeline.tuning.search import FAILURES, Trial, best_of, search
from pipeline.tuning.snippet import in_words, snippet
from pipeline.tuning.space import Bounds, Settings, configured, own_settings, space

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home

__all__ = ["TuneResult", "TuningError", "tune"]

JUDGING_SHARE = 0.2
FAILURE = "failure"  # tag of a trial whose settings cannot be used
BEST = "best.yaml"  # artifact
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
    config is not changed. A study of the same rows, settings and code goes on under the MLflow run
    that it began with; its trials, those that failed too, are not run again.

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
    lake = Lake(config, home)
    split = make_split(lake, config)
    material = read_material(lake, split, progress)
    training, judging = _parted(material.rows, config)
    study = _fingerprint(config, material.train_hash)
    with _parent(home, config, study) as parent:
        log_rows(parent, lake, split, material)
        latent_dim, searched, names = _searched(config, training)

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
                    scorer = fit_model(tried, training, material.held_out, told).scorer
                    metrics = judge(scorer, judging, config.seed)
                except FAILURES as error:
                    run.set_tags({FAILURE: f"{type(error).__name__}: {error}"[:4000]})
                    raise
                run.log_metrics({**metrics, "seconds": time.monotonic() - started})
            return metrics

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
                hint=f"Check columns and settings in {config.path}; `vae-anomaly train` fails too. "
                "Settings that failed are tried again once their runs are deleted in MLflow.",
            )
        text = None if best.number == 0 else snippet(config, best, len(done), parent.run_id)
        result = TuneResult(parent.run_id, tuple(done), names, best, text)
        _log(parent, result)
    return result


@contextmanager
def _parent(home: Home, config: Config, study: str) -> Iterator[tracking.Run]:
    """The run that a study began with, or a new one; trials that were cut off are ended."""
    client = tracking.connect(home)
    begun = tracking.find_runs(client, config.name, f"tags.stage = 'tune' and {_of(study)}")
    if not begun:
        with tracking.start(home, config, "tune", {"study": study}) as run:
            yield run
        return
    cut_off = f"tags.stage = 'trial' and {_of(study)} and attributes.status = 'RUNNING'"
    for trial in tracking.find_runs(client, config.name, cut_off):
        client.set_terminated(trial.info.run_id, "KILLED")
    with tracking.resume(home, begun[-1]) as run:
        yield run


def _of(study: str) -> str:
    return f"tags.study = '{study}'"


def _searched(config: Config, training: Rows) -> tuple[int, dict[str, Bounds], tuple[str, ...]]:
    """Size of the config's own latent, bounds of what is varied, and the metrics to maximise."""
    from pipeline.preprocess import fit_encoding
    from vae_core import MODELS, ModelConfig

    layout = fit_encoding(training.columns, config.feature_columns).encoding.layout
    has_elbo = MODELS[config.model.variant].has_elbo
    latent_dim = ModelConfig(**config.model.model_dump()).latent_dim_for(layout)
    bounds = space(len(config.model.hidden), layout.mask.stop, has_elbo)
    return latent_dim, bounds, objectives(has_elbo)


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
    """Trials of earlier runs of a study: the first that finished of each number, else a failed one.

    Trials that were cut off, or failed for no fault of their settings, are not among them.
    """
    where = f"tags.stage = 'trial' and {_of(study)}"
    found: dict[int, Trial] = {}
    for run in tracking.find_runs(tracking.connect(home), config.name, where):  # newest first
        trial = _as_trial(run)
        if trial is None:
            continue
        kept = found.get(trial.number)
        if kept is None or kept.failure is not None or trial.failure is None:
            found[trial.number] = trial
    return list(found.values())


def _as_trial(run: Any) -> Trial | None:
    tags, finished = run.data.tags, run.info.status == "FINISHED"
    if not finished and FAILURE not in tags:
        return None
    metrics = run.data.metrics if finished else {}
    failure = None if finished else tags[FAILURE]
    return Trial(int(tags["trial"]), json.loads(tags["settings"]), metrics, failure)


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
    text = result.snippet
    if text is None and any(f.path == BEST for f in parent.client.list_artifacts(parent.run_id)):
        text = f"# of {len(result.trials)} trials the config's own settings are the best\n"
    if text is not None:
        parent.log_text(text, BEST)
    parent.log_figure(study_figure(result), "study")
