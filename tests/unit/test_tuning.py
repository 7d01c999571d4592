"""The parts of a study: space, criterion, search, snippet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from night_homes import HISTORY_ROWS, deliver, write_config
from registered import rows, scorer

from pipeline import tracking
from pipeline.config import Config, load_config
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.sampling import Rows
from pipeline.synthetic import KINDS
from pipeline.training import TrainingError
from pipeline.tuning import study
from pipeline.tuning.criterion import judge, mean_ranks, objectives
from pipeline.tuning.figure import study_figure
from pipeline.tuning.search import Trial, best_of, search
from pipeline.tuning.snippet import in_words, snippet
from pipeline.tuning.space import (
    BETA,
    LATENT,
    SPACE,
    WIDTH,
    Bounds,
    configured,
    own_settings,
    space,
)
from pipeline.tuning.study import TuneResult

START = "name: shop\nsource: {path: inbox}\ncolumns: {a: {role: numeric}}\n"
OBJECTIVES = ("elbo", "detection")
OWN = {LATENT: 4, WIDTH: 128, BETA: 1.0}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "shop.yaml"
    path.write_text(START + "model: {hidden: [64, 128]}\n", encoding="utf-8")
    return load_config(path)


def test_space_has_only_what_the_model_has(config: Config) -> None:
    assert space(2, 300, has_elbo=True) == SPACE
    assert space(2, 5, has_elbo=True)[LATENT].high == 5
    assert list(space(2, 300, has_elbo=False)) == [LATENT, WIDTH]
    assert list(space(0, 300, has_elbo=True)) == [LATENT, BETA]
    assert own_settings(config, 7, SPACE) == {LATENT: 7, WIDTH: 128, BETA: 1.0}


def test_settings_are_values_that_a_config_takes(config: Config) -> None:
    assert [SPACE[LATENT].round(v) for v in (1.2, 1.6, 63.9)] == [1, 2, 64]
    assert [SPACE[WIDTH].round(v) for v in (1.0, 17.0, 509.0)] == [8, 16, 512]
    assert Bounds(0.01, 4.0, "β").round(0.123456) == 0.123
    changed = configured(config, {LATENT: 3.0, WIDTH: 48.0, BETA: 0.2})
    assert changed.model.latent_dim == 3
    assert changed.model.hidden == (48, 48)
    assert changed.training.beta == 0.2
    assert changed.path == config.path
    assert config.model.hidden == (64, 128), "the config itself stays"


def test_the_snippet_is_what_the_config_needs(config: Config) -> None:
    best = Trial(7, {LATENT: 3.0, WIDTH: 48.0, BETA: 0.2}, {})
    text = snippet(config, best, 30, "run")
    assert str(config.path) in text and "Trial 7 of 30" in text
    merged = yaml.safe_load(START) | yaml.safe_load(text)
    config.path.write_text(yaml.safe_dump(merged), encoding="utf-8")
    assert load_config(config.path) == configured(config, best.settings)
    assert in_words(best.settings) == "latent 3, width 48, β 0.2"


def test_the_criterion_measures_elbo_and_four_kinds() -> None:
    held_out = Rows(rows(300, 5), None)
    metrics = judge(scorer(), held_out)
    assert {name for name in metrics if "/" in name} == {f"auroc/{kind}" for kind in KINDS}
    assert metrics["detection"] == np.mean([metrics[f"auroc/{kind}"] for kind in KINDS])
    assert metrics["elbo"] == np.median(scorer().raw_scores(held_out.columns).elbo)
    assert metrics == judge(scorer(), Rows(held_out.columns, np.ones(300, dtype=bool)))
    assert metrics["auroc/global"] > 0.6
    assert objectives(has_elbo=False) == ("detection",)


def test_one_absurd_row_does_not_decide() -> None:
    held_out = rows(300, 5)
    before = judge(scorer(), Rows(held_out, None))
    numeric = next(name for name, values in held_out.items() if values.dtype.kind == "f")
    absurd = held_out | {numeric: np.where(np.arange(300) == 0, 1e9, held_out[numeric])}
    after = judge(scorer(), Rows(absurd, None))
    assert after["elbo_mean"] < before["elbo_mean"] - 1e3
    assert after["elbo"] == pytest.approx(before["elbo"], abs=0.1)


def test_ranks_are_joined_whatever_the_units() -> None:
    measured = [
        {"elbo": -1000.0, "detection": 0.7},
        {"elbo": -900.0, "detection": 0.9},
        {"elbo": -899.0, "detection": 0.6},
        {"elbo": -900.0, "detection": 0.7},
    ]
    assert mean_ranks(measured, OBJECTIVES).tolist() == [3.25, 1.75, 2.5, 2.5]
    assert mean_ranks(measured, ("detection",)).tolist() == [2.5, 1.0, 4.0, 2.5]


def test_the_earlier_of_equals_is_best_and_failures_never() -> None:
    same = {"elbo": -1.0, "detection": 0.9}
    trials = [Trial(0, OWN, {}, "failed"), Trial(1, OWN, same), Trial(2, OWN, same)]
    best = best_of(trials, OBJECTIVES)
    assert best is not None and best.number == 1
    assert best_of(trials[:1], OBJECTIVES) is None


def bowl(number: int, settings: Mapping[str, float]) -> dict[str, float]:
    """Best at latent 8 and β 0.1, whatever the width; both objectives agree."""
    distance = np.log(settings[LATENT] / 8) ** 2 + np.log(settings[BETA] / 0.1) ** 2
    return {"elbo": -float(distance), "detection": float(np.exp(-distance))}


def test_the_search_comes_close_to_a_known_optimum() -> None:
    done = search(bowl, SPACE, OWN, OBJECTIVES, trials=60, seed=0)
    assert [trial.number for trial in done] == list(range(60))
    assert done[0].settings == OWN
    best = best_of(done, OBJECTIVES)
    assert best is not None and best.metrics["elbo"] > -0.3 > done[0].metrics["elbo"]
    late = np.mean([trial.metrics["elbo"] for trial in done[40:]])
    assert late > np.mean([trial.metrics["elbo"] for trial in done[1:11]]), "it learns"
    again = search(bowl, SPACE, OWN, OBJECTIVES, trials=60, seed=0)
    assert [t.settings for t in again] == [t.settings for t in done]
    for trial in done[1:]:
        for name, bounds in SPACE.items():
            assert bounds.low <= trial.settings[name] <= bounds.high
            assert trial.settings[name] == bounds.round(trial.settings[name])


def test_failing_trials_do_not_end_the_search() -> None:
    def fragile(number: int, settings: Mapping[str, float]) -> dict[str, float]:
        if number in (0, 2):
            raise TrainingError("never finite")
        if number == 3:
            raise RuntimeError("out of memory")
        return bowl(number, settings)

    done = search(fragile, SPACE, OWN, OBJECTIVES, trials=6, seed=0)
    assert [trial.number for trial in done if trial.failure] == [0, 2, 3]
    assert done[0].failure == "TrainingError: never finite"
    assert done[3].failure == "RuntimeError: out of memory"


def test_what_settings_cannot_bring_about_ends_the_search() -> None:
    def down(number: int, settings: Mapping[str, float]) -> dict[str, float]:
        raise OSError("the store does not answer")

    with pytest.raises(OSError, match="does not answer"):
        search(down, SPACE, OWN, OBJECTIVES, trials=6)


def test_the_config_s_own_settings_may_lie_outside_the_space() -> None:
    own = {LATENT: 200, WIDTH: 1024, BETA: 0.0}

    def flat(number: int, settings: Mapping[str, float]) -> dict[str, float]:
        return {"elbo": 0.0, "detection": 0.5 + settings[WIDTH] / 4096}

    done = search(flat, SPACE, own, OBJECTIVES, trials=3)
    assert done[0].settings == own
    best = best_of(done, OBJECTIVES)
    assert best is not None and best.number == 0


def test_time_is_kept_and_the_own_settings_are_always_tried() -> None:
    assert len(search(bowl, SPACE, OWN, OBJECTIVES, trials=50, timeout=0.0)) == 1


def test_known_trials_are_not_run_again() -> None:
    first = search(bowl, SPACE, OWN, OBJECTIVES, trials=5, seed=0)
    tried: list[int] = []

    def counted(number: int, settings: Mapping[str, float]) -> dict[str, float]:
        tried.append(number)
        return bowl(number, settings)

    done = search(counted, SPACE, OWN, OBJECTIVES, trials=8, seed=0, known=first[::-1])
    assert tried == [5, 6, 7]
    assert done[:5] == first
    assert len({tuple(trial.settings.values()) for trial in done}) == 8, "new proposals"
    assert search(counted, SPACE, OWN, OBJECTIVES, trials=3, known=first) == first
    tried.clear()
    search(counted, SPACE, OWN, OBJECTIVES, trials=1, known=first[2:])
    assert tried == [0], "the config's own settings are needed to compare with"


def test_failed_settings_are_kept_and_nothing_is_tried_twice() -> None:
    coarse = {LATENT: replace(SPACE[LATENT], low=1, high=3)}
    tried: list[float] = []

    def fails(number: int, settings: Mapping[str, float]) -> dict[str, float]:
        tried.append(settings[LATENT])
        raise TrainingError("never finite")

    known = [Trial(0, {LATENT: 9}, {"elbo": 0.0, "detection": 0.5})]
    done = search(fails, coarse, {LATENT: 9}, OBJECTIVES, trials=3, known=known)
    again = search(fails, coarse, {LATENT: 9}, OBJECTIVES, trials=4, known=done)
    assert again[:3] == done and [trial.number for trial in again] == [0, 1, 2, 3]
    assert sorted(tried) == [1, 2, 3]
    search(fails, coarse, {LATENT: 9}, OBJECTIVES, trials=5, known=again)
    assert len(tried) == 4, "where nothing else is left the study ends all the same"


@pytest.mark.parametrize("names", [OBJECTIVES, ("detection",)])
def test_the_figure_draws_every_study(names: tuple[str, ...]) -> None:
    trials = search(bowl, SPACE, OWN, OBJECTIVES, trials=5)
    trials.append(Trial(5, OWN, {}, "failed"))
    best = best_of(trials, names)
    assert best is not None
    figure = study_figure(TuneResult("run", tuple(trials), names, best, None))
    figure.canvas.draw()
    assert len(figure.axes) == len(SPACE) + len(names) - 1


class Studies:
    """Studies of a data set whose trainings are told what to raise, and do nothing else."""

    def __init__(self, home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.config = home, write_config(folder / "project")
        Lake(self.config, home).create()
        deliver(home, self.config, "history", rows=HISTORY_ROWS, seed=0)
        self.trainings = 0
        self.raises: dict[int, BaseException] = {}
        monkeypatch.setattr(study, "fit_model", self._fit)
        monkeypatch.setattr(study, "judge", lambda *_: {"elbo": -1.0, "detection": 0.7})

    def _fit(self, *_: Any) -> SimpleNamespace:
        self.trainings += 1
        if error := self.raises.get(self.trainings):
            raise error
        return SimpleNamespace(scorer=None)

    def tune(self, trials: int) -> TuneResult:
        return study.tune(self.home, self.config, trials=trials)

    def runs(self, stage: str) -> list[Any]:
        where = f"tags.stage = '{stage}'"
        return tracking.find_runs(tracking.connect(self.home), "shop", where)[::-1]


@pytest.fixture
def studies(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studies:
    return Studies(home, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (OSError("no space left"), "FAILED")]
)
def test_an_interrupted_study_goes_on_under_its_run(
    studies: Studies, error: BaseException, status: str
) -> None:
    studies.raises = {3: error}
    with pytest.raises(type(error)):
        studies.tune(4)
    (parent,) = studies.runs("tune")
    assert parent.info.status == status
    result = studies.tune(4)
    assert studies.trainings == 5, "two were known, and the one that was cut off is made up for"
    again = studies.tune(4)
    assert studies.trainings == 5 and again.run_id == result.run_id
    assert [t.settings for t in again.trials] == [t.settings for t in result.trials]
    (ended,) = studies.runs("tune")
    assert result.run_id == ended.info.run_id == parent.info.run_id
    assert ended.info.status == "FINISHED" and ended.info.end_time >= parent.info.end_time
    assert ended.data.metrics["trials"] == 4 and len(ended.inputs.dataset_inputs) == 2
    parents = {run.data.tags["mlflow.parentRunId"] for run in studies.runs("trial")}
    assert parents == {result.run_id}


def test_what_a_killed_process_left_running_is_taken_over(studies: Studies) -> None:
    first = studies.tune(2)
    client = tracking.connect(studies.home)
    cut_off = studies.runs("trial")[1].info.run_id
    for run_id in (first.run_id, cut_off):
        client.update_run(run_id, status="RUNNING")
    result = studies.tune(3)
    assert result.run_id == first.run_id
    assert [run.info.status for run in studies.runs("tune")] == ["FINISHED"]
    assert client.get_run(cut_off).info.status == "KILLED"
    assert studies.trainings == 4


def test_other_settings_are_another_study(studies: Studies) -> None:
    first = studies.tune(1)
    studies.config = studies.config.model_copy(update={"seed": 1})
    assert studies.tune(1).run_id != first.run_id


def test_failed_trials_are_remembered(studies: Studies) -> None:
    studies.raises = {2: TrainingError("never finite")}
    first = studies.tune(3)
    assert [trial.number for trial in first.failed] == [1]
    result = studies.tune(4)
    assert studies.trainings == 4, "the failed one is not tried again"
    assert [trial.failure for trial in result.trials] == [
        None, "TrainingError: never finite", None, None,
    ]  # fmt: skip
    assert len({tuple(trial.settings.values()) for trial in result.trials}) == 4


def test_a_study_whose_best_are_its_own_settings_in_the_end_says_so(
    studies: Studies, monkeypatch: pytest.MonkeyPatch
) -> None:
    quality = iter([0.6, 0.7])
    monkeypatch.setattr(study, "judge", lambda *_: {"elbo": -1.0, "detection": next(quality)})
    first = studies.tune(2)
    assert first.best.number == 1
    client = tracking.connect(studies.home)

    def best() -> Any:
        return yaml.safe_load(
            Path(client.download_artifacts(first.run_id, "best.yaml")).read_text()
        )

    assert best()["training"]["beta"] == first.best.settings[BETA]
    for run in studies.runs("trial"):
        client.log_metric(run.info.run_id, "detection", 0.65)
    assert studies.tune(2).best.number == 0
    assert best() is None
